"""Rewrites small tables of a closed run as Parquet, which every tool reads as it is.

    samples/phase=train/epoch=3/part-000007.parquet     rows of one phase and epoch, told by the path only
    names/part-000000.parquet                           tables without these columns

Raw tensors stay in Arrow files: tables with a dot in their name, and those of more than 4 KB a row.
So does what Parquet has no form for, or what is damaged. A table of very many and very small parts is
not cut into folders. The way: write the Parquet files, replace the manifest, which now counts them
and no longer the segments, then remove the segments; a process killed in between leaves files that
count for nothing. Cost: a second for some 1.5 million samples of ten scores, and memory for the parts
that are open: at most four runs of 64 MB, and one more while it is sorted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path

import pyarrow as pa

from truetap.columns import is_variable
from truetap.errors import DamagedRunError, StoreError
from truetap.store.batches import Batches
from truetap.store.layout import is_phase, parquet_number
from truetap.store.leftovers import remove_leftovers
from truetap.store.manifest import Manifest, ParquetFile, TableEntry
from truetap.store.mapped import MappedSegment
from truetap.store.parquet_writer import PartWriter
from truetap.store.parts import KEYS, Part, has_parts, parts_of
from truetap.store.round_trip import comes_back
from truetap.store.shapes import vary
from truetap.store.snapshot import Snapshot, live_snapshots

_WIDEST_ROW = 4096  # bytes
_MOST_PARTS = 100  # of few rows
_FEW_ROWS = 1000
_FEW_BYTES = 1 << 20
_OPEN_PARTS = 4


class _KeepArrowError(Exception):
    """Parquet has no form for these rows."""


def is_compactable(table: str) -> bool:
    """Whether a table of this name is made Parquet when its rows are small."""
    return "." not in table


def compacted_tables(folder: Path, manifest: Manifest) -> Iterator[tuple[str, TableEntry]]:
    """Write the small tables of a run as Parquet files, one table after the other.

    Args:
        folder: The run's folder, to which nobody writes meanwhile.
        manifest: Its manifest.

    Yields:
        Each table that was written, and its entry for the manifest, before the next is begun.

    Raises:
        StoreError: The file system refuses; the table's rows are where they were.
    """
    for table, entry in manifest.tables.items():
        own = manifest.worker.folder
        snapshots = live_snapshots(folder / table, entry, own) if is_compactable(table) else []
        if not _is_worth_it(snapshots):
            continue
        try:
            files = _write_table(folder / table, entry, snapshots, manifest.worker.rank)
        except _KeepArrowError:
            remove_leftovers(folder, manifest, [table])
            continue
        except OSError as error:
            remove_leftovers(folder, manifest, [table])
            raise StoreError(
                f"Could not compact table {table!r} of the run at {str(folder)!r}: {error.strerror or error}. "
                "Its rows stay in their Arrow files, and nothing is lost."
            ) from error
        yield table, replace(entry, replaced=dict(entry.segments), parquet=(*entry.parquet, *files))


def _is_worth_it(snapshots: Sequence[Snapshot]) -> bool:
    rows = sum(snapshot.num_rows for snapshot in snapshots)
    if not rows or any(problem.damage for snapshot in snapshots for problem in snapshot.problems):
        return False
    return _size(snapshots) / rows <= _WIDEST_ROW


def _size(snapshots: Sequence[Snapshot]) -> int:
    return sum(snapshot.commits[-1].end for snapshot in snapshots if snapshot.commits)


def _write_table(folder: Path, entry: TableEntry, snapshots: Sequence[Snapshot], rank: int) -> list[ParquetFile]:
    batches = Batches([MappedSegment(snapshot, check=True) for snapshot in snapshots])
    compactor = None
    try:
        unchecked = Batches([MappedSegment(snapshot) for snapshot in snapshots])
        first = max((parquet_number(file.path) + 1 for file in entry.parquet), default=0)
        in_folders = _in_folders(entry, unchecked, _size(snapshots))
        compactor = _Compactor(folder, rank, in_folders=in_folders, first=first)
        varying = {field.name for schema in batches.schemas() for field in schema if is_variable(field)}
        for batch in batches:
            compactor.add(_settled(batch, varying))
        return compactor.finish()
    except (pa.ArrowException, DamagedRunError) as error:
        raise _KeepArrowError from error
    finally:
        if compactor is not None:
            compactor.abandon()


def _settled(batch: pa.RecordBatch, varying: set[str]) -> pa.RecordBatch:
    """The batch, with the tensors that vary somewhere in the table stored so that all of them are of one type."""
    for index, field in enumerate(batch.schema):
        if field.name in varying and isinstance(field.type, pa.FixedShapeTensorType):
            batch = vary(batch, index)
    return batch


def _in_folders(entry: TableEntry, batches: Batches, nbytes: int) -> bool:
    """Whether the rows are cut into folders by phase and epoch: as those before them, if there are any."""
    able = all(has_parts(schema) for schema in batches.schemas())
    if entry.parquet:
        before = entry.parquet[0].part is not None
        if before and not able:
            raise _KeepArrowError
        return before
    if not able:
        return False
    parts = {batches.part(index) for index in range(len(batches))}
    many = len(parts)
    return many <= _MOST_PARTS or batches.num_rows >= _FEW_ROWS * many or nbytes >= _FEW_BYTES * many


class _Compactor:
    """Hands each row to the writer of its part; keeps a few open, for phases may take turns."""

    def __init__(self, folder: Path, rank: int, *, in_folders: bool, first: int) -> None:
        self._folder = folder
        self._rank = rank
        self._in_folders = in_folders
        self._numbers = count(first)
        self._open: OrderedDict[tuple[Part | None, pa.Schema], PartWriter] = OrderedDict()
        self._tried: set[pa.Schema] = set()
        self._files: list[ParquetFile] = []

    def add(self, batch: pa.RecordBatch) -> None:
        if not self._in_folders:
            self._writer(None, batch).add(batch)
            return
        inner = batch.drop_columns(list(KEYS))
        for start, stop, part in parts_of(batch):
            if part is None or not is_phase(part[0]):
                raise _KeepArrowError
            piece = inner.slice(start, stop - start)
            self._writer(part, piece).add(piece)

    def finish(self) -> list[ParquetFile]:
        while self._open:
            self._finish_oldest()
        return self._files

    def abandon(self) -> None:
        for writer in self._open.values():
            writer.abandon()

    def _writer(self, part: Part | None, first: pa.RecordBatch) -> PartWriter:
        schema = first.schema
        writer = self._open.get((part, schema))
        if writer is None:
            if schema not in self._tried and not comes_back(first):
                raise _KeepArrowError
            self._tried.add(schema)
            if len(self._open) == _OPEN_PARTS:
                self._finish_oldest()
            writer = PartWriter(self._folder, part, schema, self._numbers.__next__, self._rank)
            self._open[(part, schema)] = writer
        self._open.move_to_end((part, schema))
        return writer

    def _finish_oldest(self) -> None:
        key, writer = next(iter(self._open.items()))
        writer.finish()
        self._files += writer.files
        del self._open[key]
