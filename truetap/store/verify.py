"""Checks a table: every committed byte against its checksum. Cost: one read of all data."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.errors import StoreError
from truetap.store.files import Place, crc_of, files_of
from truetap.store.layout import segment_numbers, worker_folders
from truetap.store.manifest import TableEntry
from truetap.store.parquet_reader import problems_of
from truetap.store.problem import Problem, damage
from truetap.store.snapshot import Snapshot, live_snapshots


def missing_segments(table: Place, entry: TableEntry) -> Iterator[Problem]:
    """Segments of a table that were begun, count, and are not there."""
    begun = dict(entry.segments)
    for worker in worker_folders(table):
        following = replaced = entry.replaced.get(worker.name, 0)
        for number in segment_numbers(worker):
            if number > following:
                yield damage(worker, 0, f"segments {following} to {number - 1} are missing")
            following = max(replaced, number + 1)
        count = begun.pop(worker.name, 0)
        if count > following:
            yield damage(worker, 0, f"segments {following} to {count - 1} are missing")
    for worker_name, count in begun.items():
        if missing := count - entry.replaced.get(worker_name, 0):
            yield damage(table / worker_name, 0, f"the folder is missing, with {missing} segments")


def verify_table(table: Place, entry: TableEntry) -> Iterator[Problem]:
    """Everything that is wrong with a table, found by reading all of it."""
    for file in entry.parquet:
        yield from problems_of(table / file.path, file)
    yield from missing_segments(table, entry)
    for snapshot in live_snapshots(table, entry):
        yield from _verify_segment(snapshot)


def _verify_segment(snapshot: Snapshot) -> Iterator[Problem]:
    path = snapshot.path
    yield from snapshot.problems
    if not snapshot.commits and not snapshot.sealed:
        return
    try:
        with files_of(path).open(path) as file:
            start = 0
            for commit in (*snapshot.commits, *([snapshot.sealed] if snapshot.sealed else [])):
                if crc_of(file, start, commit.end) != commit.crc:
                    yield damage(path, start, f"bytes up to {commit.end} are not those written")
                start = commit.end
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"Could not read {str(path)!r}: {error.strerror or error}.") from error
