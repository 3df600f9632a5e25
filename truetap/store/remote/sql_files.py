"""The Parquet files of one run as a filesystem of their own, which DuckDB reads: there is nothing else in it.

Imported only where fsspec is there. Cost: of a file its end, once, and the column chunks that a query touches.
"""

from __future__ import annotations

import datetime
from typing import Any

from fsspec import AbstractFileSystem

from truetap.store.layout import is_parquet, is_table
from truetap.store.remote.path import RemotePath
from truetap.store.remote.ranges import RangeFile

__all__ = ["BEGINNING", "RunFilesystem"]

BEGINNING = "truetap://run/"

_NEVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class RunFilesystem(AbstractFileSystem):  # type: ignore[misc]
    """Reads "truetap://run/<table>/<part>.parquet", as the manifest names them.

    Args:
        root: The run's folder.
        known: The Parquet files by their path in the run, with size and crc32 each.
    """

    protocol = "truetap"
    cachable = False

    def __init__(self, root: RemotePath, known: dict[str, tuple[int, int]]) -> None:
        super().__init__(use_listings_cache=False)
        self._root = root
        self._known = known

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Size of a file of the run."""
        name = self._name(path)
        return {"name": path, "size": self._known[name][0], "type": "file"}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """Nothing: files are named one by one."""
        return []

    def glob(self, path: str, maxdepth: int | None = None, **options: Any) -> list[str]:
        """The file itself, if it is one of the run: no pattern is taken."""
        return [path] if self.exists(path) else []

    def exists(self, path: str, **options: Any) -> bool:
        """Whether it is a file of the run."""
        try:
            self._name(path)
        except FileNotFoundError:
            return False
        return True

    def modified(self, path: str) -> datetime.datetime:
        """The same for ever: files of a run never change."""
        return _NEVER

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> RangeFile:
        """A file of the run, to read.

        Raises:
            FileNotFoundError: It is none.
            PermissionError: It is to be written.
        """
        if "r" not in mode:
            raise PermissionError(f"Only reading is possible here. Received: mode {mode!r}.")
        name = self._name(path)
        return RangeFile(self._root / name, *self._known[name])

    def _name(self, path: str) -> str:
        name = path.removeprefix(BEGINNING).removeprefix("run/")
        table, _, file = name.partition("/")
        if not (is_table(table) and is_parquet(file) and name in self._known):
            raise FileNotFoundError(f"{path!r} is no Parquet file of the run.")
        return name
