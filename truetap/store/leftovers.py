"""Removes from a run what nobody counts: what has moved or was given up, and what an interrupted compaction left.

To be called by the one who holds the run's lock. Only files that truetap names so are touched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.layout import is_parquet as is_parquet_path
from truetap.store.layout import (
    is_unfinished_manifest,
    log_file,
    rank_of,
    segment_file,
    segment_numbers,
    unfinished,
    worker_folders,
)
from truetap.store.manifest import Manifest, TableEntry
from truetap.store.plain import check_folder
from truetap.store.worker import Worker


def remove_leftovers(
    folder: Path, manifest: Manifest, tables: Iterable[str] | None = None, *, keep_folders: bool = False
) -> None:
    """Remove segments that count no more, and Parquet files that the manifest doesn't name.

    Args:
        folder: The run's folder.
        manifest: What counts of what its worker wrote; that of others is let alone.
        tables: Names of the tables to look at; all by default.
        keep_folders: Whether folders of workers stay that become empty, since more comes.

    Raises:
        StoreError: The file system refuses.
    """
    try:
        for stale in folder.iterdir():
            if is_unfinished_manifest(stale.name, manifest.worker.manifest):
                stale.unlink(missing_ok=True)
        for table in manifest.tables if tables is None else tables:
            entry = manifest.tables[table]
            _remove_segments(folder / table, entry, manifest.worker, keep_folders)
            _remove_parquet(folder / table, entry, manifest.worker)
    except OSError as error:
        raise StoreError(
            f"Could not remove files that count no more from {str(folder)!r}: "
            f"{error.strerror or error}. The run is whole."
        ) from error


def _remove_segments(table: Path, entry: TableEntry, worker: Worker, keep_folders: bool) -> None:
    for folder in worker_folders(table) if worker.size == 1 else [table / worker.folder]:
        for number in segment_numbers(folder):
            if number < entry.replaced.get(folder.name, 0):
                segment = segment_file(folder, number)
                segment.unlink(missing_ok=True)
                log_file(segment).unlink(missing_ok=True)
        if entry.replaced and not keep_folders:
            with contextlib.suppress(OSError):  # it has other files, or is gone
                folder.rmdir()


def _remove_parquet(table: Path, entry: TableEntry, worker: Worker) -> None:
    known = {file.path for file in entry.parquet}
    check_folder(table)
    for path in [*table.glob("*.parquet*"), *table.glob("phase=*/epoch=*/*.parquet*")]:
        for parent in (path.parent.parent, path.parent):  # nothing is removed through a link
            check_folder(parent)
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
