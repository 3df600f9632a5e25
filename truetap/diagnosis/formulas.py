"""Which formula a user's loss computes, told by its numbers.

A function such as `lambda y, p: keras.losses.binary_crossentropy(y, p, from_logits=True)` hides from facts what rules
need to know. Its values on recorded rows say it: they are compared with the formulas of cross-entropies and
other losses, with labels and outputs in their places and exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["BINARY", "CATEGORICAL", "CROSS_ENTROPIES", "NUMBERS", "SPARSE", "Acting", "recognised"]

Array = npt.NDArray[Any]

BINARY = frozenset({"binary_crossentropy", "binary_focal_crossentropy"})
SPARSE = frozenset({"sparse_categorical_crossentropy"})
CATEGORICAL = frozenset({"categorical_crossentropy", "categorical_focal_crossentropy"})
CROSS_ENTROPIES = BINARY | SPARSE | CATEGORICAL
# losses of numbers, which compare by subtracting
NUMBERS = frozenset({"mean_squared_error", "mean_absolute_error", "huber", "log_cosh"})

_FEWEST = 4
_EPSILON = 1e-7
_TOLERANCE = 1e-3  # float32, and another order of summing


@dataclass(frozen=True, slots=True)
class Acting:
    """What a loss computes.

    Attributes:
        name: Keras' name of the formula; "" where it is none that is known.
        from_logits: Whether it takes outputs for logits; False of losses that have no such thing.
        swapped: Whether it takes labels for outputs and outputs for labels.
        own: Whether the loss is a user's.
    """

    name: str = ""
    from_logits: bool = False
    swapped: bool = False
    own: bool = False


def recognised(values: Array, y_true: Array, y_pred: Array) -> Acting:
    """The formula that gives a loss' values, up to a factor.

    Args:
        values: Of each sample, shape (n, …); of other shapes nothing can be told.
        y_true: Labels, shape (n, …).
        y_pred: Outputs, shape (n, …).

    Example:
        >>> y_true, y_pred = np.array([[1.0], [0.0], [1.0], [1.0]]), np.array([[0.9], [0.2], [0.6], [0.8]])
        >>> recognised(-np.log([0.9, 0.8, 0.6, 0.8]), y_true, y_pred).name
        'binary_crossentropy'
    """
    unknown = Acting(own=True)
    if values.ndim == 0 or len(values) != len(y_pred) or len(values) < _FEWEST:
        return unknown
    per_sample = np.asarray(values, np.float64).reshape(len(values), -1).mean(axis=1)
    if not np.isfinite(per_sample).all() or np.ptp(per_sample) <= _TOLERANCE * np.abs(per_sample).max():
        return unknown
    for found, formula in _formulas(np.asarray(y_true, np.float64), np.asarray(y_pred, np.float64)):
        whole = formula.reshape(len(values), -1).mean(axis=1)
        if not np.isfinite(whole).all() or np.ptp(whole) <= _TOLERANCE * np.abs(whole).max():
            continue
        factor = float(per_sample @ whole / (whole @ whole))
        if factor > 0 and np.allclose(per_sample, factor * whole, rtol=_TOLERANCE, atol=1e-6 * abs(factor)):
            return found
    return unknown


def _formulas(y_true: Array, y_pred: Array) -> Iterator[tuple[Acting, Array]]:
    """What is known, each with its values; of those that agree on the rows the first counts."""
    shape = y_pred.shape
    indices = len(shape) > 1 and shape[-1] > 1 and y_true.size * shape[-1] == y_pred.size
    if indices:
        if np.all((y_true == np.round(y_true)) & (y_true >= 0) & (y_true < shape[-1])):
            hot = np.eye(shape[-1])[y_true.astype(int).reshape(shape[:-1])]
            for from_logits in (False, True):
                yield (
                    Acting("sparse_categorical_crossentropy", from_logits, own=True),
                    _categorical(hot, y_pred, from_logits),
                )
        return
    if y_true.size != y_pred.size:
        return
    true = y_true.reshape(shape)
    yield Acting("mean_squared_error", own=True), (true - y_pred) ** 2
    yield Acting("mean_absolute_error", own=True), np.abs(true - y_pred)
    for swapped, (one, other) in ((False, (true, y_pred)), (True, (y_pred, true))):
        for from_logits in (False, True):
            yield Acting("binary_crossentropy", from_logits, swapped, own=True), _binary(one, other, from_logits)
            if shape[-1] > 1:
                name = "categorical_crossentropy"
                yield Acting(name, from_logits, swapped, own=True), _categorical(one, other, from_logits)
        yield Acting("kl_divergence", False, swapped, own=True), _divergence(one, other)
        yield Acting("poisson", False, swapped, own=True), _poisson(one, other)


def _binary(true: Array, pred: Array, from_logits: bool) -> Array:
    if from_logits:
        return np.asarray(np.logaddexp(0, pred) - true * pred)
    inside = _clipped(pred)
    return np.asarray(-true * np.log(inside) - (1 - true) * np.log(1 - inside))


def _categorical(true: Array, pred: Array, from_logits: bool) -> Array:
    with np.errstate(all="ignore"):
        if from_logits:
            logs = pred - np.logaddexp.reduce(pred, axis=-1, keepdims=True)
        else:
            logs = np.log(_clipped(pred / pred.sum(axis=-1, keepdims=True)))
    return np.asarray(-(true * logs).sum(axis=-1))


def _clipped(pred: Array) -> Array:
    """Within 0 and 1 as Keras clips it: in float32, where 1 - 1e-7 is another number."""
    edge = np.float32(_EPSILON)
    return np.clip(np.asarray(pred, np.float32), edge, np.float32(1) - edge)


def _divergence(true: Array, pred: Array) -> Array:
    one, other = np.clip(true, _EPSILON, 1), np.clip(pred, _EPSILON, 1)
    return np.asarray((one * np.log(one / other)).sum(axis=-1))


def _poisson(true: Array, pred: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(pred - true * np.log(pred + _EPSILON))
