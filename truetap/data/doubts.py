"""What looks wrong about data that can be read: said, and then done as asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.backends.tensors import is_ragged, to_host
from truetap.data.element import Parts
from truetap.structure import flatten, leaves

__all__ = ["doubt_about_names", "doubts_about_batch"]

Array = npt.NDArray[Any]


def doubts_about_batch(parts: Parts) -> list[str]:
    """What should be said of a batch; the first of a pass is looked at."""
    said = []
    if parts.sample_weight is not None and _looks_like_labels(parts):
        said.append(
            "The third part of a batch is read as sample weights, as Keras does, but looks like labels. "
            "Two inputs and a label are written ([x1, x2], y) or ({'a': x1, 'b': x2}, y)."
        )
    place = _label_in_input(parts)
    if place is not None:
        said.append(
            f"The label of every sample stands in its own input, at position {place}: the model can copy it. "
            "Expected: a target from beyond the window (for timeseries_dataset_from_array, targets=series[length:])."
        )
    return said


def doubt_about_names(names: Sequence[str]) -> str | None:
    """Class names that look like numbers and are sorted as text: index 2 is not class "2"."""
    if not all(name.isdigit() for name in names):
        return None
    by_number = sorted(names, key=int)
    for index, (name, expected) in enumerate(zip(names, by_number, strict=True)):
        if name != expected:
            return (
                f"The class names look like numbers but are sorted as text: index {index} is class {name!r}, not "
                f"{expected!r}. Read classes by class_names[index]."
            )
    return None


def _label_in_input(parts: Parts) -> tuple[int, ...] | None:
    """The position at which each sample's own label stands in its input, if it does in all of them.

    Looked for in one numeric array of windows or rows beside one number per sample that isn't the
    same for all; an autoencoder's target, which is its whole input, is none of that.
    """
    if is_ragged(parts.x) or is_ragged(parts.y) or len(flatten(parts.x)) != 1 or len(flatten(parts.y)) != 1:
        return None
    x, y = to_host(leaves(parts.x)[0]), to_host(leaves(parts.y)[0])
    if x.dtype.kind not in "iuf" or y.dtype.kind not in "iuf" or y.size != len(x) or x.ndim not in (2, 3):
        return None
    y = y.reshape(-1)
    if len(y) < 8 or len(np.unique(y)) < 5 or x[0].size < 2 or x[0].size > 100_000:
        return None
    same = (x == y.reshape(-1, *([1] * (x.ndim - 1)))).all(axis=0)
    places = np.argwhere(same)
    return tuple(int(index) for index in places[0]) if len(places) else None


def _looks_like_labels(parts: Parts) -> bool:
    """Whether what stands in the weight slot of a batch looks more like labels than weights.

    That is: `(x1, x2, y)` meant as two inputs and a label, which Keras reads as x, y and weights.
    One-hot rows and whole numbers beyond 0 and 1 in an integer dtype are labels. So are whole floats
    when y is a matrix of floats, as an input would be; but zeros and ones among them may be a mask,
    unless all are 0, or y has the very shape of x without being it.
    """
    arrays = [to_host(leaf) for leaf in leaves(parts.y) if leaf is not None]
    y_is_input = any(y.ndim > 1 and y.shape[-1] > 1 and y.dtype.kind == "f" and not _one_hot(y) for y in arrays)
    for leaf in leaves(parts.sample_weight):
        if leaf is None or is_ragged(leaf):
            continue
        values = to_host(leaf)
        if values.dtype.kind not in "iuf" or not values.size or not bool(np.all(values == np.round(values))):
            continue
        if values.ndim == 2 and values.shape[1] > 1 and _one_hot(values):
            return True
        if np.isin(values, (0, 1)).all():
            if y_is_input and (not values.any() or (not values.all() and _twins(parts))):
                return True
        elif values.dtype.kind in "iu" or (y_is_input and values.max() <= 1000):
            return True
    return False


def _twins(parts: Parts) -> bool:
    """Whether y could be a second input: of the shape of x, and not x itself."""
    x, y = leaves(parts.x), leaves(parts.y)
    if len(x) != 1 or len(y) != 1 or x[0] is None or y[0] is None:
        return False
    first, second = to_host(x[0]), to_host(y[0])
    return first.shape == second.shape and not np.array_equal(first, second)


def _one_hot(values: Array) -> bool:
    return bool(np.all((values == 0) | (values == 1)) and np.all(values.sum(axis=-1) == 1))
