"""Tables as Parquet in Hive folders, which DuckDB, Polars, Spark and pandas read as one table.

`samples/phase=train/epoch=0/part-000000.parquet`: phase and epoch stand in the path alone. Tensors are lists for every
reader, and tensors again for pyarrow. Where columns or shapes change within an epoch, each form has a file of its own.
Memory: one row group of at most 32 MB for each of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from truetap.errors import StoreError
from truetap.exporting.chosen import Chosen, Part
from truetap.exporting.target import files_in, new_folder
from truetap.store.parts import KEYS

__all__ = ["write"]

_GROUP_BYTES, _GROUP_ROWS = 32 << 20, 1 << 17


def write(chosen: Chosen, path: str, *, compression: str = "zstd") -> list[str]:
    """Writes the chosen tables; see the head of this module.

    Args:
        chosen: What is meant.
        path: The folder.
        compression: "zstd", "snappy", "gzip", "brotli", "lz4" or "none".
    """
    if compression not in ("zstd", "snappy", "gzip", "brotli", "lz4", "none"):
        raise StoreError(
            f"Parquet has no such compression. Received: compression={compression!r}. Expected: 'zstd', 'snappy', "
            "'gzip', 'brotli', 'lz4' or 'none'."
        )
    with new_folder(path) as folder:
        for table in chosen.tables:
            for place, parts in groupby(chosen.of(table), partial(_folder, folder / table)):
                _write_parts(parts, place, compression)
    return files_in(path)


def _folder(table: Path, part: Part) -> Path:
    """Where a part lies: in Hive folders if its rows have a phase and an epoch, and aren't one or a few an epoch."""
    if part.phase is None or "step" not in part.columns:
        return table
    return table / f"phase={quote(part.phase, safe='')}" / f"epoch={part.epoch}"


def _write_parts(parts: Iterable[Part], folder: Path, compression: str) -> None:
    folder.mkdir(parents=True)
    told = KEYS if folder.name.startswith("epoch=") else ()
    with contextlib.ExitStack() as open_files:
        files: dict[pa.Schema, _File] = {}
        for batch in (batch for part in parts for batch in part.rows):
            rows = batch.select([name for name in batch.schema.names if name not in told])
            if rows.schema not in files:
                file = _File(folder / f"part-{len(files):06d}.parquet", rows.schema, compression)
                files[rows.schema] = open_files.enter_context(file)
            files[rows.schema].add(rows)


class _File(contextlib.AbstractContextManager["_File", None]):
    """A file that gathers small batches to row groups."""

    def __init__(self, path: Path, schema: pa.Schema, compression: str) -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression=compression)
        self._held: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._rows += len(batch)
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def __exit__(self, *error: object) -> None:
        if self._held and error[0] is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._held, self._schema))
        self._held.clear()
        self._rows = self._bytes = 0
