"""What DuckDB may read while it answers questions about a run: the run's Parquet files, and no other file anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import duckdb

from truetap.store import RunReader

__all__ = ["Named", "confine"]

Named: TypeAlias = Callable[[Sequence[str]], list[str]]


def confine(connection: duckdb.DuckDBPyConnection, reader: RunReader) -> Named:
    """Locks a connection so that only files of a run can be read by it.

    Returns:
        What gives the names that DuckDB knows the run's Parquet files by.
    """
    place = reader.path
    if isinstance(place, Path):
        _lock(connection, str(place.absolute()))
        return list
    from truetap.store.remote.sql_files import BEGINNING, RunFilesystem  # needs fsspec, which only stores do

    root, known = place, dict[str, tuple[int, int]]()
    connection.register_filesystem(RunFilesystem(root, known))
    _lock(connection, BEGINNING)

    def named(urls: Sequence[str]) -> list[str]:
        known.update({f"{table}/{file.path}": (file.bytes, file.crc) for table, file in reader.parquet_files()})
        return [BEGINNING + url.removeprefix(f"{root.url}/") for url in urls]

    return named


def _lock(connection: duckdb.DuckDBPyConnection, folder: str) -> None:
    quoted = folder.replace("'", "''")
    for setting in (
        f"allowed_directories = ['{quoted}']",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
