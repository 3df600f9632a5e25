"""The batches of a Parquet file of a run, as they were before they were compacted.

Phase and epoch, which the path tells, are columns again; rows that were sorted by sample are in the
order they came in; lists, tensors and their shapes are of the types they were written with. A batch
never holds rows of two parts. Cost: the columns asked for are decoded, a run of rows at a time.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.errors import DamagedRunError, StoreError
from truetap.store.checked_parquet import CheckedParquet
from truetap.store.files import Place, crc_of, files_of
from truetap.store.kinds import check_kinds
from truetap.store.manifest import ParquetFile
from truetap.store.parquet_writer import ORDER
from truetap.store.parts import KEYS, Part, has_parts, parts_of, with_keys, with_part
from truetap.store.problem import Problem, damage

_MANY_ROWS = 50_000
_FEW_RUNS = 1024
_SMALLEST_RUN = 32  # bytes
_MOST_GAPS = 4  # places for each row
_NOT_PARQUET = (
    pa.ArrowException,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    struct.error,
    MemoryError,
)  # on nonsense


Chooser: TypeAlias = Callable[[pa.Table], pa.Array]


class _Stretch(NamedTuple):
    """Rows of one part within a run."""

    run: int
    start: int
    stop: int
    part: Part | None


class ParquetSource:
    """The batches of one file.

    Args:
        table: The table's folder.
        entry: What the manifest says of the file.
        check: Whether the file is compared with its checksum before the first batch is handed out.
    """

    def __init__(self, table: Place, entry: ParquetFile, *, check: bool = False) -> None:
        self.path = table / entry.path
        self.entry = entry
        self._check = check
        self._file: CheckedParquet | None = None
        self._schema: pa.Schema | None = None
        self._decoded: tuple[int, tuple[str, ...] | None, pa.RecordBatch] | None = None
        self._stretches = self._whole_runs()
        if entry.part is None and entry.rows and has_parts(self.schema()):
            self._stretches = self._cut_by_part()

    @property
    def num_rows(self) -> int:
        """Rows of all batches together."""
        return self.entry.rows

    @property
    def num_batches(self) -> int:
        """How many batches there are."""
        return len(self._stretches)

    def rows(self, number: int) -> int:
        """Rows of one batch."""
        stretch = self._stretches[number]
        return stretch.stop - stretch.start

    def part(self, number: int) -> Part | None:
        """Phase and epoch of one batch, if it has both."""
        return self._stretches[number].part

    def schema(self) -> pa.Schema:
        """That of all batches."""
        stored = self._stored_schema()
        return stored if self.entry.part is None else with_keys(stored)

    def release(self) -> None:
        """Close the file and forget what was decoded."""
        self._file = self._decoded = None

    def read(self, number: int, columns: Sequence[str] | None) -> pa.RecordBatch:
        """One batch, or some columns of it.

        Raises:
            DamagedRunError: The file is missing, or isn't what was written.
        """
        run, start, stop, _ = self._stretches[number]
        batch = self.run(run, columns)
        return batch if stop - start == len(batch) else batch.slice(start, stop - start)

    def run(self, number: int, columns: Sequence[str] | None) -> pa.RecordBatch:
        """One run of row groups, in the order in which its rows came."""
        wanted = None if columns is None else tuple(columns)
        if self._decoded is None or self._decoded[:2] != (number, wanted):
            self._decoded = None  # before the next takes memory
            self._decoded = (number, wanted, self._decode_run(number, columns))
        return self._decoded[2]

    def groups(
        self, groups: Sequence[int], columns: Sequence[str] | None, chosen: Chooser | None = None
    ) -> pa.RecordBatch:
        """Rows of some row groups, in the order they lie in the file.

        Args:
            groups: Numbers of the row groups.
            columns: Names of the columns; None for all.
            chosen: Gives the indices of the rows that are wanted, of the table of all.

        Raises:
            DamagedRunError: The file is missing, or isn't what was written.
        """
        inner = None if columns is None else [name for name in columns if not self._is_told_by_path(name)]
        batch = self._inner_groups(groups, inner, chosen)
        if self.entry.part is not None:
            batch = with_part(batch, self.entry.part)
        return batch if columns is None else batch.select(list(columns))

    def statistics(self, place: int) -> Any:
        """The metadata, after those of one column were looked at in all row groups.

        Raises:
            DamagedRunError: The file is missing, or isn't what was written.
        """
        file = self.opened()
        try:
            return file.checked_metadata([place])
        except _NOT_PARQUET as error:
            raise self._damaged(error) from error

    def opened(self) -> CheckedParquet:
        """The file, opened.

        Raises:
            DamagedRunError: It is missing, or no Parquet file.
        """
        if self._file is None:
            if self._check:
                for problem in problems_of(self.path, self.entry):
                    raise DamagedRunError(f"{problem}. Restore the file from a copy; verify() lists all damage.")
                self._check = False
            try:
                check_places(self.path, self.entry)
                file = files_of(self.path).parquet(self.path, self.entry.bytes, self.entry.crc)
                _check_counts(file.metadata, self.entry)
                self._file = file
            except _NOT_PARQUET as error:
                raise self._damaged(error) from error
        return self._file

    def _decode_run(self, number: int, columns: Sequence[str] | None) -> pa.RecordBatch:
        per_run = self.entry.run_rows // self.entry.group_rows
        total = -(-self.entry.rows // self.entry.group_rows)
        groups = range(number * per_run, min(total, (number + 1) * per_run))
        if self.entry.sorted_by is None:
            return self.groups(groups, columns)
        needed = None if columns is None else [*columns, *(name for name in ORDER if name not in columns)]
        schema = self._stored_schema()
        if not all(name in schema.names and pa.types.is_integer(schema.field(name).type) for name in ORDER):
            raise self._damaged(ValueError(f"its rows can't be put in order: whole numbers {ORDER} are missing"))
        batch = self.groups(groups, needed)
        if any(batch.column(name).null_count for name in ORDER):
            raise self._damaged(ValueError(f"its rows can't be put in order: some have no {ORDER}"))
        steps, positions = (batch.column(name).to_numpy() for name in ORDER)
        batch = batch.take(pa.array(in_order(steps, positions)))
        return batch if columns is None else batch.select(list(columns))

    def _inner_groups(
        self, groups: Sequence[int], columns: Sequence[str] | None, chosen: Chooser | None
    ) -> pa.RecordBatch:
        file, schema = self.opened(), self._stored_schema()
        sizes = [min(self.entry.group_rows, self.entry.rows - group * self.entry.group_rows) for group in groups]
        size = sum(sizes)
        if columns is not None:
            schema = pa.schema([schema.field(name) for name in columns])
        try:
            # For few rows, to hand the columns to other threads costs more than to decode them.
            threads = size >= _MANY_ROWS
            table = file.read_row_groups(groups, sizes, columns, use_threads=threads).select(schema.names)
            if len(table) != size:
                raise ValueError(f"{len(table)} rows where {size} were written")
            if chosen is not None:
                indices = chosen(table)
                table, size = table.take(indices), len(indices)
            arrays = [as_written(table.column(field.name), field.type) for field in schema]
            if not arrays:
                return pa.RecordBatch.from_struct_array(pa.array([{}] * size, pa.struct([])))
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            batch.validate(full=True)  # or damaged strings would be read from anywhere in memory
        except _NOT_PARQUET as error:
            raise self._damaged(error) from error
        return batch

    def _stored_schema(self) -> pa.Schema:
        """The schema of the rows that were given to the writer; Parquet's own names lists otherwise."""
        if self._schema is None:
            file = self.opened()
            try:
                written = (file.metadata.metadata or {}).get(b"ARROW:schema")
                schema = file.schema_arrow if written is None else _parsed_schema(written)
                check_kinds(schema)
                self._schema = schema
            except _NOT_PARQUET as error:
                raise self._damaged(error) from error
        return self._schema

    def _whole_runs(self) -> list[_Stretch]:
        size, rows = self.entry.run_rows, self.entry.rows
        if rows // size > _FEW_RUNS:
            try:
                on_disk = files_of(self.path).size(self.path)
            except FileNotFoundError as error:
                raise self._damaged(error) from error
            if rows // size > on_disk // _SMALLEST_RUN:
                raise self._damaged(ValueError(f"{rows:,} rows in runs of {size:,} can't be in {on_disk:,} bytes"))
        starts = range(0, rows, size)
        return [_Stretch(run, 0, min(size, rows - start), self.entry.part) for run, start in enumerate(starts)]

    def _cut_by_part(self) -> list[_Stretch]:
        found = []
        for run in range(len(self._stretches)):
            keys = self.run(run, KEYS)
            found += [_Stretch(run, start, stop, part) for start, stop, part in parts_of(keys)]
        self.release()
        return found

    def _is_told_by_path(self, column: str) -> bool:
        return self.entry.part is not None and column in KEYS

    def _damaged(self, error: BaseException) -> StoreError:
        if isinstance(error, StoreError):
            return error  # the store's: nothing is known of the file
        return DamagedRunError(
            f"{str(self.path)!r} can't be read as the Parquet file that was written: {error}. "
            "Restore the file from a copy; verify() lists all damage."
        )


