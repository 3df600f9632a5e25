"""`tt.prune`: the oldest rows of a run go, so that the others have room.

The manifest is replaced first, then files are removed: killed in between, the run is whole, and what is left lying
about goes with the next writer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.background import wait_for
from truetap.store.folder import RunFolder
from truetap.store.leftovers import remove_leftovers
from truetap.store.manifest import Manifest, write_manifest
from truetap.store.reader import RunReader
from truetap.store.retention import Retention, Shelf, pieces_of, without
from truetap.store.worker import Worker

__all__ = ["Pruned", "prune"]


@dataclass(frozen=True)
class Pruned:
    """What was removed from a run, or would be.

    Attributes:
        rows: Rows that went, by table; only tables that lost some.
        files: How many files went.
        freed_bytes: Their size.
        kept_bytes: Size of those that stayed.
    """

    rows: Mapping[str, int]
    files: int
    freed_bytes: int
    kept_bytes: int


def prune(
    path: str | os.PathLike[str], *, max_bytes: int | None = None, keep_last: int | None = None, dry_run: bool = False
) -> Pruned:
    """Removes the oldest rows of a run to which nobody writes.

    Samples and raw values go first, whole files, the oldest epochs first; curves and statistics only when
    `max_bytes` can't be had otherwise. What is gone is gone.

    Args:
        path: The run's folder.
        max_bytes: What its files may take.
        keep_last: Of how many epochs samples and raw values are kept: the last ones of each phase that a table has.
            Where a file holds rows of several epochs, as small ones do, it stays with the newest of them.
        dry_run: Whether only to say what would go.

    Returns:
        What went.

    Raises:
        StoreError: There is no run, someone writes to it, neither limit is given or one is no positive whole number, or
            the file system refuses.
        DamagedRunError: A file can't be read, so nobody knows how old its rows are; nothing is removed.

    Example:
        >>> import pyarrow as pa, tempfile
        >>> from truetap.store import RunWriter
        >>> path = tempfile.mkdtemp()
        >>> with RunWriter(path, segment_bytes=1, gather_bytes=0) as run:
        ...     for epoch in range(3):
        ...         rows = {"phase": ["train"], "epoch": pa.array([epoch], pa.int32()), "loss": [0.5]}
        ...         run.write("samples", pa.record_batch(rows))
        >>> prune(path, keep_last=1).rows
        {'samples': 2}
    """
    retention = Retention(max_bytes, keep_last)
    if not retention:
        raise StoreError("What may stay? Received: neither max_bytes= nor keep_last=. Expected: one of both, or both.")
    reader = RunReader(path)
    place = reader.path
    if not isinstance(place, Path):
        raise StoreError(
            f"A run in a store can't be pruned from here: no lock tells whether others write to it. Received: "
            f"{place.url!r}. Expected: a folder of this machine; a Recorder keeps to max_bytes= in stores too."
        )
    wait_for(place)
    with ExitStack() as locks:
        manifests = {}
        for worker in Worker(0, reader.workers).all():
            if worker.rank not in reader.absent:
                folder = RunFolder(place, append=True, worker=worker)
                locks.callback(folder.release)
                manifests[worker.rank] = _manifest_of(folder)
        shelf = Shelf(retention, [piece for manifest in manifests.values() for piece in pieces_of(place, manifest)])
        gone = shelf.take()
        for rank, manifest in manifests.items():
            own = [piece for piece in gone if piece.rank == rank]
            if own and not dry_run:
                now = without(manifest, own)
                write_manifest(place, now)
                remove_leftovers(place, now)
    rows: dict[str, int] = {}
    for piece in gone:
        rows[piece.table] = rows.get(piece.table, 0) + piece.rows
    return Pruned(rows, len(gone), sum(piece.nbytes for piece in gone), shelf.nbytes)


def _manifest_of(folder: RunFolder) -> Manifest:
    if folder.manifest is None:
        raise StoreError(f"The run at {str(folder.path)!r} has gone meanwhile.")
    return folder.manifest
