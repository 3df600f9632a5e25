"""A run that several processes write: each beside the others, read as one."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from truetap.errors import DamagedRunError, RunExistsError, StoreError
from truetap.store import Recording, Rows, RunReader, RunWriter, Worker

FIRST, SECOND = Worker(0, 2), Worker(1, 2)


def batch(ids: list[int], epoch: int = 0) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "phase": pa.array(["train"] * len(ids)),
            "epoch": pa.array([epoch] * len(ids), pa.int32()),
            "step": pa.array(range(len(ids)), pa.int64()),
            "position": pa.array([0] * len(ids), pa.int32()),
            "sample_id": pa.array(ids, pa.int64()),
        }
    )


def write(path: Path, worker: Worker, ids: list[int], *, compact: bool = True, **options: Any) -> None:
    writer = RunWriter(path, worker=worker, **options)
    writer.write("samples", batch(ids))
    writer.close(compact=compact)


def found(path: Path, **chosen: Any) -> list[int]:
    batches = RunReader(path).batches("samples", check=True, **chosen)
    return sorted(row for each in batches for row in each["sample_id"].to_pylist())


def begun(path: Path) -> None:
    """The second began first."""
    write(path, SECOND, [3, 4, 5])
    write(path, FIRST, [1, 2])


def test_both_write_at_once_and_are_read_as_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write, [(run, FIRST, [1, 2]), (run, SECOND, [3, 4, 5])])
    reader = RunReader(run)
    assert (reader.complete, reader.workers, reader.absent) == (True, 2, ())
    assert found(run) == [1, 2, 3, 4, 5]
    assert (found(run, worker=0), found(run, worker=1)) == ([1, 2], [3, 4, 5])
    of = [
        (row, worker)
        for each in reader.batches("samples")
        for row, worker in zip(each["sample_id"].to_pylist(), each["worker"].to_pylist(), strict=True)
    ]
    assert sorted(of) == [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]
    assert reader.num_rows("samples") == 5
    assert [each["worker"].to_pylist() for each in reader.rows_of("samples", sample_id=4)] == [[1]]
    assert reader.verify() == []
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert files == {
        "manifest.json",
        "manifest-00001.json",
        "samples/phase=train/epoch=0/part-000000.parquet",
        "samples/phase=train/epoch=0/part-w00001-000000.parquet",
    }


def test_an_older_reader_refuses_it(tmp_path: Path) -> None:
    """What knows of one worker only would miss the rows of the others; a run of one worker is as it was."""
    write(tmp_path / "two", FIRST, [1])
    write(tmp_path / "one", Worker(), [1])
    versions = [json.loads((tmp_path / name / "manifest.json").read_text())["version"] for name in ("two", "one")]
    assert versions == [3, 2]


def test_one_that_never_began_is_told(tmp_path: Path) -> None:
    write(tmp_path / "run", FIRST, [1, 2])
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert reader.absent == (1,)
    assert found(tmp_path / "run") == [1, 2]
    (problem,) = reader.verify()
    assert str(problem) == (
        f"{tmp_path / 'run' / 'manifest-00001.json'} at byte 0: uncommitted: of 2 workers this one has not begun"
    )


def test_one_that_died_keeps_what_it_committed(tmp_path: Path) -> None:
    write(tmp_path / "run", FIRST, [1, 2])
    lost = RunWriter(tmp_path / "run", worker=SECOND)
    lost.write("samples", batch([3]))
    lost.flush()
    assert found(tmp_path / "run") == [1, 2, 3]
    assert not RunReader(tmp_path / "run").complete
    lost.write("samples", batch([4]))
    lost.close()
    assert RunReader(tmp_path / "run").complete
    assert found(tmp_path / "run") == [1, 2, 3, 4]


def test_each_goes_on_by_itself(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    write(tmp_path / "run", SECOND, [6], append=True)
    assert found(tmp_path / "run") == [1, 2, 3, 4, 5, 6]
    assert found(tmp_path / "run", worker=1) == [3, 4, 5, 6]
    write(tmp_path / "run", FIRST, [7], append=True, compact=False)
    assert found(tmp_path / "run", worker=0) == [1, 2, 7]
    assert RunReader(tmp_path / "run").verify() == []


def test_a_compaction_lets_the_others_alone(tmp_path: Path) -> None:
    """What one worker hasn't committed to its manifest yet is no leftover of the other's."""
    run = tmp_path / "run"
    second = RunWriter(run, worker=SECOND)
    second.write("samples", batch([3, 4]))
    second.flush()
    write(run, FIRST, [1, 2])
    strange = run / "samples/phase=train/epoch=0/part-w00001-000007.parquet"
    strange.write_bytes(b"")
    write(run, FIRST, [5], append=True)
    assert strange.exists()
    assert found(run) == [1, 2, 3, 4, 5]
    second.close(compact=True)
    write(run, SECOND, [6], append=True)
    assert not strange.exists()
    assert found(run) == [1, 2, 3, 4, 5, 6]


def test_a_run_that_is_there_is_left_alone(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    with pytest.raises(RunExistsError, match=r"There is a run at .*run' already, created"):
        RunWriter(tmp_path / "run", worker=SECOND)
    for other in (Worker(), Worker(2, 3)):
        for append in (False, True):
            with pytest.raises(RunExistsError, match=f"There is a run of 2 workers at .* Received: {other}"):
                Recording(tmp_path / "run", worker=other, append=append)
    write(tmp_path / "one", Worker(), [1])
    with pytest.raises(
        RunExistsError, match=r"There is a run of 1 workers at .*Received: worker 1 of 2\. Expected: another"
    ):
        RunWriter(tmp_path / "one", worker=SECOND)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "notes.txt").write_text("mine")
    with pytest.raises(RunExistsError, match=r"holds other files, such as 'notes\.txt'"):
        RunWriter(tmp_path / "files", worker=SECOND)
    assert found(tmp_path / "run") == [1, 2, 3, 4, 5]


def test_two_of_one_rank_are_refused(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", worker=SECOND)
    with pytest.raises(StoreError, match="is being written by process"):
        RunWriter(tmp_path / "run", worker=SECOND, append=True)
    writer.close()


def test_others_write_to_it_as_its_first(tmp_path: Path) -> None:
    """Names that are given to samples afterwards, say."""
    begun(tmp_path / "run")
    with RunWriter(tmp_path / "run", append=True) as writer:
        writer.write("names", pa.record_batch({"fingerprint": pa.array([1], pa.int64())}))
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert [each.schema.names for each in reader.batches("names")] == [["fingerprint"]]


def test_metadata_are_those_of_the_first(tmp_path: Path) -> None:
    write(tmp_path / "run", SECOND, [1], metadata={"seed": 2, "own": True})
    write(tmp_path / "run", FIRST, [2], metadata={"seed": 1})
    assert RunReader(tmp_path / "run").metadata == {"seed": 1, "own": True}


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"workers": 1}, "workers"),
        ({"workers": 10**9}, "workers"),
        ({"worker": 0}, "worker"),
        ({"version": 2}, "version"),
    ],
)
def test_a_manifest_that_is_not_its_worker_s(tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    begun(tmp_path / "run")
    path = tmp_path / "run" / "manifest-00001.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(StoreError, match=f"manifest-00001.json' holds '{key}' as no truetap writes it"):
        RunReader(tmp_path / "run")


def test_manifests_that_contradict_each_other(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    first, second = (tmp_path / "run" / name for name in ("manifest.json", "manifest-00001.json"))
    whole = json.loads(second.read_text())
    second.write_text(json.dumps(whole | {"workers": 3}))
    with pytest.raises(DamagedRunError, match=r"two runs lie in one folder: of worker 0 of 2, and of worker 1 of 3\."):
        RunReader(tmp_path / "run")
    second.write_text(json.dumps(whole | {"tables": json.loads(first.read_text())["tables"]}))
    with pytest.raises(DamagedRunError, match="'tables' as no truetap writes it"):  # rows would be there twice
        RunReader(tmp_path / "run")


def test_a_recording_of_each(tmp_path: Path) -> None:
    for worker in (SECOND, FIRST):
        with Recording(tmp_path / "run", worker=worker) as recording:
            recording.put(lambda: [Rows("scalars", {"loss": np.ones(3)})], 24)
    rows = [each.to_pydict() for each in RunReader(tmp_path / "run").batches("scalars")]
    assert sorted(worker for row in rows for worker in row["worker"]) == [0, 0, 0, 1, 1, 1]
