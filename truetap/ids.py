"""What a sample is called: whole numbers (int64, so exact beyond 2**53) or strings (paths, keys)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.backends.tensors import is_array, to_host
from truetap.errors import IdError

__all__ = ["as_ids", "check_unique", "repeated"]

Array = npt.NDArray[Any]


def as_ids(values: Any, size: int | None = None) -> Array:
    """Ids as int64 of shape (n,), or an object array of strings.

    Args:
        values: Whole numbers, strings, bytes (decoded as UTF-8) or paths; one per sample.
        size: The number of samples they are for, when known.

    Raises:
        IdError: Floats (they lose digits above 2**53), mixed kinds, values beyond int64, a wrong
            length, None among them.

    Example:
        >>> as_ids([2**60 + 1, 7])
        array([1152921504606846977,                   7])
    """
    array = to_host(values) if is_array(values) else np.asarray(list(values), dtype=object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise IdError(f"Ids need one value per sample. Received: shape {array.shape}. Expected: shape (n,).")
    if size is not None and len(array) != size:
        raise IdError(f"There are {len(array)} ids for {size} samples. Expected: one id per sample, in their order.")
    if array.dtype.kind in "iu":
        return _int64(array)
    if array.dtype.kind in "OSUT":
        return _objects(array)
    raise IdError(
        f"Ids are whole numbers or strings. Received: dtype {array.dtype}"
        + (" (floats lose digits above 2**53)." if array.dtype.kind == "f" else ".")
        + " Expected: int64, or str."
    )


def _int64(array: Array) -> Array:
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise IdError(
            f"An id is too large for int64. Received: {int(array.max())}. Expected: at most 2**63 - 1; "
            "pass such keys as strings."
        )
    return array.astype(np.int64, copy=False)


def _objects(array: Array) -> Array:
    values = [item.item() if isinstance(item, np.generic) else item for item in array.tolist()]
    values = [item.decode() if isinstance(item, bytes) else item for item in values]
    if all(isinstance(item, int) and not isinstance(item, bool) for item in values):
        try:
            return np.asarray(values, dtype=np.int64)
        except OverflowError:
            largest = max(values, key=lambda item: abs(int(item)))
            raise IdError(
                f"An id is too large for int64. Received: {largest}. Expected: from -2**63 to 2**63 - 1; "
                "pass such keys as strings."
            ) from None
    if all(isinstance(item, str) or hasattr(item, "__fspath__") for item in values):
        strings = np.empty(len(values), dtype=object)
        strings[:] = [str(item) for item in values]
        return strings
    kinds = sorted({type(item).__name__ for item in values})
    raise IdError(
        f"Ids are all whole numbers or all strings. Received: {' and '.join(kinds)}. Expected: one kind; "
        "str(id) makes strings of them."
    )


def check_unique(ids: Array) -> None:
    """Refuses names that stand more than once.

    Raises:
        IdError: With some of them.
    """
    twice = repeated(ids)
    if len(twice):
        shown = ", ".join(repr(item) for item in twice[:5].tolist())
        raise IdError(f"Ids name samples, so each may stand once. Received: {len(twice)} repeated, such as {shown}.")


def repeated(ids: Array) -> Array:
    """The ids that occur more than once, each once, in the order of their first repetition."""
    _, first, counts = np.unique(ids, return_index=True, return_counts=True)
    return np.asarray(ids[np.sort(first[counts > 1])])
