"""Checks a whole run: every committed byte against its checksum. Cost: one read of all data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.layout import segment_file, segment_numbers, worker_folders
from truetap.store.manifest import Manifest
from truetap.store.problem import Problem, damage
from truetap.store.snapshot import crc_of, take_snapshot


def missing_segments(folder: Path, manifest: Manifest, table: str) -> Iterator[Problem]:
    """Segments of a table that were begun and are not there."""
    begun = dict(manifest.tables.get(table, {}))
    for worker in worker_folders(folder / table):
        following = 0
        for number in segment_numbers(worker):
            if number > following:
                yield damage(worker, 0, f"segments {following} to {number - 1} are missing")
            following = number + 1
        count = begun.pop(worker.name, 0)
        if count > following:
            yield damage(worker, 0, f"segments {following} to {count - 1} are missing")
    for worker_name, count in begun.items():
        if count:
            yield damage(folder / table / worker_name, 0, f"the folder is missing, with {count} segments")


def verify_run(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """Everything that is wrong with a run, found by reading all of it."""
    for table in manifest.tables:
        yield from missing_segments(folder, manifest, table)
        for worker in worker_folders(folder / table):
            for number in segment_numbers(worker):
                yield from _verify_segment(segment_file(worker, number))


def _verify_segment(path: Path) -> Iterator[Problem]:
    snapshot = take_snapshot(path)
    yield from snapshot.problems
    if not snapshot.commits and not snapshot.sealed:
        return
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"Could not read {str(path)!r}: {error.strerror or error}.") from error
    try:
        start = 0
        for commit in (*snapshot.commits, *([snapshot.sealed] if snapshot.sealed else [])):
            if crc_of(file, start, commit.end) != commit.crc:
                yield damage(path, start, f"bytes up to {commit.end} are not those written")
            start = commit.end
    finally:
        os.close(file)
