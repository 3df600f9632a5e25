"""The batch of a comparison: read as `fit` reads it, converted once, so that both steps get the same tensors."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from truetap.backends import current
from truetap.backends.tensors import is_array, row_count, to_host
from truetap.errors import DataError, LengthError
from truetap.structure import flatten, map_leaves

__all__ = ["copied", "read_batch", "rows_of"]

_NAMES = ("x", "y", "sample_weight")


def read_batch(batch: Any) -> tuple[Any, ...]:
    """A batch as tensors.

    Args:
        batch: `(x, y)` or `(x, y, sample_weight)`, each an array, a tensor, or a structure of them.

    Returns:
        A tuple of two or three parts.

    Raises:
        DataError: It isn't a batch.
        LengthError: Its parts have different numbers of samples.
    """
    if not isinstance(batch, tuple | list) or not 2 <= len(batch) <= 3:
        length = f" of {len(batch)} parts" if isinstance(batch, tuple | list) else ""
        raise DataError(
            f"Expected: one batch, (x, y) or (x, y, sample_weight). Received: {type(batch).__name__}{length}. Of a "
            "dataset take one element, such as next(iter(dataset))."
        )
    if len(batch) == 3 and batch[2] is None:
        batch = batch[:2]
    parts = tuple(_converted(name, part) for name, part in zip(_NAMES, batch, strict=False))
    sizes = {f"{name}/{path}".rstrip("/"): row_count(leaf) for name, path, leaf in _leaves(parts)}
    if len(set(sizes.values())) != 1:
        raise LengthError(
            f"The parts of the batch have different numbers of samples. Received: {sizes}. Expected: the same first "
            "axis in x, y and sample_weight."
        )
    return parts


def rows_of(batch: tuple[Any, ...]) -> int:
    """The number of samples."""
    return row_count(_leaves(batch)[0][2])


def copied(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    """A batch that a step may write into: Keras itself does, to weights under a mask on torch."""
    if not current().mutable:
        return batch
    return tuple(map_leaves(lambda leaf: leaf if leaf is None else ops.copy(leaf), part) for part in batch)


def _leaves(parts: tuple[Any, ...]) -> list[tuple[str, str, Any]]:
    found = [(n, path, leaf) for n, part in zip(_NAMES, parts, strict=False) for path, leaf in flatten(part).items()]
    return [each for each in found if each[2] is not None]


def _converted(name: str, part: Any) -> Any:
    def convert(leaf: Any) -> Any:
        if leaf is None or current().is_native(leaf):
            return leaf
        if not is_array(leaf):
            raise DataError(f"{name} holds a {type(leaf).__name__}. Expected: an array or a tensor of shape (n, ...).")
        array = to_host(leaf)
        if np.issubdtype(array.dtype, np.floating):
            array = array.astype(keras.config.floatx())  # as fit does with arrays
        return ops.convert_to_tensor(array)

    return map_leaves(convert, part)
