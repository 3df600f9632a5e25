"""Removes from a run what nobody counts: what a compaction that was interrupted left lying about.

To be called by the one who holds the run's lock. Only files that truetap names so are touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.layout import is_parquet as is_parquet_path
from truetap.store.layout import log_file, rank_of, segment_file, segment_numbers, unfinished
from truetap.store.manifest import Manifest, TableEntry
from truetap.store.worker import Worker


def remove_leftovers(folder: Path, manifest: Manifest, tables: Iterable[str] | None = None) -> None:
    """Remove segments that Parquet files have replaced, and Parquet files that the manifest doesn't name.

    Args:
        folder: The run's folder.
        manifest: What counts of what its worker wrote; that of others is let alone.
        tables: Names of the tables to look at; all by default.

    Raises:
        StoreError: The file system refuses.
    """
    try:
        for stale in folder.glob(f".{manifest.worker.manifest}.*"):
            stale.unlink(missing_ok=True)
        for table in manifest.tables if tables is None else tables:
            entry = manifest.tables[table]
            _remove_segments(folder / table, entry, manifest.worker)
            _remove_parquet(folder / table, entry, manifest.worker)
    except OSError as error:
        raise StoreError(
            f"Could not remove what an interrupted compaction left in {str(folder)!r}: "
            f"{error.strerror or error}. It counts for nothing; the run is whole."
        ) from error


def _remove_segments(table: Path, entry: TableEntry, worker: Worker) -> None:
    folder = table / worker.folder
    for number in segment_numbers(folder):
        if number < entry.replaced.get(worker.folder, 0):
            segment = segment_file(folder, number)
            segment.unlink(missing_ok=True)
            log_file(segment).unlink(missing_ok=True)
    if entry.replaced:
        with contextlib.suppress(OSError):  # it has other files, or is gone
            folder.rmdir()


def _remove_parquet(table: Path, entry: TableEntry, worker: Worker) -> None:
    known = {file.path for file in entry.parquet}
    for path in [*table.glob("*.parquet*"), *table.glob("phase=*/epoch=*/*.parquet*")]:
        name = path.relative_to(table).as_posix()
        whole = is_parquet_path(name)
        if name not in known and (whole or _is_unfinished(path, table)):
            if rank_of(name if whole else _finished(path).relative_to(table).as_posix()) != worker.rank:
                continue
            path.unlink(missing_ok=True)
            if worker.size > 1:  # another may be about to write into the same folder
                continue
            for parent in list(path.relative_to(table).parents)[:-1]:
                with contextlib.suppress(OSError):  # it has other files
                    (table / parent).rmdir()


def _is_unfinished(path: Path, table: Path) -> bool:
    finished = _finished(path)
    return unfinished(finished) == path and is_parquet_path(finished.relative_to(table).as_posix())


def _finished(path: Path) -> Path:
    return path.with_name(path.name[1:].removesuffix(".tmp"))
