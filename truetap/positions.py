"""Which rows are meant by a slice, by indices or by a bool mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.errors import DataError

__all__ = ["positions"]


def positions(key: slice | Sequence[int] | npt.NDArray[Any], size: int) -> npt.NDArray[np.int64]:
    """The positions that a key chooses among `size` rows, in the order asked for.

    Raises:
        DataError: A mask of another length, or neither a mask nor whole numbers.
        IndexError: A position beyond the last row.

    Example:
        >>> positions([-1, 0], 5)
        array([4, 0])
    """
    if isinstance(key, slice):
        return np.arange(size)[key]
    chosen = np.asarray(key)
    if chosen.dtype.kind == "b":
        if chosen.shape != (size,):
            raise DataError(f"A mask chooses among all rows. Received: shape {chosen.shape}. Expected: ({size},).")
        return np.flatnonzero(chosen)
    if chosen.dtype.kind not in "iu" and chosen.size:
        raise DataError(
            f"Rows are chosen by position. Received: {chosen.dtype}. Expected: whole numbers, a slice, a bool mask, "
            "or the name of an output."
        )
    chosen = chosen.astype(np.int64).reshape(-1)
    beyond = chosen[(chosen < -size) | (chosen >= size)]
    if beyond.size:
        raise IndexError(f"There is no such row. Received: {int(beyond[0])}. Expected: from {-size} to {size - 1}.")
    return np.where(chosen < 0, chosen + size, chosen)
