"""Sends a run from a folder of this machine to a store, as far as its files are finished.

First the files of a segment, then the manifest that counts it: whoever reads the store sees a whole run at every
moment, the one of the last manifest. Files are removed only when a manifest that doesn't name them is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.commit_log import read_commit_log
from truetap.store.compaction import is_compactable
from truetap.store.layout import log_file, segment_file
from truetap.store.manifest import Manifest, TableEntry, read_manifest_of
from truetap.store.remote.claim import Claim
from truetap.store.remote.path import RemotePath

__all__ = ["Sending", "manifest_in"]


class Sending:
    """What of a run is in the store, and what is still to be sent.

    Args:
        folder: The run's folder.
        store: The run's folder in the store.
        claim: The right to write there.
        clear: Whether segments that the folder needs no more are removed from it.
        rank: Of the worker whose files are sent.
    """

    def __init__(self, folder: Path, store: RemotePath, claim: Claim, *, clear: bool, rank: int = 0) -> None:
        self._rank = rank
        self._folder = folder
        self._store = store
        self._claim = claim
        self._clear = clear
        self._sent: Manifest | None = None
        self._asked = False  # whether it was looked what the store holds
        self._numbers: dict[tuple[str, str], int] = {}  # by table and worker: segments that are there
        self._files: set[str] = set()  # Parquet files that are there
        self._begun: set[str] = set()  # every file that is there, or may be, since its sending was begun

    def send(self, *, ended: bool = False) -> None:
        """Send what is finished and not there yet.

        Args:
            ended: Whether nobody writes to the folder any more: then all of it is finished.

        Raises:
            OSError: The store refuses, or the folder can't be read; what was sent counts, and the next call goes on.
        """
        if not self._asked:
            self._look()
        manifest = read_manifest_of(self._folder, self._rank)
        for table, entry in manifest.tables.items():
            for worker, count in entry.segments.items():
                self._send_segments(table, worker, entry, count, ended)
            self._send_parquet(table, entry)
        there = self._as_it_is_there(manifest, ended)
        if there != self._sent:
            self._check_claim()
            (self._store / there.worker.manifest).write(there.to_json().encode())
            self._sent = there
        self._remove_all_but(there)
        if self._clear:
            self._clear_folder(there)

    def there(self) -> Manifest | None:
        """What the store holds already.

        Raises:
            StoreError: It can't be read.
        """
        self._look()
        return self._sent

    def is_all_there(self) -> bool:
        """Whether the store holds what the folder does, were it sent now."""
        return self.there() is not None and self._sent == self._as_it_is_there(
            read_manifest_of(self._folder, self._rank), True
        )

    def _look(self) -> None:
        """What the store holds already, from an earlier writer of this run."""
        self._sent = manifest_in(self._store, self._rank)
        self._asked = True
        if self._sent is None:
            return
        for table, entry in self._sent.tables.items():
            self._numbers.update({(table, worker): count for worker, count in entry.segments.items()})
            self._files.update(f"{table}/{file.path}" for file in entry.parquet)
        self._begun.update(_names(self._sent))

    def _send_segments(self, table: str, worker: str, entry: TableEntry, count: int, ended: bool) -> None:
        known = self._numbers.get((table, worker), 0)
        for number in range(max(known, entry.replaced.get(worker, 0)), count):
            segment = segment_file(self._folder / table / worker, number)
            if not (ended or number < count - 1 or _is_sealed(segment)):
                break
            there = segment_file(self._store / table / worker, number)
            self._check_claim()
            if segment.exists():  # else it is lost, which must not keep the others here; readers will say so
                self._begun.update(_names_of_segment(table, worker, number))
                there.take(segment)
                log_file(there).take(log_file(segment))
            self._numbers[table, worker] = number + 1

    def _send_parquet(self, table: str, entry: TableEntry) -> None:
        for file in entry.parquet:
            name = f"{table}/{file.path}"
            if name not in self._files:
                self._check_claim()
                self._begun.add(name)
                (self._store / name).take(self._folder / name)
                self._files.add(name)

    def _as_it_is_there(self, manifest: Manifest, ended: bool) -> Manifest:
        """The manifest, counting only what was sent."""
        tables: dict[str, TableEntry] = {}
        for table, entry in manifest.tables.items():
            counts = {
                worker: max(self._numbers.get((table, worker), 0), entry.replaced.get(worker, 0))
                for worker in entry.segments
            }
            if entry.parquet or any(counts.values()):
                tables[table] = replace(entry, segments=counts)
        return replace(manifest, tables=tables, complete=manifest.complete and ended)

    def _remove_all_but(self, there: Manifest) -> None:
        """Remove from the store what no manifest names any more, or ever did: the folder moved on while it was sent."""
        if gone := self._begun.difference(_names(there)):
            self._store.remove_below(sorted(gone))
            self._files -= gone
            self._begun -= gone

    def _check_claim(self) -> None:
        """Before each file: two who write to one run would give the same names to different files."""
        self._claim.check(lambda: manifest_in(self._store, self._rank) == self._sent)

    def _clear_folder(self, there: Manifest) -> None:
        """Remove segments that were sent and won't be made Parquet."""
        for table, entry in there.tables.items():
            if is_compactable(table):
                continue
            for worker, count in entry.segments.items():
                for number in range(count - 1, -1, -1):
                    segment = segment_file(self._folder / table / worker, number)
                    if not segment.exists():
                        break
                    segment.unlink()
                    log_file(segment).unlink(missing_ok=True)


def manifest_in(store: RemotePath, rank: int = 0) -> Manifest | None:
    """The manifest of a run's worker in a store; None when there is no run, or the worker has not begun.

    Raises:
        StoreError: It can't be read.
    """
    try:
        return read_manifest_of(store, rank)
    except FileNotFoundError:
        return None
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"Can't read {store.url!r}: {error.strerror or error}.") from error


def _names(manifest: Manifest) -> Iterator[str]:
    """Every file that a manifest counts, by its path in the run."""
    for table, entry in manifest.tables.items():
        for worker, count in entry.segments.items():
            for number in range(entry.replaced.get(worker, 0), count):
                yield from _names_of_segment(table, worker, number)
        for file in entry.parquet:
            yield f"{table}/{file.path}"


def _names_of_segment(table: str, worker: str, number: int) -> tuple[str, str]:
    return f"{table}/{worker}/seg-{number:06d}.arrow", f"{table}/{worker}/seg-{number:06d}.log"


def _is_sealed(segment: Path) -> bool:
    return read_commit_log(log_file(segment), segment).sealed is not None
