"""Generators, iterators and other iterables: drawn exactly as far as asked, in the order they give."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from truetap.data.source import Drawn, Facts, as_names

__all__ = ["IterableSource"]

_ENDLESS = sys.maxsize >> 20  # Grain gives a dataset that repeats forever a length of this order


class IterableSource:
    """Anything with `iter()`: a generator object, an iterator, a Grain dataset, a user's own class.

    A generator object is continued, not restarted: a second `draw` goes on where the first stopped,
    on every backend, since nothing is drawn that wasn't asked for.
    """

    def __init__(self, data: Any, kind: str | None = None) -> None:
        self._data = data
        self._one_shot = hasattr(data, "__next__")  # not iter(data): that may start workers
        self._kind = kind or ("generator" if self._one_shot else type(data).__name__)

    @property
    def facts(self) -> Facts:
        """Its length, when it has one."""
        try:
            length = len(self._data)
        except (TypeError, NotImplementedError):
            length = None
        endless = length is not None and length >= _ENDLESS
        return Facts(
            kind=self._kind,
            num_batches=None if endless else length,
            infinite=endless,
            one_shot=self._one_shot,
            class_names=as_names(getattr(self._data, "class_names", None)),
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """The next `limit` elements."""
        return map(Drawn, islice(iter(self._data), limit))