def _check_counts(metadata: Any, entry: ParquetFile) -> None:
    if metadata.num_rows != entry.rows:
        raise ValueError(f"{metadata.num_rows} rows where {entry.rows} were written")
    groups = -(-entry.rows // entry.group_rows)
    if metadata.num_row_groups != groups:
        raise ValueError(f"{metadata.num_row_groups} row groups where {groups} were written")


def check_places(path: Place, entry: ParquetFile) -> None:
    """Return when neither the file nor a folder of its part is a link.

    Raises:
        StoreError: One is.
        OSError: The file is missing.
    """
    files = files_of(path)
    files.check_file(path)
    if entry.part is not None:
        files.check_folder(path.parent.parent)
        files.check_folder(path.parent)


def problems_of(path: Place, entry: ParquetFile, *, quick: bool = False) -> list[Problem]:
    """What is wrong with a Parquet file, told from its size and, unless `quick`, its checksum."""
    files = files_of(path)
    try:
        check_places(path, entry)
        size = files.size(path)
        if size != entry.bytes:
            return [damage(path, min(size, entry.bytes), f"the file has {size} bytes, it had {entry.bytes}")]
        if quick:
            return []
        with files.open(path) as file:
            crc = crc_of(file, 0, size)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        return [damage(path, 0, "the file is missing" if missing else f"can't be read: {error.strerror or error}")]
    return [] if crc == entry.crc else [damage(path, 0, "bytes are not those written")]


def in_order(steps: npt.NDArray[Any], positions: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The rows by step, then by position within it.

    Rows of whole batches have numbers that leave few gaps: each is put where its number says, which costs a small part
    of sorting them. Others, and such as have a number twice, are sorted.

    Args:
        steps: int64 (n,).
        positions: int32 (n,).

    Example:
        >>> in_order(np.array([7, 6, 6]), np.array([0, 1, 0])).tolist()
        [2, 1, 0]
    """
    if len(steps):
        first, width = int(steps.min()), int(positions.max()) + 1
        span = (int(steps.max()) - first + 1) * width
        if int(positions.min()) >= 0 and span <= _MOST_GAPS * len(steps):
            place = np.full(span, -1, np.int64)
            place[(steps - first) * width + positions] = np.arange(len(steps))
            found = place[place >= 0]
            if len(found) == len(steps):
                return found
    return np.lexsort((positions, steps))


@lru_cache(maxsize=64)
def _parsed_schema(written: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(written)))


def as_written(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """A column that was read, of the type it was written with."""
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # pyarrow gives no chunk for no rows
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], kind)
    return array if array.type == kind else array.cast(kind)
