"""A store as the place where a run is to be: the run is written to a spool on this machine, and sent from there.

What section "guaranteed" says of a killed process holds for the spool. Of a machine that vanishes, what was finished
`seconds` ago is in the store. A run goes on from its spool where that is left, else from the store.
"""

from __future__ import annotations

import os

from truetap.errors import NotUploadedError, RunExistsError, StoreError
from truetap.store.compaction import is_compactable
from truetap.store.destination import Destination, Upload
from truetap.store.layout import log_file, segment_file
from truetap.store.lock import WriterLock
from truetap.store.manifest import Manifest, write_manifest
from truetap.store.place import AnyPlace, place_of
from truetap.store.remote.claim import Claim, new_token
from truetap.store.remote.overlay import OverlayPath, no_longer_sent, now_sent
from truetap.store.remote.path import RemotePath
from truetap.store.remote.sending import Sending, manifest_in
from truetap.store.remote.spool import spool_for
from truetap.store.remote.uploader import Uploader
from truetap.store.worker import ALONE, Worker

__all__ = ["StoreDestination", "destination_of", "to_go_on"]


class StoreDestination(Destination):
    """A run's folder in a store, taken for writing.

    Args:
        store: The run's folder in the store.
        upload: How it gets there.
        append: Whether to go on in a run that is there, or in the spool.
        worker: Which of the run's workers writes.

    Raises:
        RunExistsError: There is a run, there or in the spool, and `append` is False; or another writes to it.
        StoreError: The store can't be read or written, or the spool can't.
    """

    def __init__(self, store: RemotePath, upload: Upload, *, append: bool, worker: Worker = ALONE) -> None:
        self.spool = spool_for(store.url, upload.spool, worker.rank)
        super().__init__(self.spool.run)
        self.place = store
        self.seal_after = upload.seconds
        self._store = store
        self._worker = worker
        self._upload = upload
        self._uploader: Uploader | None = None
        there = manifest_in(store, worker.rank)
        if there is not None and not append:
            raise RunExistsError(
                f"There is a run at {store.url!r} already, created {there.created}; it is left as it is. Record to "
                "another URL, read this one with tt.open(...), or remove it first."
            )
        self.spool.make()
        try:
            self._lock = WriterLock(self.spool.folder, needed=False)
        except StoreError as error:
            raise StoreError(f"The run at {store.url!r} is being written from this machine. {error}") from error
        self._was_here = (self.folder / worker.manifest).exists()
        try:
            token = self._go_on(there, append)
            self.spool.note(store.url, token)
            self._claim = Claim(store, token, worker)
            self._claim.take(over=append)
        except BaseException:
            self._let_spool_go()
            raise
        self._sending = Sending(self.folder, store, self._claim, clear=True, rank=worker.rank)

    @property
    def whole(self) -> AnyPlace:
        """Where all of the run's files can be read: here or there."""
        return OverlayPath(self.folder, self._store)

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of the way there."""
        return self._uploader.notices if self._uploader is not None else ()

    def begin(self) -> None:
        """Begin to send."""
        now_sent(OverlayPath(self.folder, self._store))
        self._uploader = Uploader(self._sending, self._store.url, str(self.spool.folder), self._upload.seconds)

    def close(self) -> None:
        """Send all that is left, and remove the spool.

        Raises:
            NotUploadedError: The store refuses; the spool is left, whole.
        """
        try:
            if self._uploader is not None:
                self._uploader.finish(self._upload.patience)
                self._let_go()
            no_longer_sent(self._store.url)
            self.spool.remove()
        finally:
            self._lock.release()

    def abandon(self) -> None:
        """The run could not begin: let go of it, and leave what was there."""
        try:
            if not self._was_here:
                self._claim.release()
        except OSError as error:
            raise StoreError(
                f"Could not remove the mark of a writer at {self._store.url!r}: {error.strerror or error}."
            ) from error
        finally:
            self._let_spool_go()

    def discard(self) -> None:
        """Leave nothing of a run that failed before its first row, here or there."""
        if self._uploader is not None:
            self._uploader.stop()
        no_longer_sent(self._store.url)
        try:
            (self._store / self._worker.manifest).remove()
            self._claim.release()
        except OSError as error:
            raise StoreError(
                f"Could not remove the empty run at {self._store.url!r}: {error.strerror or error}."
            ) from error
        finally:
            self.spool.remove()
            self._lock.release()

    def _let_go(self) -> None:
        try:
            self._claim.release()
        except OSError as error:
            raise NotUploadedError(
                f"The run is at {self._store.url!r}, whole, but the mark that it is being written can't be removed: "
                f"{error.strerror or error}. `truetap upload {self.spool.folder}` tries again.",
                str(self.spool.folder),
            ) from error

    def _go_on(self, there: Manifest | None, append: bool) -> str:
        """Make the spool what the writer goes on from; the token to write under."""
        url, token = self.spool.noted()
        if not (self.folder / self._worker.manifest).exists():
            self.spool.empty()
            if there is not None:
                self._fetch(there)
            return token or new_token()
        if not append:
            raise RunExistsError(
                f"A run for {url or self._store.url!r} is left on this machine by an interrupted recording, in "
                f"{str(self.spool.folder)!r}; it is left as it is. Go on in it with resume=True (append=True of a "
                f"RunWriter), send it by `truetap upload {self.spool.folder}`, or remove the folder."
            )
        if url != self._store.url:
            raise RunExistsError(
                f"The spool {str(self.spool.folder)!r} holds a run for {url!r}. Received: {self._store.url!r}. "
                "Expected: another spool=, or that URL."
            )
        claim = Claim(self._store, token, self._worker)
        if there is not None and not claim.is_ours():
            if not Sending(self.folder, self._store, claim, clear=False, rank=self._worker.rank).is_all_there():
                raise RunExistsError(
                    f"The run at {self._store.url!r} was gone on with elsewhere, and {str(self.spool.folder)!r} holds "
                    "rows of it that were never sent. Received: both. Expected: one; send these to another URL by "
                    f"`truetap upload {self.spool.folder} URL`, and remove the folder."
                )
            self.spool.empty()  # all of it was sent, and then the process was killed
            self._fetch(there)
        return token

    def _fetch(self, there: Manifest) -> None:
        """Begin the spool with a run that is in the store: its manifest, and what will be made Parquet."""
        for table, entry in there.tables.items():
            for worker, count in entry.segments.items() if is_compactable(table) else ():
                folder = self.folder / table / worker
                for number in range(entry.replaced.get(worker, 0), count):
                    folder.mkdir(parents=True, exist_ok=True)
                    segment = segment_file(self._store / table / worker, number)
                    log_file(segment).give(log_file(segment_file(folder, number)))
                    segment.give(segment_file(folder, number))
        self.folder.mkdir(exist_ok=True)
        write_manifest(self.folder, there)

    def _let_spool_go(self) -> None:
        if not self._was_here:
            self.spool.remove()
        self._lock.release()


def destination_of(
    path: str | os.PathLike[str], upload: Upload | None, *, append: bool, worker: Worker | None = None
) -> Destination:
    """Where a run goes that is written to a path or URL.

    Args:
        path: The path or URL.
        upload: Of a URL, how the run gets there.
        append: Whether to go on in a run that is there.
        worker: Which of the run's workers writes; the only one, or of a run that goes on its first, by default.

    Raises:
        RunExistsError, StoreError: As for `StoreDestination`; or `upload` is given for a path.
    """
    way = upload or Upload()
    place = path if isinstance(path, RemotePath) else place_of(path, way.storage_options)
    if isinstance(place, RemotePath):
        return StoreDestination(place.in_store, way, append=append, worker=worker or ALONE)
    return Destination(place)


def to_go_on(path: str | os.PathLike[str], upload: Upload, worker: Worker = ALONE) -> AnyPlace:
    """The run at a path or URL, together with what a killed recording has left of it on this machine."""
    place = place_of(path, upload.storage_options)
    if not isinstance(place, RemotePath):
        return place
    store = place.in_store
    spool = spool_for(store.url, upload.spool, worker.rank)
    left = spool.noted()[0] == store.url and (spool.run / worker.manifest).exists()
    return OverlayPath(spool.run, store) if left else store
