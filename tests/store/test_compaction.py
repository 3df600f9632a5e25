"""Small tables as Parquet: the same rows for our reader and for others, found quickly, lost never."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest

from truetap import columns
from truetap.errors import DamagedRunError, StoreError
from truetap.store import Recording, Rows, RunReader, RunWriter

from .helpers import Array, batch, run_python, segments
from .recorded import STEPS_PER_EPOCH, assert_rows, expected, part, read, sample_batch, sample_rows

STEPS = 17


@pytest.fixture(scope="module")
def compacted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compacted run with several segments a table; not to be changed."""
    path = tmp_path_factory.mktemp("compacted") / "run"
    write(path)
    return path


def write(path: Path, steps: range = range(STEPS), *, append: bool = False) -> None:
    with Recording(path, segment_bytes=5000, gather_bytes=2000, append=append) as recording:
        for step in steps:
            recording.put(lambda step=step: [Rows("samples", sample_rows(step), part(step))], 1000)
            phase, epoch = part(step)
            value = {"phase": np.array([phase]), "epoch": np.array([epoch], np.int32), "loss": np.array([step / 2])}
            recording.put(lambda value=value, step=step: [Rows("scalars", value, part(step))], 10)
        recording.put(lambda: [Rows("names", {"fingerprint": np.arange(3), "sample_id": np.array(["a", "b", "c"])})], 9)
        recording.put(lambda: [Rows("activations.conv", {"values": np.ones((4, 5, 5), np.float32)})], 400)
    assert recording.error is None


def test_rows_come_back_as_they_were_and_in_their_order(compacted: Path) -> None:
    reader = RunReader(compacted)
    assert reader.complete
    assert_rows(reader, range(STEPS))
    assert_rows(reader, range(STEPS), check=True)
    assert reader.num_rows("samples") == reader.batches("samples").num_rows == STEPS * 8
    assert read(reader.batches("scalars"))["loss"].tolist() == [step / 2 for step in range(STEPS)]
    assert read(reader.batches("names"))["sample_id"].tolist() == ["a", "b", "c"]
    first = reader.batches("samples")[0]
    assert first.schema.equals(sample_batch(0).schema, check_metadata=True)
    assert reader.verify() == []
    assert reader.damage("samples") == ()


def test_where_the_files_lie(compacted: Path) -> None:
    found = sorted(file.relative_to(compacted).as_posix() for file in compacted.rglob("*") if file.is_file())
    hive = [f"phase=train/epoch={epoch}/part-{epoch:06d}.parquet" for epoch in range(4)]
    assert found == [
        "activations.conv/worker-00000/seg-000000.arrow",
        "activations.conv/worker-00000/seg-000000.log",
        "manifest.json",
        "names/part-000000.parquet",
        *(f"samples/{file}" for file in hive),
        *(f"scalars/{file}" for file in hive),
    ]
    reader = RunReader(compacted)
    assert reader.parquet("samples") == [str(compacted / "samples" / file) for file in hive]
    assert reader.parquet("activations.conv") == []
    assert len(reader.arrow("activations.conv")) == 1
    assert len(reader.arrow("samples")) == 0


def test_the_manifest_tells_of_the_files(compacted: Path) -> None:
    entry = json.loads((compacted / "manifest.json").read_text())["tables"]["samples"]
    assert entry["segments"] == entry["replaced"]
    first = entry["parquet"][0]
    file = compacted / "samples" / first["path"]
    assert first == {
        "path": "phase=train/epoch=0/part-000000.parquet",
        "rows": 40,
        "bytes": file.stat().st_size,
        "crc": first["crc"],
        "group_rows": 4096,
        "run_rows": first["run_rows"],
        "sorted_by": "sample_id",
    }
    assert first["run_rows"] % 4096 == 0


def test_plain_pyarrow_reads_a_file(compacted: Path) -> None:
    table = pq.read_table(compacted / "samples/phase=train/epoch=2/part-000002.parquet", partitioning=None)
    wanted = expected(range(10, 15))
    order = np.argsort(wanted["sample_id"])
    assert table.schema.names == [name for name in wanted if name not in ("phase", "epoch")]
    np.testing.assert_array_equal(table["sample_id"], wanted["sample_id"][order])
    tensors = table["y_pred"].combine_chunks().to_numpy_ndarray()
    np.testing.assert_array_equal(tensors, wanted["y_pred"][order])


