"""Reads a run: finished, still being written, or left behind by a killed process.

Opening reads the manifest; a table's commit logs are read when it is asked for, its data only where
a batch is touched. Only committed rows are ever seen.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from truetap.errors import DamagedRunError, StoreError, near_names
from truetap.store.batches import Batches
from truetap.store.layout import local_path, segment_file, segment_numbers, worker_folders
from truetap.store.manifest import JSON, read_manifest
from truetap.store.nearby import whereabouts
from truetap.store.problem import Problem
from truetap.store.snapshot import Snapshot, take_snapshot
from truetap.store.verify import missing_segments, verify_run


class RunReader:
    """Opens the run in a folder.

    Args:
        path: The run's folder.

    Raises:
        StoreError: There is no run, it can't be read, or it is of a newer format.
        DamagedRunError: Its manifest is damaged.

    Example:
        >>> import pyarrow as pa, tempfile
        >>> from truetap.store import RunWriter
        >>> path = tempfile.mkdtemp()
        >>> with RunWriter(path) as run:
        ...     run.write("samples", pa.record_batch({"loss": [0.5, 0.25]}))
        >>> reader = RunReader(path)
        >>> reader.tables, reader.complete
        (('samples',), True)
        >>> [batch.column("loss").to_pylist() for batch in reader.batches("samples")]
        [[0.5, 0.25]]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = local_path(path)
        try:
            self._manifest = read_manifest(self.path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StoreError(f"There is no run at {str(self.path)!r}. {whereabouts(self.path)}") from error

    @property
    def metadata(self) -> Mapping[str, JSON]:
        """What the run's maker kept with it."""
        return dict(self._manifest.metadata)

    @property
    def created(self) -> str:
        """When the run was begun, ISO 8601."""
        return self._manifest.created

    @property
    def complete(self) -> bool:
        """Whether the run had ended as intended when it was opened."""
        return self._manifest.complete

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables begun when the run was opened."""
        return tuple(self._manifest.tables)

    def batches(self, table: str, *, check: bool = False) -> Batches:
        """The batches of a table committed by now, mapped into memory one by one.

        Behind damage in a file its rows are left out; `damage` tells of that, or `check` raises.

        Args:
            table: Name of the table.
            check: Whether to raise for any damage, and to compare each batch with its checksum
                before it is handed out.

        Returns:
            A sequence of record batches, whose schemas may differ; a worker's are in the order written.

        Raises:
            StoreError: There is no such table, or a file can't be read.
            DamagedRunError: With `check`, committed rows are missing or differ.
        """
        snapshots = self._snapshots(table)
        if check:
            for problem in self.damage(table):
                raise DamagedRunError(
                    f"Committed rows of table {table!r} are damaged: {problem}. Restore the file from a "
                    "copy, or read what is left without check=True; verify() lists all that is damaged."
                )
        return Batches(snapshots, check=check)

    def num_rows(self, table: str) -> int:
        """Rows of a table committed by now, from its logs.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """
        return sum(snapshot.num_rows for snapshot in self._snapshots(table))

    def damage(self, table: str) -> tuple[Problem, ...]:
        """Damage to a table as far as it is seen without reading its data.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """
        found = [problem for snapshot in self._snapshots(table) for problem in snapshot.problems]
        found.extend(missing_segments(self.path, self._manifest, table))
        return tuple(problem for problem in found if problem.damage)

    def verify(self) -> list[Problem]:
        """Check every committed byte of the run against its checksum.

        Returns:
            What is wrong; those whose `damage` is false cost no committed row.

        Raises:
            StoreError: A file can't be read.
        """
        return list(verify_run(self.path, self._manifest))

    def _snapshots(self, table: str) -> list[Snapshot]:
        if table not in self._manifest.tables:
            raise StoreError(f"The run at {str(self.path)!r} has no table {table!r}. {near_names(table, self.tables)}")
        workers = worker_folders(self.path / table)
        return [take_snapshot(segment_file(worker, number)) for worker in workers for number in segment_numbers(worker)]
