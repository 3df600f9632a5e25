"""What RunWriter leaves on the disk, read by plain pyarrow."""

import json
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from truetap import columns
from truetap.errors import StoreError
from truetap.store import JSON, RunReader, RunWriter

from .helpers import Array, arrays, assert_is, batch, segments, write_run


def plain(segment: Path) -> list[pa.RecordBatch]:
    """The batches of a sealed segment, without our reader."""
    with pa.memory_map(str(segment)) as file:
        opened = pa.ipc.open_file(file)
        return [opened.get_batch(i) for i in range(opened.num_record_batches)]


def test_a_sealed_segment_is_an_arrow_file(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=3)
    (segment,) = segments(tmp_path / "run")
    found = plain(segment)
    assert len(found) == 3
    for number, one in enumerate(found):
        assert_is(one, arrays(number))


def test_an_unsealed_segment_is_a_stream_from_byte_8(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run")
    run.write("samples", batch(0))
    run.write("samples", batch(1))
    run.flush()
    (segment,) = segments(tmp_path / "run")
    stream = pa.ipc.open_stream(segment.read_bytes()[8:])
    assert_is(stream.read_next_batch(), joined(0, 1))
    run.close()


def joined(*numbers: int) -> dict[str, Array]:
    parts = [arrays(number) for number in numbers]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_the_log_is_as_documented(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=3)
    (segment,) = segments(tmp_path / "run")
    data, log = segment.read_bytes(), segment.with_suffix(".log").read_bytes()
    assert log[:8] == b"TTAPLOG1"
    records = list(struct.iter_unpack("<QQII", log[8:]))
    assert [rows for _, rows, _, _ in records] == [8, 8, 8, 2**64 - 1]
    start = 0
    for number, (end, _, crc, own) in enumerate(records):
        assert crc == zlib.crc32(data[start:end])
        assert own == zlib.crc32(log[8 + 24 * number :][:20])
        start = end
    assert start == len(data)


def test_the_manifest_is_as_documented(tmp_path: Path) -> None:
    write_run(tmp_path / "run", metadata={"seed": 3, "tags": ["a", None], "nested": {"x": 1.5}})
    content = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert content.pop("created").endswith("+00:00")
    assert isinstance(content.pop("truetap"), str)
    assert content == {
        "format": "truetap-run",
        "version": 2,
        "tables": {"samples": {"segments": {"worker-00000": 1}}},
        "metadata": {"seed": 3, "tags": ["a", None], "nested": {"x": 1.5}},
        "complete": True,
    }
    assert sorted(os.listdir(tmp_path / "run")) == ["manifest.json", "samples"]


def test_small_batches_are_gathered_and_big_ones_are_not(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", gather_bytes=4000, flush_seconds=1e9) as run:
        for number in range(20):
            run.write("small", batch(number))  # 512 bytes each
        for number in range(3):
            run.write("big", batch(number, rows=100))
    sizes = [one.num_rows for one in plain(segments(tmp_path / "run", "small")[0])]
    assert sum(sizes) == 160
    assert sizes == [64, 64, 32]
    assert [one.num_rows for one in plain(segments(tmp_path / "run", "big")[0])] == [100] * 3


def test_order_is_kept_when_a_big_batch_follows_small_ones(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", gather_bytes=4000, flush_seconds=1e9) as run:
        run.write("t", pa.record_batch({"i": np.arange(10)}))
        run.write("t", pa.record_batch({"i": np.arange(10, 2000)}))
        run.write("t", pa.record_batch({"i": np.arange(2000, 2010)}))
    ids = np.concatenate([one.column("i").to_numpy() for one in plain(segments(tmp_path / "run", "t")[0])])
    np.testing.assert_array_equal(ids, np.arange(2010))


@pytest.mark.parametrize("rows", [8, 200_000])
def test_arrays_may_be_reused_once_written(tmp_path: Path, rows: int) -> None:
    values = np.zeros(rows)
    with RunWriter(tmp_path / "run", flush_seconds=1e9) as run:
        for number in range(3):
            values[:] = number
            run.write("t", pa.record_batch({"x": values}))
    read = np.concatenate([one.column("x").to_numpy() for one in plain(segments(tmp_path / "run", "t")[0])])
    np.testing.assert_array_equal(read, np.repeat([0.0, 1.0, 2.0], rows))


def test_gathered_rows_are_written_when_they_get_old(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run", flush_seconds=0.05)
    run.write("quiet", batch(0))
    assert not segments(tmp_path / "run", "quiet")
    time.sleep(0.06)
    run.write("busy", batch(0))
    assert RunReader(tmp_path / "run").num_rows("quiet") == 8
    run.close()


def test_segments_end_at_their_size(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=10, segment_bytes=3000)
    files = segments(tmp_path / "run")
    assert [file.name for file in files[:2]] == ["seg-000000.arrow", "seg-000001.arrow"]
    assert len(files) > 2
    found = [one for file in files for one in plain(file)]
    assert len(found) == 10
    for number, one in enumerate(found):
        assert_is(one, arrays(number))


def test_another_schema_begins_another_segment(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as run:
        run.write("t", pa.record_batch({"a": [1, 2]}))
        run.write("t", pa.record_batch({"a": [1.5]}))
        run.write("t", pa.record_batch({"a": [2.5], "b": ["x"]}))
    tables = [[one.to_pydict() for one in plain(file)] for file in segments(tmp_path / "run", "t")]
    assert tables == [[{"a": [1, 2]}], [{"a": [1.5]}], [{"a": [2.5], "b": ["x"]}]]


def test_a_column_whose_shape_changes_makes_one_transition(tmp_path: Path) -> None:
    lengths = [5, 5, 7, 5, 9, 9, 3, 5]
    with RunWriter(tmp_path / "run") as run:
        for number, length in enumerate(lengths):
            run.write("t", batch(number, shape=(length, 2)))
            run.flush()
    files = segments(tmp_path / "run", "t")
    assert [len(plain(file)) for file in files] == [2, 6]
    for number, length in enumerate(lengths[2:], 2):
        stored = plain(files[1])[number - 2].column("y_pred").to_pylist()
        expected = arrays(number, shape=(length, 2))["y_pred"]
        for row, values in zip(stored, expected, strict=True):
            assert row["shape"] == [length, 2]
            np.testing.assert_array_equal(np.float32(row["data"]).reshape(length, 2), values)


def test_each_column_makes_its_own_transition_and_not_more(tmp_path: Path) -> None:
    shapes = [(2, 2), (3, 2), (3, 3), (4, 4), (2, 2)]
    with RunWriter(tmp_path / "run") as run:
        for a, b in shapes:
            run.write("t", columns.record_batch([("a", np.ones((4, a))), ("b", np.zeros((4, b)))]))
    files = segments(tmp_path / "run", "t")
    assert len(files) == 3
    assert columns.is_variable(plain(files[2])[0].schema.field("b"))
    assert sum(one.num_rows for file in files for one in plain(file)) == 20


def test_another_rank_or_type_is_another_schema(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as run:
        for values in (np.ones((2, 3)), np.ones((2, 3, 1)), np.ones((2, 3, 1), np.float32)):
            run.write("t", columns.record_batch([("a", values)]))
    files = segments(tmp_path / "run", "t")
    assert [plain(file)[0].schema.field("a").type.shape for file in files] == [[3], [3, 1], [3, 1]]


def test_an_empty_batch_keeps_its_schema(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as run:
        run.write("t", batch(0, rows=0))
    (one,) = RunReader(tmp_path / "run").batches("t")
    assert one.schema.equals(batch(0).schema)
    assert one.num_rows == 0


def test_an_exception_closes_the_run_as_incomplete(tmp_path: Path) -> None:
    def fail() -> None:
        with RunWriter(tmp_path / "run") as run:
            run.write("samples", batch(0))
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail()
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert reader.num_rows("samples") == 8
    assert_is(plain(segments(tmp_path / "run")[0])[0], arrays(0))


def test_closing_twice_is_fine_and_writing_afterwards_is_not(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run")
    run.close(complete=False)
    run.close(complete=True)
    assert not RunReader(tmp_path / "run").complete
    closed = pytest.raises(StoreError, match="is closed: nothing more can be written")
    with closed:
        run.write("t", batch(0))
    with closed:
        run.flush()
    with closed:
        run.update_metadata({})


def test_metadata_are_merged_and_on_the_disk_at_once(tmp_path: Path) -> None:
    given: dict[str, JSON] = {"a": 1, "list": [1]}
    with RunWriter(tmp_path / "run", metadata=given) as run:
        given["a"] = 7
        run.update_metadata({"b": "ü"})
        run.update_metadata({"a": 2})
        assert RunReader(tmp_path / "run").metadata == {"a": 2, "list": [1], "b": "ü"}
    assert RunReader(tmp_path / "run").metadata == {"a": 2, "list": [1], "b": "ü"}


def test_many_tables(tmp_path: Path) -> None:
    names = ["samples", "conv1.kernel", "shared#1", "a=b", "größe"]
    with RunWriter(tmp_path / "run") as run:
        for number, name in enumerate(names):
            run.write(name, batch(number))
    reader = RunReader(tmp_path / "run")
    assert reader.tables == tuple(names)
    for number, name in enumerate(names):
        assert_is(reader.batches(name)[0], arrays(number))