def test_duckdb_reads_the_folder(compacted: Path) -> None:
    source = f"read_parquet('{compacted}/samples/**/*.parquet', hive_partitioning = true)"
    found = duckdb.sql(f"select phase, epoch, sample_id, y_pred, loss from {source} order by step, position").fetchall()
    wanted = expected(range(STEPS))
    assert [row[0] for row in found] == wanted["phase"].tolist()
    assert [row[1] for row in found] == wanted["epoch"].tolist()
    assert [row[2] for row in found] == wanted["sample_id"].tolist()
    np.testing.assert_array_equal(np.array([row[3] for row in found], np.float32), wanted["y_pred"].reshape(-1, 6))
    assert [np.float32(row[4]) for row in found] == wanted["loss"].tolist()
    names = duckdb.sql(f"describe select * from {source}").fetchall()
    assert sorted(name for name, *_ in names) == sorted(wanted)  # phase and epoch once


def test_pandas_reads_the_folder(compacted: Path) -> None:
    frame = pandas.read_parquet(compacted / "samples").sort_values(["step", "position"])
    wanted = expected(range(STEPS))
    assert sorted(frame.columns) == sorted(wanted)
    assert frame["epoch"].astype(int).tolist() == wanted["epoch"].tolist()
    assert frame["sample_id"].tolist() == wanted["sample_id"].tolist()


def test_filters_and_columns(compacted: Path) -> None:
    reader = RunReader(compacted)
    found = reader.batches("samples", phase="train", epoch=1)
    assert read(found)["step"].tolist() == expected(range(5, 10))["step"].tolist()
    assert [found.part(0), found.rows(0)] == [("train", 1), 40]
    assert len(reader.batches("samples", phase="val")) == 0
    assert len(reader.batches("samples", epoch=9)) == 0
    assert reader.batches("samples", epoch=3).num_rows == 16
    some = reader.batches("samples", columns=["loss", "epoch"])
    assert list(read(some)) == ["loss", "epoch"]
    np.testing.assert_array_equal(read(some)["loss"], expected(range(STEPS))["loss"])
    again = reader.batches("samples").select(["phase"])
    assert read(again)["phase"].tolist() == ["train"] * 136
    assert len(reader.batches("names", phase="train")) == 0


@pytest.mark.parametrize("compact", [False, True])
def test_all_rows_of_a_sample(tmp_path: Path, compact: bool) -> None:
    run = RunWriter(tmp_path / "run")
    for step in range(STEPS):
        run.write("samples", sample_batch(step))
        run.flush()
    run.close(compact=compact)
    reader = RunReader(tmp_path / "run")
    wanted = expected(range(STEPS))
    for sample in [wanted["sample_id"][0], wanted["sample_id"][77], -123]:
        here = wanted["sample_id"] == sample
        for found in (
            reader.rows_of("samples", sample_id=int(sample)),
            reader.rows_of("samples", fingerprint=-int(sample)),
        ):
            assert sum(map(len, found)) == here.sum()
            if here.any():
                for name, values in read(found).items():
                    np.testing.assert_array_equal(values, wanted[name][here])
    some = reader.rows_of("samples", sample_id=int(wanted["sample_id"][3]), columns=["loss", "epoch"])
    assert list(read(some)) == ["loss", "epoch"]
    assert reader.rows_of("samples", sample_id="no number") == []
    with pytest.raises(StoreError, match=r"Received: sample_id=None, fingerprint=None. Expected: one of both"):
        reader.rows_of("samples")


def test_a_sample_in_large_files(tmp_path: Path) -> None:
    """More than one row group, and more than one sorted run."""
    rng = np.random.default_rng(0)
    epochs = [rng.permutation(200_000) for _ in range(2)]
    filler = np.ones((200_000, 90), np.float32)
    with Recording(tmp_path / "run", gather_bytes=20 << 20) as recording:
        for epoch, ids in enumerate(epochs):
            given = {
                "phase": np.full(len(ids), "train", object),
                "epoch": np.full(len(ids), epoch, np.int32),
                "step": np.arange(len(ids)) // 32,
                "position": np.arange(len(ids)) % 32,
                "sample_id": np.array([f"s{i}" for i in ids], object) if epoch else ids,
                "fingerprint": rng.permutation(ids) * 3,
                "y_pred": filler,
            }
            recording.put(lambda g=given, e=epoch: [Rows("samples", g, ("train", e))], 1)
            epochs[epoch] = given["sample_id"]
            fingerprints = given["fingerprint"]
    assert recording.error is None
    reader = RunReader(tmp_path / "run")
    entry = json.loads((tmp_path / "run" / "manifest.json").read_text())["tables"]["samples"]["parquet"][0]
    assert entry["group_rows"] < entry["run_rows"] < 200_000
    for place in (0, 77_777, 199_999):
        for epoch in (0, 1):
            sample = epochs[epoch][place] if epoch else int(epochs[epoch][place])
            (found,) = reader.rows_of("samples", sample_id=sample)
            assert found.column("epoch").to_pylist() == [epoch]
            assert found.column("step").to_pylist() == [place // 32]
        found_by = reader.rows_of("samples", fingerprint=int(fingerprints[place]), columns=["sample_id", "epoch"])
        assert (epochs[1][place], 1) in [(r["sample_id"], r["epoch"]) for b in found_by for r in b.to_pylist()]
    for epoch in (0, 1):
        ids = read(reader.batches("samples", epoch=epoch, columns=["sample_id"]))["sample_id"]
        assert ids.tolist() == epochs[epoch].tolist()


KINDS: dict[str, Array] = {
    "bool": np.array([True, False, True]),
    "int8": np.array([-128, 127, 0], np.int8),
    "uint64": np.array([2**64 - 1, 0, 1], np.uint64),
    "int64": np.array([[-(2**63)], [2**63 - 1], [0]]),
    "half": np.array([[1, np.nan], [3, -0.0], [np.inf, 6]], np.float16),
    "double": np.random.default_rng(0).standard_normal((3, 2, 2, 2)),
    "sparse": np.zeros((3, 40), np.float32),
    "pixels": np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8),
    "names": np.array(["ä", "", "x" * 100], object),
}


