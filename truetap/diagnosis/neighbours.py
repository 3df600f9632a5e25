"""How alike neighbours are in images and series: what a wrong reshape destroys, and another one gives back."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["alike", "exchangeable", "other_layouts", "wraps"]

Array = npt.NDArray[np.float64]


def alike(values: Array) -> Array:
    """Correlation of neighbours along each axis but the channels', within each sample: shape (n, axes).

    Args:
        values: Shape (n, height, width, channels) or (n, time, channels).
    """
    centred = _centred(values)
    return np.stack([_along(centred, axis) for axis in range(1, values.ndim - 1)], axis=1)


def wraps(values: Array) -> tuple[float, float]:
    """Of series, how alike the channels of a moment are, and the last channel and the first of the next moment."""
    centred = _centred(values)
    inside = float(np.nanmean(_along(centred, values.ndim - 1)))
    return inside, float(np.nanmean(_correlated(centred[:, :-1, -1], centred[:, 1:, 0])))


def other_layouts(values: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """What the same numbers are if they were transposed before, and brought to this shape by reshape.

    Yields:
        The order in which the axes lay in memory, and the values with their axes in place.
    """
    shape = values.shape[1:]
    axes = range(len(shape))
    for order in itertools.permutations(axes):
        if order == tuple(axes) or all(shape[axis] == 1 or order[axis] == axis for axis in axes):
            continue
        stored = values.reshape(len(values), *(shape[axis] for axis in order))
        back = [1 + order.index(axis) for axis in axes]
        yield order, stored.transpose(0, *back)


def exchangeable(values: Array) -> bool:
    """Whether the places in a sample could be exchanged, while samples differ as a whole.

    That is what a transposed batch axis gives: a "sample" is then one place of many samples. Asked by three tests: the
    correlation of neighbours is less than three standard errors from 0, places differ in their means no more than
    chance has it (less than three standard errors of the F ratio from 1), and the means of samples differ far more (ten
    times) than they would.
    """
    flat = values.reshape(len(values), -1)
    samples, places = flat.shape
    centred = flat - flat.mean(axis=1, keepdims=True)
    noise = float((centred**2).sum() / (samples * (places - 1)))
    if noise <= 0:
        return False
    between = float(flat.mean(axis=0).var(ddof=1) * samples / noise)
    levels = float(flat.mean(axis=1).var(ddof=1) * places / noise)
    near = np.nanmean(alike(values), axis=0)
    error = 1 / np.sqrt(samples * places)
    # samples of one value each, as of empty borders, have less noise than others: errors are wider than of normal ones
    loose = 4.0
    return bool(
        np.all(np.abs(near + 1 / places) < 3 * loose * error)
        and abs(between - 1) < 3 * loose * np.sqrt(2 / (places - 1))
        and levels > 10
    )


def _centred(values: Array) -> Array:
    return np.asarray(values - values.mean(axis=tuple(range(1, values.ndim)), keepdims=True))


def _along(centred: Array, axis: int) -> Array:
    size = centred.shape[axis]
    if size < 2:
        return np.full(len(centred), np.nan)
    return _correlated(centred.take(range(size - 1), axis), centred.take(range(1, size), axis))


def _correlated(one: Array, other: Array) -> Array:
    """Of each sample, the correlation of two parts that are centred already; NaN of parts that are constant."""
    axes = tuple(range(1, one.ndim))
    product = (one * other).sum(axis=axes)
    size = np.sqrt((one**2).sum(axis=axes) * (other**2).sum(axis=axes))
    return np.asarray(np.divide(product, size, out=np.full(len(one), np.nan), where=size > 1e-12))
