"""The ends of Parquet files, where their footers are: fetched many at a time, and kept, for they never change.

Cost: at most 32 KB for each of 512 files.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["TAIL", "End", "Tails"]

TAIL = 32 << 10
_KEPT = 512


class End(NamedTuple):
    """Which end of which file.

    Attributes:
        url: The file.
        size: Its size.
        version: Tells this content from any other that the name may have had.
    """

    url: str
    size: int
    version: int

    @property
    def start(self) -> int:
        """Where it begins."""
        return max(0, self.size - TAIL)


class Tails:
    """Ends of files that were fetched; to be used from several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[End, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, end: End, fetch: Callable[[], bytes]) -> bytes:
        """The end of a file, fetched if need be."""
        with self._lock:
            found = self._kept.get(end)
        if found is None:
            found = fetch()
            self._keep(end, found)
        return found

    def expect(self, ends: Sequence[End], fetch: Callable[[list[End]], list[bytes]]) -> None:
        """Fetch the ends of files that will be opened soon, those that are missing at the same time."""
        with self._lock:
            missing = [end for end in ends[:_KEPT] if end not in self._kept]
        if len(missing) > 1:
            for end, found in zip(missing, fetch(missing), strict=True):
                self._keep(end, found)

    def _keep(self, end: End, found: bytes) -> None:
        with self._lock:
            self._kept[end] = found
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
