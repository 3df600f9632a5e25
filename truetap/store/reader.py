"""Reads a run: finished, still being written, or left behind by a killed process.

Opening reads the manifest; a table's commit logs are read when it is asked for, its data only where
a batch is touched. Only committed rows are ever seen, each once, also while a writer moves them from
Arrow segments to Parquet files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from truetap.errors import DamagedRunError, StoreError, near_names
from truetap.store.batches import Batches
from truetap.store.files import files_of
from truetap.store.lookup import rows_where
from truetap.store.manifest import JSON, ParquetFile, read_manifest
from truetap.store.nearby import whereabouts
from truetap.store.parquet_reader import ParquetSource, check_places
from truetap.store.place import AnyPlace, place_of
from truetap.store.problem import Problem, uncommitted
from truetap.store.verify import verify_table
from truetap.store.view import Found, TableView, look
from truetap.store.worker import Worker

_MOST_KEPT_OPEN = 1000


class RunReader:
    """Opens the run in a folder.

    Args:
        path: The run's folder, or its URL in a store that fsspec reaches.
        storage_options: For a URL, what fsspec's filesystem is made with.

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

    def __init__(self, path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> None:
        self.path: AnyPlace = place_of(path, storage_options)
        self._searched: dict[ParquetFile, ParquetSource] = {}
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
    def workers(self) -> int:
        """How many processes wrote, or write, the run."""
        return self._manifest.worker.size

    @property
    def absent(self) -> tuple[int, ...]:
        """The ranks of the workers that have not begun."""
        return self._manifest.absent

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables begun when the run was opened."""
        return tuple(self._manifest.tables)

    def batches(
        self,
        table: str,
        *,
        phase: str | None = None,
        epoch: int | None = None,
        columns: Sequence[str] | None = None,
        check: bool = False,
        worker: int | None = None,
    ) -> Batches:
        """The batches of a table committed by now, each read when it is asked for.

        Those that were compacted to Parquet come first, then those in Arrow segments, which are mapped
        into memory. A batch that the recorder wrote never holds rows of two phases or epochs. Behind
        damage in a file its rows are left out; `damage` tells of that, or `check` raises.

        Args:
            table: Name of the table.
            phase: Only batches of this phase, told by their first row.
            epoch: Only batches of this epoch.
            columns: Names of the columns to read; all by default. `Batches.select` chooses later.
            check: Whether to raise for any damage, and to compare each batch with its checksum
                before it is handed out.
            worker: Only what the worker of this rank wrote.

        Returns:
            A sequence of record batches, whose schemas may differ; a worker's are in the order written.
            It stays what it was, whatever happens to the run.

        Raises:
            StoreError: There is no such table, or a file can't be read.
            DamagedRunError: With `check`, committed rows are missing or differ.
        """

        def use(view: TableView) -> Batches:
            if check:
                self._refuse(table, view.damage())
            own = view if worker is None else view.of_worker(worker)
            return Batches([*own.parquet(check=check), *own.segments(check=check)], columns=columns)

        found = self._look(table, use)
        return found if phase is None and epoch is None else found.of_part(phase, epoch)

    def arrow(self, table: str, *, worker: int | None = None) -> Batches:
        """Those batches of a table that are in Arrow segments: none of a table that was compacted.

        Together with the files of `parquet` they are the table. Where a run is still being written,
        ask `parquet_and_arrow` for both at once.

        Args:
            table: Name of the table.
            worker: Only what the worker of this rank wrote.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """

        def use(view: TableView) -> Batches:
            return Batches((view if worker is None else view.of_worker(worker)).segments())

        return self._look(table, use)

    def parquet(self, table: str) -> list[str]:
        """Paths of a table's Parquet files, in the order of their rows.

        They lie in Hive folders, `<table>/phase=train/epoch=3/part-000000.parquet`, which are the only
        place where phase and epoch are told: read them with `hive_partitioning`. Of a table without
        these columns, or of very many parts of very few rows, they lie in the table's own folder and
        hold all columns.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """
        return self.parquet_and_arrow(table)[0]

    def parquet_and_arrow(self, table: str) -> tuple[list[str], Batches]:
        """`parquet` and `arrow` of one moment: each row is in one of them.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """

        def use(view: TableView) -> tuple[list[str], Batches]:
            for file in view.entry.parquet:  # who is told the paths opens them
                check_places(view.folder / file.path, file)
            view.expect_parquet()
            return [str(view.folder / file.path) for file in view.entry.parquet], Batches(view.segments())

        return self._look(table, use)

    def bytes_of(self, table: str) -> int:
        """What the files of a table take; those that a writer moves meanwhile may be missed."""
        return files_of(self.path).total(self.path / table)

    def parquet_files(self) -> list[tuple[str, ParquetFile]]:
        """The Parquet files of all tables as the manifest tells of them now, each with its table."""
        tables = read_manifest(self.path).tables
        return [(table, file) for table, entry in tables.items() for file in entry.parquet]

    def rows_of(
        self,
        table: str,
        *,
        sample_id: int | str | None = None,
        fingerprint: int | None = None,
        columns: Sequence[str] | None = None,
    ) -> list[pa.RecordBatch]:
        """All rows of one sample, over all phases and epochs.

        Args:
            table: Name of a table that has the column `sample_id` or `fingerprint`.
            sample_id: The sample, or else:
            fingerprint: Its fingerprint.
            columns: Names of the columns to read; all by default, fewer are faster.

        Returns:
            Batches of one row or more, of the compacted rows first, in the order written but for the
            rows of one file; none when nobody recorded the sample.

        Raises:
            StoreError: There is no such table, not exactly one of both is given, or a file can't be read.
        """
        if (sample_id is None) == (fingerprint is None):
            raise StoreError(
                f"A sample is told by one of its names. Received: sample_id={sample_id!r}, "
                f"fingerprint={fingerprint!r}. Expected: one of both."
            )
        column = "fingerprint" if sample_id is None else "sample_id"
        value = fingerprint if sample_id is None else sample_id
        assert value is not None

        def use(view: TableView) -> list[pa.RecordBatch]:
            view.expect_parquet()
            sources = view.parquet(known=self._searched)
            found = rows_where(sources, view.segments(), column, value, columns)
            # The next search needs not open the files again; nobody looks for samples in more of them.
            self._searched = {source.entry: source for source in sources[:_MOST_KEPT_OPEN]}
            return found

        return self._look(table, use)

    def num_rows(self, table: str) -> int:
        """Rows of a table committed by now; no data are read for it.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """
        return self._look(table, lambda view: view.num_rows)

    def removed_rows(self, table: str) -> int:
        """How many rows of a table had been removed when the run was opened, the oldest ones, to keep it small.

        Raises:
            StoreError: There is no such table.
        """
        entry = self._manifest.tables.get(table)
        if entry is None:
            raise self._no_table(table, self._manifest.tables)
        return entry.removed_rows

    def damage(self, table: str) -> tuple[Problem, ...]:
        """Damage to a table as far as it is seen without reading its data.

        Raises:
            StoreError: There is no such table, or a file can't be read.
        """
        return tuple(self._look(table, TableView.damage))

    def verify(self) -> list[Problem]:
        """Check every committed byte of the run against its checksum.

        Returns:
            What is wrong; those whose `damage` is false cost no committed row.

        Raises:
            StoreError: A file can't be read.
        """
        files = [self.path / Worker(rank).manifest for rank in self.absent]
        found = [uncommitted(file, 0, f"of {self.workers} workers this one has not begun") for file in files]
        return found + [
            problem
            for table in self.tables
            for problem in self._look(table, lambda view: list(verify_table(view.folder, view.entry)))
        ]

    def _look(self, table: str, use: Callable[[TableView], Found]) -> Found:
        try:
            return look(self.path, table, use)
        except KeyError as error:
            known = read_manifest(self.path).tables
            if table in known:
                raise
            raise self._no_table(table, known) from error
        except FileNotFoundError as error:
            raise StoreError(f"The run at {str(self.path)!r} has lost a file: {error}. Open it again.") from error

    def _no_table(self, table: str, known: Iterable[str]) -> StoreError:
        return StoreError(f"The run at {str(self.path)!r} has no table {table!r}. {near_names(table, known)}")

    def _refuse(self, table: str, problems: Iterable[Problem]) -> None:
        for problem in problems:
            raise DamagedRunError(
                f"Committed rows of table {table!r} are damaged: {problem}. Restore the file from a "
                "copy, or read what is left without check=True; verify() lists all that is damaged."
            )
