"""A run on disk, read back: `tt.open(path)`."""

from __future__ import annotations

import os

from truetap.about import About
from truetap.errors import StoreError
from truetap.samples import Samples
from truetap.store import RunReader

__all__ = ["Run", "open"]


class Run:
    """A run folder, also one whose writer was interrupted: what was confirmed is there.

    Attributes:
        path: The folder.
        reader: The store beneath: tables, batches, checks.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.reader = RunReader(path)

    @property
    def complete(self) -> bool:
        """Whether the writer came to its end."""
        return self.reader.complete

    def samples(self) -> Samples:
        """The recorded pairs, memory-mapped.

        Raises:
            StoreError: The run holds none.
        """
        if "samples" not in self.reader.tables:
            raise StoreError(
                f"The run {self.path!r} holds no samples. Received: tables {list(self.reader.tables)}. Expected: a run "
                "that tt.collect(…, to=…) wrote; it may have ended before its first batch."
            )
        plain = self.reader.metadata.get("collect", {})
        about = About.from_json(plain) if isinstance(plain, dict) else About()
        return Samples(self.reader.batches("samples"), about)

    def __repr__(self) -> str:
        rows = {table: self.reader.num_rows(table) for table in self.reader.tables}
        tables = ", ".join(f"{table} with {count:,} rows" for table, count in rows.items()) or "no table yet"
        return f"Run {self.path!r}: {tables}{'' if self.complete else ' (not complete)'}"


def open(path: str | os.PathLike[str]) -> Run:  # noqa: A001
    """Opens a run for reading; also while it is written.

    Args:
        path: The folder that `tt.collect(…, to=folder)` wrote.

    Raises:
        StoreError: There is no run there.
        DamagedRunError: Its manifest can't be read.
    """
    return Run(path)
