"""Runs that may not grow for ever: what goes, what stays, and what a reader sees meanwhile."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import truetap as tt
from truetap import columns
from truetap.errors import DamagedRunError, NotRecordedError, StoreError
from truetap.store import Recording, Retention, Rows, RunReader, RunWriter
from truetap.store.pruning import prune

from .helpers import Array, run_python

ROWS = 50


def values(table: str, phase: str, epoch: int, rows: int = ROWS, width: int = 8) -> dict[str, Array]:
    """Columns that follow from the table, the phase and the epoch."""
    rng = np.random.default_rng([len(table), len(phase), epoch])
    return {
        "phase": np.full(rows, phase, object),
        "epoch": np.full(rows, epoch, np.int32),
        "step": np.arange(rows, dtype=np.int64) + epoch * rows,
        "position": np.zeros(rows, np.int32),
        "sample_id": rng.permutation(rows),
        "values": rng.standard_normal((rows, width)).astype(np.float32),
    }


def writer(path: Path, **options: Any) -> RunWriter:
    """As a recorder has it: a batch never mixes two parts."""
    return RunWriter(path, gather_bytes=0, **options)


def write(run: RunWriter, table: str, phase: str, epoch: int, **size: int) -> None:
    run.write(table, columns.record_batch(values(table, phase, epoch, **size).items()))


def found(path: Path | str, table: str) -> dict[tuple[str, int], Array]:
    """The values of a table by phase and epoch, in the order of the steps."""
    parts: dict[tuple[str, int], list[Array]] = {}
    for batch in RunReader(path).batches(table, check=True):
        key = batch.column("phase")[0].as_py(), batch.column("epoch")[0].as_py()
        parts.setdefault(key, []).append(columns.decode(batch.column("values")))
    return {key: np.concatenate(arrays) for key, arrays in parts.items()}


def assert_holds(path: Path, table: str, expected: list[tuple[str, int]], **size: int) -> None:
    there = found(path, table)
    assert sorted(there) == sorted(expected)
    for phase, epoch in expected:
        np.testing.assert_array_equal(there[phase, epoch], values(table, phase, epoch, **size)["values"])


def size_of(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file() and each.name != "manifest.json")


def an_epoch(run: RunWriter, epoch: int, **size: int) -> None:
    for table in ("samples", "activations.dense", "scalars", "activations"):
        for phase in ("train", "val"):
            write(run, table, phase, epoch, **size)
    run.flush()


@pytest.mark.parametrize("compact", [False, True])
def test_the_last_epochs_are_kept_exactly(tmp_path: Path, compact: bool) -> None:
    run = writer(tmp_path / "run", retention=Retention(keep_last=2))
    for epoch in range(6):
        an_epoch(run, epoch)
        kept = range(max(0, epoch - 2), epoch + 1)  # two that ended, and the one that is being recorded
        assert_holds(tmp_path / "run", "samples", [(phase, at) for at in kept for phase in ("train", "val")])
    run.close(compact=compact)
    last = [(phase, epoch) for epoch in (4, 5) for phase in ("train", "val")]
    every = [(phase, epoch) for epoch in range(6) for phase in ("train", "val")]
    for table, expected in {"samples": last, "activations.dense": last, "scalars": every, "activations": every}.items():
        assert_holds(tmp_path / "run", table, expected)
        assert RunReader(tmp_path / "run").removed_rows(table) == (len(every) - len(expected)) * ROWS
    assert not [problem for problem in RunReader(tmp_path / "run").verify() if problem.damage]


def test_phases_count_their_own_epochs(tmp_path: Path) -> None:
    for phase, epochs in {"train": 4, "test": 2}.items():
        run = writer(tmp_path / "run", append=True, retention=Retention(keep_last=1))
        for epoch in range(epochs):
            write(run, "samples", phase, epoch)
            run.flush()
        run.close(compact=True)
    assert_holds(tmp_path / "run", "samples", [("train", 3), ("test", 1)])


def test_the_files_never_take_more_than_they_may(tmp_path: Path) -> None:
    most = 400_000
    with writer(tmp_path / "run", retention=Retention(max_bytes=most)) as run:
        for epoch in range(30):
            an_epoch(run, epoch, width=100)
            assert size_of(tmp_path / "run") <= most
    samples = found(tmp_path / "run", "samples")
    assert samples
    newest = sorted(samples, key=lambda part: part[1])[-1]
    assert newest[1] == 29
    np.testing.assert_array_equal(
        samples[newest][-10:], values("samples", *newest, width=100)["values"][-10:]
    )  # the newest rows of all are there
    assert not [problem for problem in RunReader(tmp_path / "run").verify() if problem.damage]


def test_curves_go_last(tmp_path: Path) -> None:
    with writer(tmp_path / "run", retention=Retention(max_bytes=300_000)) as run:
        for epoch in range(20):
            write(run, "scalars", "train", epoch, width=16)
            write(run, "samples", "train", epoch, width=200)
            run.flush()
    assert_holds(tmp_path / "run", "scalars", [("train", epoch) for epoch in range(20)], width=16)
    assert RunReader(tmp_path / "run").removed_rows("samples")


def test_curves_alone_give_way_to_newer_ones(tmp_path: Path) -> None:
    with writer(tmp_path / "run", retention=Retention(max_bytes=100_000)) as run:
        for epoch in range(200):
            write(run, "scalars", "train", epoch, width=16)
            run.flush()
            assert size_of(tmp_path / "run") <= 100_000
    assert max(epoch for _, epoch in found(tmp_path / "run", "scalars")) == 199


def test_evaluations_outlive_the_epochs_before_them(tmp_path: Path) -> None:
    with writer(tmp_path / "run", segment_bytes=1) as run:
        for epoch in range(5):
            write(run, "samples", "train", epoch)
        write(run, "samples", "test", 0)
    with writer(tmp_path / "run", append=True) as run:
        write(run, "names", "", 0)
    size = size_of(tmp_path / "run")
    gone = prune(tmp_path / "run", max_bytes=size // 3)
    assert 0 < gone.kept_bytes == size_of(tmp_path / "run") <= size // 3
    assert ("test", 0) in found(tmp_path / "run", "samples")
    assert RunReader(tmp_path / "run").num_rows("names") == ROWS


@pytest.mark.parametrize("compact", [False, True])
def test_a_run_that_goes_on_counts_what_there_is(tmp_path: Path, compact: bool) -> None:
    run = writer(tmp_path / "run")
    for epoch in range(3):
        an_epoch(run, epoch)
    run.close(compact=compact)
    with writer(tmp_path / "run", append=True, retention=Retention(keep_last=1)) as run:
        an_epoch(run, 3)
        an_epoch(run, 4)
    parts = set(found(tmp_path / "run", "samples"))
    assert {("train", 4), ("val", 4)} <= parts
    assert ("train", 3) not in parts
    if compact:  # Parquet files are of one epoch each; the small Arrow file of three goes with the newest
        assert parts == {("train", 4), ("val", 4)}
    assert not [problem for problem in RunReader(tmp_path / "run").verify() if problem.damage]


def test_numbers_of_parquet_files_are_not_used_again(tmp_path: Path) -> None:
    for start in (0, 3, 6):
        run = writer(tmp_path / "run", append=True, retention=Retention(keep_last=2))
        for epoch in range(start, start + 3):
            an_epoch(run, epoch)
        run.close(compact=True)
    assert_holds(tmp_path / "run", "samples", [(phase, epoch) for epoch in (7, 8) for phase in ("train", "val")])
    names = RunReader(tmp_path / "run").parquet("samples")
    assert len({Path(name).name for name in names}) == len(names)


def test_prune_a_closed_run(tmp_path: Path) -> None:
    run = writer(tmp_path / "run")
    for epoch in range(5):
        an_epoch(run, epoch)
    run.close(compact=True)
    before = size_of(tmp_path / "run")
    would = prune(tmp_path / "run", keep_last=2, dry_run=True)
    assert size_of(tmp_path / "run") == before
    gone = prune(tmp_path / "run", keep_last=2)
    assert gone == would
    assert gone.rows == {"samples": 6 * ROWS}  # the raw values of five small epochs are in one file
    assert gone.freed_bytes == before - size_of(tmp_path / "run")
    assert gone.kept_bytes == size_of(tmp_path / "run")
    assert_holds(tmp_path / "run", "samples", [(phase, epoch) for epoch in (3, 4) for phase in ("train", "val")])
    assert prune(tmp_path / "run", keep_last=2).files == 0


def test_what_is_mapped_stays_readable(tmp_path: Path) -> None:
    run = writer(tmp_path / "run", retention=Retention(keep_last=1))
    an_epoch(run, 0)
    batches = RunReader(tmp_path / "run").batches("samples")
    for epoch in range(1, 5):
        an_epoch(run, epoch)
    run.close()
    assert ("train", 0) not in found(tmp_path / "run", "samples")
    first = np.concatenate([columns.decode(batch.column("values")) for batch in batches])
    np.testing.assert_array_equal(first[:ROWS], values("samples", "train", 0)["values"])


def test_words_for_an_epoch_that_is_gone(tmp_path: Path) -> None:
    with writer(tmp_path / "run", retention=Retention(keep_last=2)) as run:
        for epoch in range(5):
            an_epoch(run, epoch)
    with pytest.raises(NotRecordedError, match=r"its oldest 300 rows, of all phases, were removed.*Expected: 3, 4"):
        tt.open(tmp_path / "run").samples(phase="train", epoch=0)


def test_refusals(tmp_path: Path) -> None:
    for wrong in ({"max_bytes": 0}, {"keep_last": 1.5}, {"keep_last": True}, {"max_bytes": "10GB"}):
        with pytest.raises(StoreError, match=r"Received: (max_bytes|keep_last)="):
            prune(tmp_path, **wrong)
    with pytest.raises(StoreError, match="neither max_bytes= nor keep_last="):
        prune(tmp_path)
    with pytest.raises(StoreError, match="There is no run"):
        prune(tmp_path / "nothing", keep_last=1)
    assert not (tmp_path / "nothing").exists()
    with writer(tmp_path / "run") as run:
        write(run, "samples", "train", 0)
        with pytest.raises(StoreError, match="is being written by"):
            prune(tmp_path / "run", keep_last=1)


def test_damage_stops_it_before_anything_goes(tmp_path: Path) -> None:
    with writer(tmp_path / "run", segment_bytes=1) as run:
        for epoch in range(3):
            write(run, "samples", "train", epoch)
    segment = sorted((tmp_path / "run").rglob("*.arrow"))[1]
    content = bytearray(segment.read_bytes())
    content[8:200] = b"\xff" * 192
    segment.write_bytes(content)
    with pytest.raises(DamagedRunError):
        prune(tmp_path / "run", keep_last=1)
    assert len(list((tmp_path / "run").rglob("*.arrow"))) == 3


KILLED_WHILE_REMOVING = """
import os, sys
from pathlib import Path
import truetap.store.leftovers as leftovers
from truetap.store.pruning import prune
first = Path.unlink
def unlink(path, **options):
    first(path, **options)
    if path.suffix == ".arrow":
        os._exit(9)
