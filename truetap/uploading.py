"""`upload`: sends a run of this machine to a store, or finishes what an interrupted recording left to be sent.

Cost: one pass over the files of the run, which are sent as they are; what is in the store already isn't sent again.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from truetap.errors import RunExistsError, StoreError
from truetap.store.lock import LOCK, WriterLock
from truetap.store.manifest import Manifest, TableEntry, read_manifest_of
from truetap.store.remote.claim import Claim
from truetap.store.remote.path import connected
from truetap.store.remote.sending import Sending
from truetap.store.remote.spool import Spool
from truetap.store.worker import Worker, is_manifest, rank_told

__all__ = ["upload"]


def upload(
    path: str | os.PathLike[str], url: str | None = None, *, storage_options: Mapping[str, Any] | None = None
) -> str:
    """Sends a run to a store that fsspec reaches.

    Args:
        path: The folder of a run; or the spool that an interrupted recording to a URL has left, which is removed when
            all of it is sent.
        url: Where the run is to be, such as "s3://bucket/run". A spool knows it.
        storage_options: What fsspec's filesystem is made with; the rest comes from fsspec's configuration and the
            store's environment variables.

    Returns:
        The URL.

    Raises:
        RunExistsError: There is another run at the URL, or another writes to it.
        StoreError: There is no run at `path`, someone writes to it, or the store refuses; what was sent stays there,
            and the same call goes on.

    Example:
        >>> tt.upload("runs/mnist", "s3://bucket/mnist")  # doctest: +SKIP
        's3://bucket/mnist'
    """
    spool = Spool(Path(path))
    noted, token = spool.noted()
    folder = spool.run if noted else spool.folder
    workers = _workers_in(folder)
    if not workers:
        raise StoreError(
            f"There is no run to send. Received: {os.fspath(path)!r}. Expected: the folder of a run, or the spool of "
            "an interrupted recording."
        )
    if url is None and not noted:
        raise StoreError(
            f"It isn't known where to send this run. Received: {os.fspath(path)!r} and no URL. Expected: a URL such as "
            "'s3://bucket/run'."
        )
    store = connected(url or noted, storage_options)
    elsewhere = store.url != noted
    with ExitStack() as locks:
        for name in [LOCK] if noted else [worker.lock for worker in workers]:
            lock = WriterLock(spool.folder, needed=True, name=name)
            locks.callback(lock.release)
        for worker in workers:
            own = _token_of(folder, worker.rank) if elsewhere else token
            claim = Claim(store, own, worker)
            _send(folder, store.url, Sending(folder, store, claim, clear=False, rank=worker.rank), claim, worker.rank)
        if noted and not elsewhere:
            spool.remove()
    return store.url


def _send(folder: Path, url: str, sending: Sending, claim: Claim, rank: int) -> None:
    try:
        there = sending.there()
        if there is not None and not _is_part(there, read_manifest_of(folder, rank)):
            raise RunExistsError(
                f"There is another run at {url!r} already, created {there.created}, or this one with more in it; it is "
                "left as it is. Expected: a URL where there is nothing yet, or a part of this run."
            )
        claim.take(over=False)
        sending.send(ended=True)
        claim.release()
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"The run can't be sent to {url!r}: {error.strerror or error}. Nothing is lost: the same call goes on."
        ) from error


def _workers_in(folder: Path) -> list[Worker]:
    """The workers whose manifests are there; of a spool, one."""
    if not folder.is_dir():
        return []
    return [
        read_manifest_of(folder, rank).worker
        for rank in sorted(map(rank_told, filter(is_manifest, os.listdir(folder))))
    ]


def _token_of(folder: Path, rank: int) -> str:
    """The same for every call about this folder, so that one goes on where another was killed."""
    told = f"{read_manifest_of(folder, rank).created} {folder.resolve()} {socket.gethostname()}"
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def _is_part(there: Manifest, here: Manifest) -> bool:
    """Whether what a store holds is this run, or a part of it."""
    return there.created == here.created and all(
        _is_part_of_table(entry, here.tables.get(table, TableEntry())) for table, entry in there.tables.items()
    )


def _is_part_of_table(there: TableEntry, here: TableEntry) -> bool:
    counts = all(count <= here.segments.get(worker, 0) for worker, count in there.segments.items())
    return counts and set(there.parquet) <= set(here.parquet)
