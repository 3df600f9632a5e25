"""Inputs that are right, for each reader to start from: small runs and files of every form that a run may hold.

`tests/fuzz/corpus/run/recorded.bin` is a training that `tt.Recorder` recorded; the others are made here.
"""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.report import made
from tests.store.recorded import sample_rows
from truetap import columns
from truetap.store import RunReader, RunWriter

KINDS = ("numbers", "strings", "recorded")
CORPUS = Path(__file__).with_name("corpus")


def batch_of(kind: str, number: int) -> pa.RecordBatch:
    """A batch of eight rows."""
    rng = np.random.default_rng(number)
    if kind == "numbers":
        tensors = rng.standard_normal((8, 2, 3)).astype(np.float32)
        plain = {"sample_id": np.arange(8) + 8 * number, "half": tensors.astype(np.float16), "y_pred": tensors}
        return columns.record_batch(plain.items())
    if kind == "strings":
        names = np.array(["a", "bcd", "", "é"] * 2, object)
        tensors = np.ones((8, 2 + number, 2), np.float32)
        batch = columns.record_batch([("sample_id", names), ("x", tensors)], frozenset("x"))
        lists = pa.array([[1], [], None, [2, 3]] * 2, pa.list_(pa.int32()))
        flags = pa.array([True, None] * 4)
        return batch.append_column("lists", lists).append_column("flags", flags)
    return columns.record_batch(sample_rows(number).items())


def arrow_run(folder: Path, kind: str) -> Path:
    """A run of one table in one segment of three batches."""
    shutil.rmtree(folder, ignore_errors=True)
    with RunWriter(folder) as writer:
        for number in range(3):
            writer.write("samples", batch_of(kind, number))
            writer.flush()
    return folder


def runs(folder: Path) -> list[Path]:
    """Whole runs: one that was recorded, one made by hand in Arrow, one in Parquet, one of strings as ids."""
    shutil.rmtree(folder, ignore_errors=True)
    found = []
    for packed in sorted((CORPUS / "run").glob("recorded*.bin")):
        line, _, content = packed.read_bytes().partition(b"\n")
        at = 0
        for name, size in json.loads(line):
            path = folder / packed.stem / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content[at : at + size])
            at += size
        found.append(folder / packed.stem)
    names = np.array([f"image{n}.png" for n in range(12)], object)
    epochs = {"train": [made.of_classes(12, 3, seed, names) for seed in range(2)]}
    long = {"gradients": {"dense/kernel": np.array([0.1, 0.2])}}
    made.write(folder / "arrow", epochs, class_names=("a", "b", "c"), long=long, metrics=[{"loss": 1.0}, {"loss": 0.5}])
    found.append(folder / "arrow")
    with RunWriter(folder / "parquet", metadata=dict(RunReader(folder / "arrow").metadata)) as writer:
        for step in range(10):
            writer.write("samples", columns.record_batch(sample_rows(step).items()))
        writer.close(compact=True)
    found.append(folder / "parquet")
    return found


def foreign_streams() -> list[list[pa.RecordBatch]]:
    """Batches of types that Arrow has and truetap doesn't write by itself."""
    rows: dict[str, Any] = {
        "decimal": pa.array([1, None], pa.decimal128(20, 2)),
        "time": pa.array([1, 2], pa.timestamp("ns", "UTC")),
        "binary": pa.array([b"ab", b""], pa.large_binary()),
        "fixed": pa.array([b"ab", b"cd"], pa.binary(2)),
        "struct": pa.array([{"a": 1, "b": "x"}, None], pa.struct([("a", pa.int8()), ("b", pa.string())])),
        "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "strings": pa.array(["x", "y" * 20], pa.large_string()),
        "null": pa.nulls(2),
    }
    views = {"view": pa.array(["x", "y" * 20], pa.string_view())}
    kinds, places = pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32())
    union = {"union": pa.UnionArray.from_dense(kinds, places, [pa.array([1]), pa.array(["a"])])}
    runs_of = {"ends": pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array([1.0, 2.0]))}
    coded = {"coded": pa.array(["a", "b"]).dictionary_encode()}
    return [[pa.record_batch(one)] * 2 for one in ({**rows}, views, union, runs_of, coded)]


def parquet_files(folder: Path) -> list[bytes]:
    """Files as the store writes them, and as other writers do, each behind its line of the manifest."""
    found = []
    for place in runs(folder):
        reader = RunReader(place)
        manifest = json.loads((place / "manifest.json").read_bytes())
        for table in reader.tables:
            for entry in manifest["tables"][table].get("parquet", [])[:2]:
                content = (place / table / entry["path"]).read_bytes()
                found.append(json.dumps(entry).encode() + b"\n" + content)
    table = pa.Table.from_batches([batch_of("strings", 1)])
    numbers = pa.Table.from_batches([batch_of("recorded", n) for n in range(3)])
    for rows in (table, numbers):
        for options in (
            {"compression": "none", "use_dictionary": True},
            {"compression": "snappy", "use_dictionary": False, "data_page_version": "2.0"},
            {"compression": "none", "use_dictionary": False, "write_page_index": True},
            {"compression": "gzip", "store_schema": False},
        ):
            sink = io.BytesIO()
            pq.write_table(rows, sink, row_group_size=8, **options)
            line = {
                "path": "part-000000.parquet",
                "rows": len(rows),
                "group_rows": 8,
                "run_rows": 16,
                "sorted_by": None,
            }
            found.append(json.dumps(line).encode() + b"\n" + sink.getvalue())
    return found