Path.unlink = unlink
prune(sys.argv[1], keep_last=1)
"""


def test_killed_between_the_manifest_and_the_files(tmp_path: Path) -> None:
    run = writer(tmp_path / "run", segment_bytes=1)
    for epoch in range(4):
        write(run, "samples", "train", epoch)
    run.close()
    files = len(list((tmp_path / "run").rglob("*.arrow")))
    with pytest.raises(AssertionError):
        run_python(KILLED_WHILE_REMOVING, tmp_path / "run")
    assert len(list((tmp_path / "run").rglob("*.arrow"))) == files - 1
    assert_holds(tmp_path / "run", "samples", [("train", 3)])
    assert not [problem for problem in RunReader(tmp_path / "run").verify() if problem.damage]
    writer(tmp_path / "run", append=True).close()
    assert len(list((tmp_path / "run").rglob("*.arrow"))) == 1


def test_a_recording_is_kept_small_by_its_thread(tmp_path: Path) -> None:
    def work(epoch: int) -> Any:
        made = values("samples", "train", epoch, width=1000)
        held = {name: pa.array(list(array)) if array.dtype == object else array for name, array in made.items()}
        return lambda: [Rows("samples", held, ("train", epoch))]

    recording = Recording(tmp_path / "run", retention=Retention(max_bytes=1_000_000), compact=False)
    for epoch in range(20):
        recording.put(work(epoch), 200_000)
        recording.flush()
        assert size_of(tmp_path / "run") <= 1_000_000
    recording.close()
    assert recording.error is None
    kept = sorted(found(tmp_path / "run", "samples"))
    assert kept[-1] == ("train", 19)
    assert kept == [("train", epoch) for epoch in range(20 - len(kept), 20)]
    assert len(kept) >= 3
    assert os.listdir(tmp_path / "run" / "samples" / "worker-00000")