def test_every_kind_of_column(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as run:
        run.write("t", columns.record_batch(KINDS.items()))
        run.write("t", columns.record_batch(KINDS.items()))
        run.close(compact=True)
    reader = RunReader(tmp_path / "run")
    assert len(reader.parquet("t")) == 1
    (one,) = reader.batches("t", check=True)
    assert one.schema.equals(columns.record_batch(KINDS.items()).schema, check_metadata=True)
    for name, values in KINDS.items():
        found = columns.decode(one.column(name))
        assert (found.dtype, found.shape[1:]) == (values.dtype, values.shape[1:])
        wanted = np.concatenate([values, values])
        assert found.tolist() == wanted.tolist() if values.dtype == object else found.tobytes() == wanted.tobytes()


def test_tensors_whose_shape_varies(tmp_path: Path) -> None:
    given = [np.random.default_rng(n).random((4, n + 1, 2), np.float32) for n in range(5)]
    with Recording(tmp_path / "run") as recording:
        for values in given:
            recording.put(lambda values=values: [Rows("t", {"x": values})], 10)
            recording.flush()  # the first is committed before it is known that the shape varies
    assert recording.error is None
    reader = RunReader(tmp_path / "run")
    assert reader.parquet("t")
    kinds = duckdb.sql(f"select distinct typeof(x) from read_parquet('{tmp_path}/run/t/*.parquet')").fetchall()
    assert kinds == [('STRUCT("data" FLOAT[], shape INTEGER[])',)]
    rows = [b.column("x").slice(i, 1) for b in reader.batches("t") for i in range(len(b))]
    for row, wanted in zip(rows, (row for values in given for row in values), strict=True):
        np.testing.assert_array_equal(columns.decode(row)[0], wanted)


@pytest.mark.parametrize(
    "given",
    [
        {"x": np.zeros((4, 0), np.float32)},  # Parquet has no list of no values
        {"x": np.ones((4, 2000), np.float32)},  # 8 KB a row: a raw tensor
        {"x": np.zeros(0)},
    ],
)
def test_what_stays_in_arrow_files(tmp_path: Path, given: dict[str, Any]) -> None:
    run = RunWriter(tmp_path / "run")
    run.write("t", columns.record_batch(given.items()))
    run.write("small", batch(0))
    run.close(compact=True)
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert reader.parquet("t") == []
    assert len(reader.parquet("small")) == 1
    (one,) = reader.batches("t")
    np.testing.assert_array_equal(columns.decode(one.column("x")), given["x"])
    assert reader.verify() == []


def test_rows_whose_order_nothing_tells_stay_in_it(tmp_path: Path) -> None:
    given = [sample_batch(step) for step in (3, 1, 2, 1)]
    run = RunWriter(tmp_path / "run")
    for one in given:
        run.write("samples", one)
    run.close(compact=True)
    found = read(RunReader(tmp_path / "run").batches("samples"))
    np.testing.assert_array_equal(found["sample_id"], read(given)["sample_id"])


def test_phases_that_take_turns(tmp_path: Path) -> None:
    turns = [("train", 0), ("val", 0)] * 10 + [("train", 1), ("val", 1), ("test", 0)] * 5
    with Recording(tmp_path / "run", compact=True) as recording:
        for number, (phase, epoch) in enumerate(turns):
            given = {"phase": np.array([phase]), "epoch": np.array([epoch], np.int32), "n": np.array([number])}
            recording.put(lambda g=given, p=(phase, epoch): [Rows("t", g, p)], 10)
    reader = RunReader(tmp_path / "run")
    assert len(reader.parquet("t")) == 5
    for phase, epoch in set(turns):
        found = read(reader.batches("t", phase=phase, epoch=epoch))
        assert found["n"].tolist() == [n for n, turn in enumerate(turns) if turn == (phase, epoch)]
    assert reader.num_rows("t") == len(turns)


def test_very_many_small_parts_share_a_file(tmp_path: Path) -> None:
    with Recording(tmp_path / "run") as recording:
        for epoch in range(300):
            given = {"phase": np.full(2, "train"), "epoch": np.full(2, epoch, np.int32), "n": np.arange(2) + 2 * epoch}
            recording.put(lambda g=given, e=epoch: [Rows("epochs", g, ("train", e))], 10)
    reader = RunReader(tmp_path / "run")
    assert [os.path.basename(file) for file in reader.parquet("epochs")] == ["part-000000.parquet"]
    found = reader.batches("epochs")
    assert len(found) == 300  # a batch never mixes two parts
    assert [found.part(index) for index in range(300)] == [("train", epoch) for epoch in range(300)]
    assert read(found)["n"].tolist() == list(range(600))
    assert read(reader.batches("epochs", epoch=123))["n"].tolist() == [246, 247]
    source = f"read_parquet('{tmp_path}/run/epochs/**/*.parquet', hive_partitioning = true)"
    assert duckdb.sql(f"select phase, epoch, n from {source} where epoch = 7 order by n").fetchall() == [
        ("train", 7, 14),
        ("train", 7, 15),
    ]


def test_damaged_rows_are_not_compacted_away(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run")
    for step in range(4):
        run.write("samples", sample_batch(step))
        run.flush()
    run.write("other", batch(0))
    run.close()
    (segment,) = segments(tmp_path / "run")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 4
    segment.write_bytes(content)
    RunWriter(tmp_path / "run", append=True).close(compact=True)
    assert segment.read_bytes() == content
    reader = RunReader(tmp_path / "run")
    assert reader.parquet("samples") == []
    assert len(reader.parquet("other")) == 1
    assert [problem.damage for problem in reader.verify()] == [True]


def test_a_parquet_file_that_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "run")
    reader = RunReader(tmp_path / "run")
    file = Path(reader.parquet("samples")[1])
    content = file.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(content), 25):
        changed = bytearray(content)
        changed[at] ^= 1 << int(at % 8)
        file.write_bytes(changed)
        (problem,) = reader.verify()
        assert (problem.file, problem.what, problem.damage) == (str(file), "bytes are not those written", True)
        with pytest.raises(DamagedRunError, match="bytes are not those written"):
            list(reader.batches("samples", check=True))
        with contextlib.suppress(DamagedRunError):
            list(reader.batches("samples"))  # not every flipped bit is seen without a check
    file.write_bytes(content[:-1])
    (problem,) = reader.damage("samples")
    assert "bytes, it had" in problem.what
    file.unlink()
    (problem,) = reader.damage("samples")
    assert problem.what == "the file is missing"
    with pytest.raises(DamagedRunError):
        read(reader.batches("samples"))
    assert (
        read(reader.batches("samples", epoch=0))["step"].tolist() == expected(range(STEPS_PER_EPOCH))["step"].tolist()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"path": "../../../etc/passwd"},
        {"path": "/etc/passwd"},
        {"path": "phase=../epoch=0/part-000000.parquet"},
        {"rows": -1},
        {"rows": "40"},
        {"group_rows": 0},
        {"run_rows": 4097},
        {"sorted_by": 3},
        {"more": 1},
    ],
)
def test_a_manifest_with_wrong_files(compacted: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    content = json.loads((compacted / "manifest.json").read_text())
    content["tables"]["samples"]["parquet"][0].update(change)
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(DamagedRunError, match="holds 'tables' as no truetap writes it"):
        RunReader(tmp_path)


def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    code = """
import resource, sys
import numpy as np, pyarrow as pa
from truetap import columns
from truetap.store import RunReader, RunWriter
rng = np.random.default_rng(0)
run = RunWriter(sys.argv[1], segment_bytes=16 << 20)
for step in range(int(sys.argv[2])):
    run.write("samples", columns.record_batch([
        ("phase", np.full(1000, "train")), ("epoch", np.full(1000, step // 1000, np.int32)),
        ("step", np.full(1000, step)), ("position", np.arange(1000)), ("sample_id", rng.permutation(1000)),
        ("y_pred", rng.random((1000, 250), np.float32))]))
run.close(compact=True)
assert RunReader(sys.argv[1]).parquet("samples")
anonymous = pa.default_memory_pool().max_memory()
print(anonymous)
"""
    short, long = (int(run_python(code, tmp_path / str(steps), steps)) for steps in (60, 180))
    assert long < short * 1.25
    assert long < 350e6
