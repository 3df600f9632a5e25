"""The manifest of a run: what it is, which tables it has, the user's metadata, whether it ended.

A JSON file that is replaced as a whole, so a reader sees the old one or the new one. Keys it does
not know are left alone by a reader; a change that older readers would misread raises the version.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import truetap
from truetap.errors import DamagedRunError, StoreError
from truetap.store.files import Place, files_of
from truetap.store.layout import is_parquet, is_table, is_worker, part_of, rank_of, unfinished_manifest
from truetap.store.worker import ALONE, Worker

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

FORMAT = "truetap-run"
LARGEST = 64 << 20  # bytes; a hundred thousand Parquet files take half of it
MOST_RUN_ROWS = 1 << 20  # of a Parquet file: they are decoded together
VERSION = 3  # 1 and 2 are read as well: of 2 on, segments can be replaced by Parquet files; 3 has several workers
_OF_ONE_WORKER = 2
MOST_WORKERS = 10_000


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file that holds rows of a table.

    Attributes:
        path: Relative to the table's folder; names phase and epoch when all rows are of one.
        rows: Its rows.
        bytes: Its size.
        crc: The crc32 of all of it.
        group_rows: Rows of each row group but the last of a run.
        run_rows: Rows of each run but the last: row groups that are sorted, if they are, together.
        sorted_by: Column by which each run is sorted, rather than by step and position.
    """

    path: str
    rows: int
    bytes: int
    crc: int
    group_rows: int
    run_rows: int
    sorted_by: str | None = None

    @property
    def part(self) -> tuple[str, int] | None:
        """Phase and epoch of its rows, if all are of one."""
        return part_of(self.path)


@dataclass(frozen=True)
class TableEntry:
    """Where the rows of a table are.

    Attributes:
        segments: For every worker, how many segments were begun.
        replaced: For every worker, how many of these, the first ones, count no more: their rows are
            in Parquet files, or were removed.
        parquet: The Parquet files, in the order of their rows.
        removed_rows: How many rows were removed, the oldest ones, to keep the run small.
    """

    segments: Mapping[str, int] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)
    parquet: tuple[ParquetFile, ...] = ()
    removed_rows: int = 0

    def to_json(self) -> dict[str, Any]:
        """The entry as it is in the file."""
        entry: dict[str, Any] = {"segments": dict(self.segments)}
        if self.replaced:
            entry["replaced"] = dict(self.replaced)
        if self.parquet:
            entry["parquet"] = [vars(file) for file in self.parquet]
        if self.removed_rows:
            entry["removed_rows"] = self.removed_rows
        return entry


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Attributes:
        created: When the run was begun, ISO 8601.
        truetap: Version of truetap that wrote it.
        tables: The tables, in the order in which they were begun.
        metadata: The user's own.
        complete: Whether the run ended as intended.
        worker: Who wrote it; of a run that several write, each writes its own.
        absent: Of all workers' manifests together: the ranks of those that have none.
    """

    created: str
    truetap: str
    tables: Mapping[str, TableEntry] = field(default_factory=dict)
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    complete: bool = False
    worker: Worker = ALONE
    absent: tuple[int, ...] = ()

    def to_json(self) -> str:
        """The text of the file."""
        tables = {name: entry.to_json() for name, entry in self.tables.items()}
        several = {"worker": self.worker.rank, "workers": self.worker.size} if self.worker.size > 1 else {}
        content = {
            "format": FORMAT,
            "version": VERSION if several else _OF_ONE_WORKER,
            "created": self.created,
            "truetap": self.truetap,
            "tables": tables,
            "metadata": self.metadata,
            "complete": self.complete,
            **several,
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def writer_version() -> str:
    """The version of truetap that is running."""
    return truetap.__version__


def checked_metadata(metadata: Mapping[str, JSON]) -> dict[str, JSON]:
    """A copy of the user's metadata, as JSON would give it back.

    Raises:
        StoreError: It isn't JSON.
    """
    try:
        copied = json.loads(json.dumps(metadata, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"Metadata must be JSON: {error}. Received: {metadata!r:.200}. Expected: a dict of strings, "
            "finite numbers, bools, None, lists and dicts; convert the others, e.g. with float() or str()."
        ) from error
    if not isinstance(copied, dict):
        raise StoreError(f"Metadata must be a dict. Received: {metadata!r:.200}.")
    return copied


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest of a run, on the disk before it is seen.

    Raises:
        StoreError: It can't be written; the old one is left as it was.
    """
    path = folder / manifest.worker.manifest
    temporary = unfinished_manifest(path)
    content = manifest.to_json().encode()
    if len(content) > LARGEST:
        raise StoreError(
            f"Could not write {str(path)!r}. Received: {len(content):,} bytes, most of it metadata. Expected: at most "
            f"{LARGEST:,}, which is all that is read of a manifest. Keep large values in a table, not in metadata."
        )
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed and had the same number; or a link
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):  # what is reported is why the write failed
            temporary.unlink()
        raise StoreError(f"Could not write {str(path)!r}: {error.strerror or error}.") from error


