"""Whether samples are met again in a later epoch: if none is, fingerprints name no samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SeenAgain"]

Array = npt.NDArray[Any]

_MOST = 1 << 20  # fingerprints of the first epoch that are remembered: 8 MB


class SeenAgain:
    """Compares the second epoch's fingerprints with the first's.

    Example:
        >>> again = SeenAgain()
        >>> again.add(0, np.asarray([1, 2]))
        >>> again.add(1, np.asarray([3, 4]))
        >>> again.never
        True
    """

    def __init__(self) -> None:
        self._first: tuple[int, list[Array], int] | None = None
        self._known: Array | None = None
        self._compared = 0
        self._met = 0

    def add(self, epoch: int, prints: Array) -> None:
        """Takes the fingerprints of some training steps."""
        if self._met:
            return
        if self._first is None:
            self._first = (epoch, [], 0)
        number, parts, size = self._first
        if epoch == number:
            if size < _MOST:
                parts.append(prints)
                self._first = (number, parts, size + len(prints))
            return
        if self._known is None:
            self._known = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
        self._met += int(np.isin(prints, self._known).sum())
        self._compared += len(prints)

    @property
    def never(self) -> bool:
        """Whether as many samples as the first epoch had were looked at, and none of them was in it."""
        return self._met == 0 and self._known is not None and self._compared >= len(self._known) > 0
