"""A table as it is at one moment, also while its rows move from Arrow segments to Parquet files.

A writer that compacts replaces the manifest first and removes segments afterwards. So what was found
under a manifest is whole if the manifest still says the same of the table when all was found; if not,
it is looked for anew. Segments that may be removed later are mapped at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TypeVar

from truetap.store.compaction import is_compactable
from truetap.store.files import Place, files_of
from truetap.store.layout import rank_of
from truetap.store.manifest import Manifest, ParquetFile, TableEntry, read_manifest
from truetap.store.mapped import MappedSegment
from truetap.store.parquet_reader import ParquetSource, problems_of
from truetap.store.problem import Problem
from truetap.store.snapshot import Snapshot, live_snapshots
from truetap.store.verify import missing_segments
from truetap.store.worker import Worker

Found = TypeVar("Found")


@dataclass(frozen=True)
class TableView:
    """What there is of a table.

    Attributes:
        folder: The table's folder.
        entry: What the manifest says of it.
        settled: Whether the run has ended and nobody writes to it, so that nothing of it moves any more.
        snapshots: The segments whose rows are in no Parquet file.
    """

    folder: Place
    entry: TableEntry
    settled: bool
    snapshots: tuple[Snapshot, ...]

    @property
    def num_rows(self) -> int:
        """Rows, without reading them."""
        return sum(file.rows for file in self.entry.parquet) + sum(one.num_rows for one in self.snapshots)

    def of_worker(self, rank: int) -> TableView:
        """What one worker wrote of it."""
        files = tuple(file for file in self.entry.parquet if rank_of(file.path) == rank)
        folder = Worker(rank).folder
        snapshots = tuple(one for one in self.snapshots if one.path.parent.name == folder)
        return replace(self, entry=replace(self.entry, parquet=files), snapshots=snapshots)

    def parquet(
        self, *, check: bool = False, known: Mapping[ParquetFile, ParquetSource] = MappingProxyType({})
    ) -> list[ParquetSource]:
        """The Parquet files; those that are known already need not be opened again."""
        return [known.get(file) or ParquetSource(self.folder, file, check=check) for file in self.entry.parquet]

    def expect_parquet(self) -> None:
        """All Parquet files will be opened: those in a store are asked for at the same time.

        Raises:
            StoreError: The store refuses.
        """
        files_of(self.folder).expect((self.folder / file.path, file.bytes, file.crc) for file in self.entry.parquet)

    def segments(self, *, check: bool = False) -> list[MappedSegment]:
        """The segments, mapped when they may be removed before they are read.

        Raises:
            FileNotFoundError: One has been removed already.
        """
        found = [MappedSegment(snapshot, check=check) for snapshot in self.snapshots if snapshot.commits]
        if not self.settled and is_compactable(self.folder.name):
            for segment in found:
                segment.pin()
        return found

    def damage(self) -> list[Problem]:
        """Damage as far as it is seen without reading the data."""
        found = [
            problem for file in self.entry.parquet for problem in problems_of(self.folder / file.path, file, quick=True)
        ]
        found += [problem for snapshot in self.snapshots for problem in snapshot.problems]
        found += missing_segments(self.folder, self.entry)
        return [problem for problem in found if problem.damage]


def look(folder: Place, table: str, use: Callable[[TableView], Found]) -> Found:
    """What `use` finds in a table, under one state of the manifest.

    Args:
        folder: The run's folder.
        table: Name of a table.
        use: Looks at the table; called again when rows have moved meanwhile.

    Raises:
        KeyError: There is no such table.
        FileNotFoundError: There is no manifest, or a file has been removed though nothing has moved.
    """
    manifest = read_manifest(folder)
    while True:
        entry = manifest.tables[table]
        failed: Exception | None = None
        try:
            settled = manifest.complete and not any((folder / one.lock).exists() for one in manifest.worker.all())
            view = TableView(folder / table, entry, settled, tuple(live_snapshots(folder / table, entry)))
            found = use(view)
        except (OSError, ValueError) as error:  # what a file gives that is removed while it is read
            failed = error
        manifest = read_manifest(folder)
        if _same_places(manifest, table, entry):
            if failed is not None:
                raise failed
            return found


def _same_places(manifest: Manifest, table: str, entry: TableEntry) -> bool:
    now = manifest.tables.get(table)
    return now is None or (now.replaced == entry.replaced and now.parquet == entry.parquet)
