"""All that can be read of a run, read; what one call refuses doesn't keep from the next."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pyarrow as pa

from truetap import columns
from truetap.errors import TruetapError
from truetap.store import RunReader


def read_store(folder: Path, *, values: bool = True) -> None:
    """All that the store gives of a run; what one call refuses doesn't keep from the next."""
    reader = RunReader(folder)
    _ = reader.metadata, reader.created, reader.complete
    tried(reader.verify)
    for table in reader.tables:
        tried(lambda table=table: reader.num_rows(table))
        tried(lambda table=table: reader.damage(table))
        for check in (False, True):
            tried(lambda table=table, check=check: _read_batches(reader.batches(table, check=check), values))
        tried(lambda table=table: reader.batches(table, phase="train", epoch=0).num_rows)
        tried(lambda table=table: reader.rows_of(table, sample_id=7919))


def _read_batches(batches: Any, values: bool) -> None:
    tried(batches.schemas)
    for index in range(min(len(batches), 50)):
        tried(lambda index=index: touch(batches[index], values))


def touch(batch: pa.RecordBatch, values: bool) -> None:
    """Reads every value, through Arrow and through NumPy."""
    for column in batch.columns if values else ():
        if len(column) < 100_000:
            with contextlib.suppress(pa.ArrowException, ArithmeticError, ValueError):  # of dates, decimals and the like
                column.to_pylist()
        if pa.types.is_primitive(column.type) or isinstance(column.type, pa.FixedShapeTensorType):
            columns.decode(column)


def tried(call: Any) -> None:
    try:
        call()
    except TruetapError as error:
        refuse_memory(error)


def refuse_memory(error: BaseException) -> None:
    """Raises when the error stands for memory that was asked for and not there: nobody checked the size before."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            raise MemoryError(str(cause)) from error
        cause = cause.__cause__
