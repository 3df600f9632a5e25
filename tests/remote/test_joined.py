"""What a store has to do with the rest: several workers of one run, and runs that may not grow for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import truetap as tt
from tests.store.test_retention import an_epoch, found, values, write
from truetap.errors import RunExistsError, StoreError
from truetap.store import Retention, RunReader, RunWriter, Worker
from truetap.store.destination import Upload

from .served import Store

QUICK = Upload(seconds=0.2, patience=30.0)


def written(store: Store, rank: int, epochs: range, *, append: bool = False) -> RunWriter:
    run = RunWriter(store.url(), worker=Worker(rank, 2), upload=QUICK, gather_bytes=0, append=append)
    for epoch in epochs:
        write(run, "samples", f"part{rank}", epoch)
    return run


@pytest.mark.parametrize("compact", [False, True])
def test_two_workers_write_one_run(store: Store, tmp_path: Path, compact: bool) -> None:
    second = written(store, 1, range(2))  # which may begin before the first
    first = written(store, 0, range(2))
    with pytest.raises(RunExistsError):
        written(store, 1, range(1))
    first.close(compact=compact)
    assert not RunReader(store.url()).complete
    second.close(compact=compact)
    reader = RunReader(store.url())
    assert reader.complete
    assert reader.workers == 2
    assert reader.verify() == []
    there = found(store.url(), "samples")
    for rank in (0, 1):
        for epoch in (0, 1):
            np.testing.assert_array_equal(
                there[f"part{rank}", epoch], values("samples", f"part{rank}", epoch)["values"]
            )
    assert len(there) == 4
    assert list((tmp_path / "cache").rglob("manifest*.json")) == []
    written(store, 1, range(2, 3), append=True).close(compact=compact)
    assert RunReader(store.url()).num_rows("samples") == 250
    assert tt.open(store.url()).sql("select count(*) from samples where worker = 1").fetchall() == [(150,)]


def test_the_runs_of_several_workers_are_sent(store: Store, tmp_path: Path) -> None:
    for rank in (1, 0):
        with RunWriter(tmp_path / "run", worker=Worker(rank, 2), gather_bytes=0) as run:
            write(run, "samples", f"part{rank}", 0)
    assert tt.upload(tmp_path / "run", store.url()) == store.url()
    reader = RunReader(store.url())
    assert (reader.complete, reader.workers, reader.num_rows("samples")) == (True, 2, 100)
    assert reader.verify() == []


def test_old_rows_leave_the_store_too(store: Store) -> None:
    for start in (0, 3):
        run = RunWriter(store.url(), gather_bytes=0, append=start > 0, retention=Retention(keep_last=2), upload=QUICK)
        for epoch in range(start, start + 3):
            an_epoch(run, epoch)
        run.close(compact=True)
    last = {(phase, epoch) for epoch in (4, 5) for phase in ("train", "val")}
    for table in ("samples", "activations.dense"):
        there = found(store.url(), table)
        assert set(there) == last
        for part, rows in there.items():
            np.testing.assert_array_equal(rows, values(table, *part)["values"])
    reader = RunReader(store.url())
    assert reader.verify() == []
    assert reader.num_rows("scalars") == 600
    parquet = [
        f"{table}/{path.partition(f'/{table}/')[2]}" for table in reader.tables for path in reader.parquet(table)
    ]
    segments = {key for key in store.keys() if key.endswith((".arrow", ".log"))}  # noqa: SIM118
    assert set(store.keys()) - segments == {"manifest.json", *parquet}
    assert {key.partition("/")[0] for key in segments} == {"activations.dense"}
    assert len(segments) == 2 * 2
    with pytest.raises(StoreError, match="can't be pruned from here"):
        tt.prune(store.url(), keep_last=1)