def read_manifest(folder: Place) -> Manifest:
    """Read the manifest of a run; of several workers, what their manifests say together.

    Raises:
        FileNotFoundError: There is none.
        StoreError: It is another program's, or of a version that this truetap can't read.
        DamagedRunError: It isn't what a writer writes.
    """
    first = read_manifest_of(folder, 0)
    found = [first]
    for worker in first.worker.all()[1:]:
        with contextlib.suppress(FileNotFoundError):  # it has not begun yet, or never will
            found.append(read_manifest_of(folder, worker.rank))
    return _together(found) if first.worker.size > 1 else first


def _together(manifests: Sequence[Manifest]) -> Manifest:
    """The manifests of a run's workers as one; where they differ about the user's metadata, the first is right."""
    first = manifests[0]
    tables: dict[str, TableEntry] = {}
    metadata: dict[str, JSON] = {}
    for manifest in manifests:
        metadata = {**manifest.metadata, **metadata}
        for name, entry in manifest.tables.items():
            known = tables.get(name, TableEntry())
            tables[name] = TableEntry(
                {**known.segments, **entry.segments},
                {**known.replaced, **entry.replaced},
                (*known.parquet, *entry.parquet),
                known.removed_rows + entry.removed_rows,
            )
        if manifest.worker.size != first.worker.size:
            raise DamagedRunError(
                f"Manifests of two runs lie in one folder: of {first.worker}, and of {manifest.worker}. Expected: one "
                "number of workers. Remove those of the run that was not meant to be there."
            )
    there = {manifest.worker.rank for manifest in manifests}
    absent = tuple(rank for rank in range(first.worker.size) if rank not in there)
    complete = not absent and all(manifest.complete for manifest in manifests)
    return replace(first, tables=tables, metadata=metadata, complete=complete, absent=absent)


