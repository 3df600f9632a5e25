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
    if parts.sample_weight is not None and _looks_like_labels(parts.sample_weight, parts.y):
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


def _looks_like_labels(weight: Any, y: Any) -> bool:
    """Whether what stands in the weight slot of a batch looks more like labels than weights.

    That is: `(x1, x2, y)` meant as two inputs and a label, which Keras reads as x, y and weights.
    Weights vary around 1; labels are small whole numbers of which several are neither 0 nor 1, or
    one-hot rows, or the very kind of values y would hold when y itself is a float matrix of inputs.
    """
    for leaf in leaves(weight):
        if leaf is None or is_ragged(leaf):
            continue
        values = to_host(leaf)
        if values.dtype.kind not in "iufb" or not values.size:
            continue
        if values.ndim == 2 and values.shape[1] > 1 and _one_hot(values):
            return True
        whole = bool(np.all(values == np.round(values)))
        labels = {path: to_host(part) for path, part in flatten(y).items() if part is not None}
        y_is_input = any(
            part.ndim > 1 and part.shape[-1] > 1 and part.dtype.kind == "f" and not _one_hot(part)
            for part in labels.values()
        )
        if whole and y_is_input and values.max() <= 1000:
            return True
        if values.dtype.kind in "iu" and (values.min() < 0 or values.max() > 1):  # 0 and 1 may be a mask
            return True
    return False


def _one_hot(values: Array) -> bool:
    return bool(np.all((values == 0) | (values == 1)) and np.all(values.sum(axis=-1) == 1))
