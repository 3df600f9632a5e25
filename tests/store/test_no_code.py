"""Nothing that a run holds is ever executed: no pickles, no types that others registered."""

from __future__ import annotations

import ast
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import truetap as tt
from truetap.errors import DamagedRunError, StoreError
from truetap.store import RunReader, RunWriter

from .helpers import ROOT

FORBIDDEN_MODULES = {
    "cloudpickle",
    "code",
    "dill",
    "joblib",
    "marshal",
    "pickle",
    "runpy",
    "shelve",
    "yaml",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {
    "from_pickle",
    "load_model",
    "load_module",
    "register_extension_type",
    "unsafe_load",
}


# What a process sends to the workers that it started on Ray, and they to it; nothing of it is read from a run.
SENT_TO_OWN_WORKERS = ["collecting.py: pickle", "reading.py: pickle", "shipping.py: load_model"]


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted((ROOT / "truetap").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def test_no_module_of_truetap_can_execute_data() -> None:
    found = []
    for path, node in sources():
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Call):
            found += [f"{path.name}: {said}" for said in _executes(node)]
        found += [f"{path.name}: {name}" for name in modules if name.split(".")[0] in FORBIDDEN_MODULES]
    assert sorted(found) == SENT_TO_OWN_WORKERS


def _executes(call: ast.Call) -> Iterator[str]:
    if isinstance(call.func, ast.Name) and call.func.id in FORBIDDEN_CALLS:
        yield call.func.id
    if not isinstance(call.func, ast.Attribute):
        return
    owner = call.func.value.id if isinstance(call.func.value, ast.Name) else ""
    if call.func.attr in FORBIDDEN_METHODS or (owner == "torch" and call.func.attr == "load"):
        yield call.func.attr
    if owner in ("np", "numpy") and call.func.attr == "load":
        plain = [each for each in call.keywords if each.arg == "allow_pickle"]
        if not plain or not isinstance(plain[0].value, ast.Constant) or plain[0].value.value is not False:
            yield "np.load without allow_pickle=False"


def test_the_search_finds_what_it_looks_for() -> None:
    calls = "eval(x); np.load(p); np.load(p, allow_pickle=True); torch.load(p); pa.register_extension_type(t)"
    found = [said for node in ast.walk(ast.parse(calls)) if isinstance(node, ast.Call) for said in _executes(node)]
    assert len(found) == 5
    assert not list(_executes(ast.parse("np.load(p, allow_pickle=False)", mode="eval").body))  # type: ignore[arg-type]


MADE: list[bytes] = []


class Hostile(pa.ExtensionType):  # type: ignore[misc]
    """A type of another package, which does as it likes with bytes of a file."""

    def __init__(self, name: str = "other.package") -> None:
        super().__init__(pa.int64(), name)

    def __arrow_ext_serialize__(self) -> bytes:
        return b"harm"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Hostile:
        MADE.append(serialized)
        return cls()


@pytest.fixture
def registered() -> Iterator[pa.RecordBatch]:
    """A batch of a type that somebody in this process has registered."""
    kind = Hostile()
    pa.register_extension_type(kind)
    MADE.clear()
    yield pa.record_batch({"a": pa.ExtensionArray.from_storage(kind, pa.array([1, 2, 3]))})
    pa.unregister_extension_type("other.package")


def manifest_of(folder: Path, entry: dict[str, Any]) -> None:
    RunWriter(folder).close()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tables"] = {"samples": entry}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("nested", [False, True])
def test_a_segment_with_a_type_of_others(tmp_path: Path, registered: pa.RecordBatch, nested: bool) -> None:
    batch = registered
    if nested:
        batch = pa.record_batch({"s": pa.StructArray.from_arrays([registered.column(0)], ["inner"])})
    manifest_of(tmp_path / "run", {"segments": {"worker-00000": 1}})
    segment = tmp_path / "run/samples/worker-00000/seg-000000.arrow"
    segment.parent.mkdir(parents=True)
    with pa.ipc.new_file(segment, batch.schema) as writer:
        writer.write_batch(batch)
    content = segment.read_bytes()
    body = struct.pack("<QQI", len(content), 3, zlib.crc32(content))
    segment.with_suffix(".log").write_bytes(b"TTAPLOG1" + body + struct.pack("<I", zlib.crc32(body)))
    MADE.clear()
    with pytest.raises(DamagedRunError, match=r"extension type 'other.package', which code outside of Arrow"):
        RunReader(tmp_path / "run").batches("samples")[0]
    with pytest.raises(DamagedRunError, match=r"extension type 'other.package'"):
        tt.open(tmp_path / "run").sql("select * from samples")
    assert MADE == []
    pa.ipc.open_file(segment)
    assert MADE == [b"harm"], "which Arrow by itself would have called"


def test_a_parquet_file_with_a_type_of_others(tmp_path: Path, registered: pa.RecordBatch) -> None:
    folder = tmp_path / "run"
    path = folder / "samples" / "part-000000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_batches([registered]), path)
    content = path.read_bytes()
    said = {"path": path.name, "rows": 3, "bytes": len(content), "crc": zlib.crc32(content)}
    path.rename(tmp_path / "kept")
    path.parent.rmdir()
    manifest_of(folder, {"segments": {}, "parquet": [said | {"group_rows": 4, "run_rows": 4, "sorted_by": None}]})
    path.parent.mkdir()
    (tmp_path / "kept").rename(path)
    MADE.clear()
    with pytest.raises(DamagedRunError, match=r"extension type 'other.package', which code outside of Arrow"):
        RunReader(folder).batches("samples")[0]
    assert MADE == []
    pq.ParquetFile(path)
    assert b"harm" in MADE, "which Arrow by itself would have called"


def test_a_type_of_others_is_not_written(tmp_path: Path, registered: pa.RecordBatch) -> None:
    with RunWriter(tmp_path / "run") as writer, pytest.raises(StoreError) as caught:
        writer.write("samples", registered)
    assert "A run holds no extension type 'other.package'" in str(caught.value)
    assert "give its storage" in str(caught.value)