def read_manifest_of(folder: Place, rank: int) -> Manifest:
    """Read what one worker says of a run; raises as `read_manifest`."""
    path = folder / Worker(rank).manifest
    try:
        size = files_of(path).size(path)
        if size > LARGEST:
            raise DamagedRunError(
                f"{str(path)!r} is not read. Received: {size:,} bytes. Expected: at most {LARGEST:,}, which no truetap "
                "exceeds. Restore it from a copy."
            )
        content = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"Could not read {str(path)!r}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise DamagedRunError(
            f"{str(path)!r} is not JSON: {error}. It is replaced as a whole, so another program "
            "changed it, or the disk did. Restore it from a copy; the tables beside it may be whole."
        ) from error
    return _parse(path, content, rank)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _parse(path: Place, content: Any, rank: int) -> Manifest:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise StoreError(
            f"{str(path)!r} belongs to no truetap run. Received: format {found!r:.80}. Expected: {FORMAT!r}."
        )
    version = content.get("version")
    if type(version) is int and version > VERSION:
        raise StoreError(
            f"The run of {str(path)!r} is of a newer format. Received: version {version}. Expected: "
            f"version {VERSION}, which this truetap ({writer_version()}) reads. Upgrade truetap to read it."
        )
    if type(version) is not int or not 1 <= version <= VERSION:
        raise _damaged(path, "version", version)
    for key, kind in (("created", str), ("truetap", str), ("metadata", dict), ("complete", bool)):
        if not isinstance(content.get(key), kind):
            raise _damaged(path, key, content.get(key))
    worker = _parse_worker(path, content, rank)
    tables = _parse_tables(path, content.get("tables"))
    for name, entry in tables.items() if worker.size > 1 else ():
        of_others = {*entry.segments, *entry.replaced} - {worker.folder}
        if of_others or any(rank_of(file.path) != rank for file in entry.parquet):
            raise _damaged(path, "tables", {name: content["tables"][name]})
    return Manifest(
        created=content["created"],
        truetap=content["truetap"],
        tables=tables,
        metadata=content["metadata"],
        complete=content["complete"],
        worker=worker,
    )


def _parse_worker(path: Place, content: Mapping[str, Any], rank: int) -> Worker:
    if content["version"] <= _OF_ONE_WORKER:
        if rank:
            raise _damaged(path, "version", content["version"])
        return ALONE
    size = content.get("workers")
    if type(size) is not int or not 2 <= size <= MOST_WORKERS:
        raise _damaged(path, "workers", size)
    if content.get("worker") != rank or rank >= size:
        raise _damaged(path, "worker", content.get("worker"))
    return Worker(rank, size)


def _parse_tables(path: Place, tables: Any) -> dict[str, TableEntry]:
    if not isinstance(tables, dict):
        raise _damaged(path, "tables", tables)
    parsed: dict[str, TableEntry] = {}
    for name, entry in tables.items():
        if not is_table(name) or not isinstance(entry, dict):
            raise _damaged(path, "tables", {name: entry})
        segments, replaced, files = entry.get("segments"), entry.get("replaced", {}), entry.get("parquet", [])
        removed = entry.get("removed_rows", 0)
        if not _are_counts(segments) or not _are_counts(replaced) or not _are_files(files) or not _is_count(removed):
            raise _damaged(path, "tables", {name: entry})
        parsed[name] = TableEntry(segments, replaced, tuple(ParquetFile(**file) for file in files), removed)
    return parsed


def _are_counts(workers: Any) -> TypeGuard[dict[str, int]]:
    return isinstance(workers, dict) and all(is_worker(name) and _is_count(count) for name, count in workers.items())


def _is_count(number: Any) -> TypeGuard[int]:
    return type(number) is int and 0 <= number < 2**63


def _are_files(files: Any) -> bool:
    return isinstance(files, list) and all(_is_file(file) for file in files)


def _is_file(file: Any) -> bool:
    if not isinstance(file, dict) or file.keys() != {known.name for known in fields(ParquetFile)}:
        return False
    numbers = [file[key] for key in ("rows", "bytes", "crc", "group_rows", "run_rows")]
    return (
        isinstance(file["path"], str)
        and is_parquet(file["path"])
        and isinstance(file["sorted_by"], str | None)
        and all(map(_is_count, numbers))
        and 0 < file["group_rows"] <= file["run_rows"]
        and file["run_rows"] <= MOST_RUN_ROWS
        and file["run_rows"] % file["group_rows"] == 0
    )


def _damaged(path: Place, key: str, value: Any) -> DamagedRunError:
    return DamagedRunError(
        f"{str(path)!r} holds {key!r} as no truetap writes it. Received: {value!r:.200}. "
        "Restore the file from a copy, or repair it by hand."
    )
