"""Small files that claim to be large: refused with the numbers, before memory is taken for what they claim.

The runs are read in a process that may take 300 MB beyond what it needs to begin.
"""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from truetap.errors import DamagedRunError, StoreError
from truetap.store import RunReader, RunWriter

from .helpers import run_python, segments, write_run

READ = """
import resource, sys
import pyarrow, pyarrow.parquet, numpy
from truetap.errors import DamagedRunError, StoreError
from truetap.store import RunReader
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (300 << 20)
resource.setrlimit(resource.RLIMIT_AS, (size, size))
try:
    reader = RunReader(sys.argv[1])
    for problem in reader.verify():
        print(problem.what)
    for batch in reader.batches("samples"):
        print(batch.num_rows, "rows")
except DamagedRunError as error:
    assert not isinstance(error.__cause__, MemoryError), "only the lack of memory has stopped it"
    print("refused:", error)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", batches=3)
    return tmp_path / "run"


def parquet_run(folder: Path, table: pa.Table, **entry: Any) -> None:
    """A run of one Parquet file, whose line in the manifest is as asked."""
    RunWriter(folder).close()
    (folder / "samples").mkdir()
    path = folder / "samples" / "part-000000.parquet"
    pq.write_table(table, path, compression="zstd", store_schema=False)  # dictionaries as plain columns
    said = {
        "path": path.name,
        "rows": len(table),
        "bytes": path.stat().st_size,
        "crc": zlib.crc32(path.read_bytes()),
        "group_rows": 1 << 20,
        "run_rows": 1 << 20,
        "sorted_by": None,
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"] = {"samples": {"segments": {}, "parquet": [said | entry]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def segment_run(folder: Path, batch: pa.RecordBatch, options: pa.ipc.IpcWriteOptions | None = None) -> None:
    """A run of one segment that another writer wrote, with checksums that fit."""
    RunWriter(folder).close()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"] = {"samples": {"segments": {"worker-00000": 1}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    segment = folder / "samples" / "worker-00000" / "seg-000000.arrow"
    segment.parent.mkdir(parents=True)
    with pa.ipc.new_file(segment, batch.schema, options=options) as writer:
        writer.write_batch(batch)
        end = segment.stat().st_size
    content = segment.read_bytes()
    body = struct.pack("<QQI", end, batch.num_rows, zlib.crc32(content[:end]))
    segment.with_suffix(".log").write_bytes(b"TTAPLOG1" + body + struct.pack("<I", zlib.crc32(body)))


def test_a_manifest_of_a_gigabyte(run: Path) -> None:
    with (run / "manifest.json").open("r+b") as file:
        file.truncate(1 << 30)
    assert "Received: 1,073,741,824 bytes. Expected: at most 67,108,864" in run_python(READ, run)


def test_metadata_that_no_manifest_holds_is_not_written(run: Path) -> None:
    before = (run / "manifest.json").read_bytes()
    with RunWriter(run, append=True) as writer, pytest.raises(StoreError, match=r"Keep large values in a table"):
        writer.update_metadata({"x": "y" * (65 << 20)})
    assert b'"x"' not in (run / "manifest.json").read_bytes()
    assert len((run / "manifest.json").read_bytes()) == len(before)


@pytest.mark.parametrize("garbage", [False, True])
def test_a_log_larger_than_reason(run: Path, garbage: bool) -> None:
    (segment,) = segments(run)
    with segment.with_suffix(".log").open("r+b") as file:
        file.truncate(1 << 34)  # a file with a hole, which takes no place
        if garbage:
            file.seek(0)
            file.write(b"TTAPLOG1" + np.random.default_rng(0).bytes(2000))
    said = run_python(READ, run).splitlines()
    assert any("a log of 17,179,869,184 bytes; of a segment of" in line for line in said)
    assert said.count("8 rows") == (0 if garbage else 3)


def test_a_compressed_batch(tmp_path: Path) -> None:
    zeros = pa.record_batch({"a": np.zeros(1 << 24)})
    segment_run(tmp_path / "run", zeros, pa.ipc.IpcWriteOptions(compression="zstd"))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 100_000
    assert "holds no record batch (a compressed batch, whose size" in run_python(READ, tmp_path / "run")


def test_rows_of_nothing(tmp_path: Path) -> None:
    segment_run(tmp_path / "run", pa.record_batch({"a": pa.nulls(10**9)}))
    assert "holds no record batch (1,000,000,000 values in 0 bytes)" in run_python(READ, tmp_path / "run")


def test_some_rows_of_nothing_are_read(tmp_path: Path) -> None:
    empty = pa.array([[]] * 1000, pa.list_(pa.int8(), 0))
    segment_run(tmp_path / "run", pa.record_batch({"a": pa.nulls(1000), "b": empty}))
    assert "1000 rows" in run_python(READ, tmp_path / "run")


def test_a_long_string_a_million_times(tmp_path: Path) -> None:
    strings = pa.DictionaryArray.from_arrays(np.zeros(1 << 20, np.int32), ["x" * (1 << 20)])
    parquet_run(tmp_path / "run", pa.table({"s": strings}))
    assert (tmp_path / "run/samples/part-000000.parquet").stat().st_size < 1_000_000
    said = run_python(READ, tmp_path / "run")
    assert "rows that take 1,099," in said, said
    assert "at most 536," in said


def test_a_page_of_zeros(tmp_path: Path) -> None:
    """More than is decoded together, from a file of some kilobytes."""
    lists = pa.ListArray.from_arrays(pa.array([0, 80 << 20], pa.int32()), pa.array(np.zeros(80 << 20)))
    parquet_run(tmp_path / "run", pa.table({"a": lists}))
    assert (tmp_path / "run/samples/part-000000.parquet").stat().st_size < 1_000_000
    assert "rows that take 671," in run_python(READ, tmp_path / "run")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"rows": 2**60, "group_rows": 256, "run_rows": 256}, "1,152,921,504,606,846,976 rows in runs of 256"),
        ({"rows": 2**62, "group_rows": 2**62, "run_rows": 2**62}, "holds 'tables' as no truetap writes it"),
        ({"rows": 2**20}, "8 rows where 1048576 were written"),
    ],
)
def test_a_manifest_that_promises_rows(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    parquet_run(tmp_path / "run", pa.table({"a": np.zeros(8)}), **entry)
    assert said in run_python(READ, tmp_path / "run")


def test_types_that_stand_for_more_than_their_bytes(tmp_path: Path) -> None:
    views = pa.record_batch({"a": pa.array(["long enough for a view"] * 3, pa.string_view())})
    segment_run(tmp_path / "run", views)
    with pytest.raises(DamagedRunError, match=r"no Arrow schema \(views, which may share their bytes: string_view"):
        RunReader(tmp_path / "run").batches("samples")[0]
    with (
        RunWriter(tmp_path / "other") as writer,
        pytest.raises(StoreError, match=r"holds no views.*cast the column"),
    ):
        writer.write("samples", views)
