"""The readers that are fuzzed: each takes bytes, puts them where a run has them, and reads all there is.

A target either reads its input or raises an error of truetap's own; `expected` says which others are no fault where
DuckDB or the layers above the store speak. Checksums are forged, so that what they would refuse gets to the readers.
"""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

import truetap as tt
from tests.fuzz import mutate, seeds
from tests.fuzz.packing import SEALED, pack_files, pack_run, pack_stream, packed, unpack_run
from tests.fuzz.reading import read_store, refuse_memory, touch, tried
from truetap.errors import TruetapError
from truetap.store.lookup import rows_where
from truetap.store.manifest import ParquetFile, _is_file, read_manifest
from truetap.store.mapped import MappedSegment
from truetap.store.parquet_reader import ParquetSource
from truetap.store.snapshot import take_snapshot

QUERIES = (
    "select count(*) from samples",
    "select max(columns(*)::varchar) from samples",
    "select * from samples limit 3",
    "select * from samples where sample_id = 7919",
)


class Target(ABC):
    """A reader.

    Args:
        folder: Where its files go; a memory file system makes it fast.

    Attributes:
        name: Also of its folder in the corpus.
        expected: Errors that are an answer.
        bounded: Whether memory is bounded by the size of the file, not by the limit that DuckDB has.
    """

    name: str
    bounded = True
    whole_each = 16  # one of so many inputs is read by all that the store has; all of them with 1
    expected: tuple[type[BaseException], ...] = (TruetapError,)

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "run"

    @abstractmethod
    def seeds(self) -> list[bytes]:
        """Inputs that are right."""

    @abstractmethod
    def read(self, data: bytes) -> None:
        """Reads the input, as a user might."""

    def is_whole(self, data: bytes) -> bool:
        """Whether this input is read by all that the store has, not by its own reader alone."""
        return zlib.crc32(data) % self.whole_each == 0

    def changed(self, data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
        """An input made of one that is right."""
        return mutate.changed(data, others, rng)


class ManifestTarget(Target):
    """`manifest.json`, beside a table that is whole."""

    name = "manifest"

    def seeds(self) -> list[bytes]:
        found = []
        for path in seeds.runs(self.folder.parent / "seeds"):
            found.append((path / "manifest.json").read_bytes())
        shutil.copytree(self.folder.parent / "seeds" / "recorded", self.folder, dirs_exist_ok=True)
        return found

    def changed(self, data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
        return mutate.changed_json(data, others, rng)

    def read(self, data: bytes) -> None:
        (self.folder / "manifest.json").write_bytes(data)
        if self.is_whole(data):
            read_store(self.folder, values=False)
        else:
            for table, entry in read_manifest(self.folder).tables.items():
                tried(lambda table=table, entry=entry: [ParquetSource(self.folder / table, e) for e in entry.parquet])


class LogTarget(Target):
    """A commit log beside a segment of three batches; half of them with the checksum of each record made right."""

    name = "commit log"

    def seeds(self) -> list[bytes]:
        run = seeds.arrow_run(self.folder, "numbers")
        log = (run / "samples/worker-00000/seg-000000.log").read_bytes()
        return [b"\0" + log, b"\1" + log, b"\1" + log[:-24], b"\1" + log[:32] * 3]

    def read(self, data: bytes) -> None:
        log = data[1:]
        if data[:1] == b"\1":
            log = b"TTAPLOG1" + b"".join(
                log[at : at + 20] + struct.pack("<I", zlib.crc32(log[at : at + 20]))
                for at in range(8, len(log) - 19, 24)
            )
        segment = self.folder / "samples/worker-00000/seg-000000.arrow"
        segment.with_suffix(".log").write_bytes(log)
        if self.is_whole(data):
            read_store(self.folder, values=False)
        else:
            snapshot = take_snapshot(segment)
            if snapshot.commits:
                tried(lambda: MappedSegment(snapshot).read(len(snapshot.commits) - 1, None))


class SegmentTarget(Target):
    """An Arrow segment: how many batches, where each ends, its rows, and the bytes; the checksums are made right."""

    name = "segment"

    def seeds(self) -> list[bytes]:
        found = []
        for kind in seeds.KINDS:
            run = seeds.arrow_run(self.folder, kind)
            segment = run / "samples/worker-00000/seg-000000.arrow"
            found += [packed(segment, sealed=False), packed(segment, sealed=True)]
        found += [pack_stream(stream) for stream in seeds.foreign_streams()]
        seeds.arrow_run(self.folder, "numbers")
        return found

    def read(self, data: bytes) -> None:
        count = data[0] if data else 0
        commits = [struct.unpack_from("<II", data, 1 + 8 * n) for n in range(count) if len(data) >= 9 + 8 * n]
        content = data[1 + 8 * count :]
        records, start = [], 0
        for end, rows in commits:
            crc = zlib.crc32(content[start:end])
            body = struct.pack("<QQI", end, SEALED if rows == 2**32 - 1 else rows, crc)
            records.append(body + struct.pack("<I", zlib.crc32(body)))
            start = end
        segment = self.folder / "samples/worker-00000/seg-000000.arrow"
        segment.write_bytes(content)
        segment.with_suffix(".log").write_bytes(b"TTAPLOG1" + b"".join(records))
        if self.is_whole(data):
            read_store(self.folder)
        else:
            source = MappedSegment(take_snapshot(segment), check=bool(len(data) % 2))
            for number in range(source.num_batches):
                tried(lambda number=number: touch(source.read(number, None), True))


class ParquetTarget(Target):
    """A Parquet file behind the line that the manifest has of it; size and checksum are made right."""

    name = "parquet"

    def seeds(self) -> list[bytes]:
        found = seeds.parquet_files(self.folder.parent / "seeds")
        seeds.arrow_run(self.folder, "numbers")
        return found

    def changed(self, data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
        line, _, content = data.partition(b"\n")
        if rng.random() < 0.2:
            line = mutate.changed_json(line, [line], rng).replace(b"\n", b" ")
        if rng.random() < 0.9:
            contents = [other.partition(b"\n")[2] for other in others]
            content = mutate.changed(content, contents, rng)
        return line + b"\n" + content

    def place(self, data: bytes) -> dict[str, Any]:
        """Puts the file where a run has it; what the manifest has of it."""
        line, _, content = data.partition(b"\n")
        try:
            said = json.loads(line)
        except ValueError:
            said = {}
        entry = dict(said) if isinstance(said, dict) else {}
        path = str(entry.get("path", "part-000000.parquet"))
        plain = path.isascii() and path.endswith(".parquet") and len(path) < 90
        if not plain or ".." in path or path.startswith("/") or "\0" in path:
            path = "part-000000.parquet"
        entry |= {"path": path, "bytes": len(content), "crc": zlib.crc32(content)}
        table = self.folder / "samples"
        shutil.rmtree(table, ignore_errors=True)
        (table / path).parent.mkdir(parents=True)
        (table / path).write_bytes(content)
        manifest = json.loads((self.folder / "manifest.json").read_bytes())
        manifest["tables"] = {"samples": {"segments": {}, "parquet": [entry]}}
        (self.folder / "manifest.json").write_text(json.dumps(manifest))
        return entry

    def read(self, data: bytes) -> None:
        entry = self.place(data)
        if self.is_whole(data):
            read_store(self.folder)
        elif _is_file(entry):
            file = ParquetFile(**entry)
            source = ParquetSource(self.folder / "samples", file, check=bool(len(data) % 2))
            for number in range(min(source.num_batches, 20)):
                tried(lambda number=number: touch(source.read(number, None), True))
            tried(lambda: rows_where([ParquetSource(self.folder / "samples", file)], [], "sample_id", 7919, None))


class SqlTarget(ParquetTarget):
    """The same file, read by DuckDB as `run.sql` uses it."""

    name = "sql"
    bounded = False
    expected = (TruetapError, duckdb.Error)

    def read(self, data: bytes) -> None:
        self.place(data)
        run = tt.open(self.folder)
        for query in QUERIES:
            try:
                run.sql(query).fetchall()
            except (duckdb.InternalException, duckdb.FatalException) as error:
                raise AssertionError("DuckDB failed inside") from error
            except self.expected as error:
                refuse_memory(error)


class RunTarget(Target):
    """A small recorded run read as users do; bytes of any of its files change, or its metadata are bent."""

    name = "run"
    expected = (Exception,)  # what rows of another schema mean above the store is no crash

    def seeds(self) -> list[bytes]:
        return [pack_run(path) for path in seeds.runs(self.folder.parent / "seeds")]

    def changed(self, data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
        files = unpack_run(data)
        name = sorted(files)[int(rng.integers(len(files)))]
        if name == "manifest.json" or rng.random() < 0.5:
            manifest = json.loads(files["manifest.json"])
            bent = mutate.changed_json(json.dumps(manifest["metadata"]).encode(), [b"{}"], rng)
            try:
                manifest["metadata"] = json.loads(bent)
            except ValueError:
                manifest["metadata"] = {}
            files["manifest.json"] = json.dumps(manifest).encode()
        else:
            others_of = [unpack_run(other).get(name, b"") for other in others]
            files[name] = mutate.changed(files[name], others_of, rng)
        return pack_files(files)

    def read(self, data: bytes) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, content in unpack_run(data).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
        run = tt.open(self.folder)
        calls: list[Any] = [
            lambda: repr(run),
            lambda: run.phases,
            lambda: (run.samples().y_pred, run.samples().evaluate(), repr(run.samples())),
            lambda: run.samples().to_arrow().num_rows,
            run.scalars,
            run.epochs,
            run.overhead,
            lambda: repr(run.activations()),
            lambda: run.activations("dense").statistics,
            lambda: run.history(7919),
            run.label_issues,
            run.duplicates,
            run.diagnose,
            lambda: run.sql("select * from samples limit 3").fetchall(),
            run.verify,
        ]
        for call in calls:
            try:
                call()
            except (MemoryError, RecursionError, SystemError):
                raise
            except Exception as error:  # said in words, whatever the layer above the store says
                refuse_memory(error)


class ReportTarget(RunTarget):
    """The content of a report from such a run, and its page."""

    name = "report"

    def read(self, data: bytes) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, content in unpack_run(data).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(content)
        try:
            page = Path(tt.open(self.folder).report(self.folder.parent / "report.html"))
        except (MemoryError, RecursionError, SystemError):
            raise
        except Exception as error:
            refuse_memory(error)
            return
        text = page.read_text()
        if text.count("</script>") != text.count("<script"):
            raise AssertionError("a string of the run ended a script of the page")


class QueryTarget(Target):
    """A query string as the server reads it: what it may have, each in each of the forms."""

    name = "query"

    def seeds(self) -> list[bytes]:
        plain = b"run=0&phase=val&epoch=3&table=samples"
        return [plain, b"ids=[%22a%22]&rows=1,2,3&offset=10", b"flag=1&sort=loss&n=-5"]

    def read(self, data: bytes) -> None:
        from starlette.datastructures import QueryParams

        from truetap.server.asked import Asked
        from truetap.server.refusal import Refusal

        known = ("run", "phase", "epoch", "table", "ids", "rows", "offset", "flag", "sort", "n")
        text = data.decode("latin1")
        calls: tuple[Callable[[Asked], object], ...] = (
            lambda asked: asked.text("phase"),
            lambda asked: asked.number("n", 0, -9, 9),
            lambda asked: asked.optional("epoch"),
            lambda asked: asked.numbers("rows", 100, 10),
            lambda asked: asked.words("ids", 10),
            lambda asked: asked.choice("sort", ("loss", "id"), "loss"),
            lambda asked: asked.flag("flag"),
        )
        for call in calls:
            try:
                call(Asked(QueryParams(text), known))
            except Refusal as refusal:
                if not 400 <= refusal.status < 500:
                    raise AssertionError(f"status {refusal.status}") from refusal


TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        ManifestTarget,
        LogTarget,
        SegmentTarget,
        ParquetTarget,
        SqlTarget,
        RunTarget,
        ReportTarget,
        QueryTarget,
    )
}


__all__ = ["TARGETS", "Target", "refuse_memory"]
