"""Some rows of one output in one epoch, and what their values look like."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "look"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Look:
    """What an array of values looks like; of labels or outputs, over finite values.

    Attributes:
        shape: Its shape, the rows first.
        low: The least value; NaN of none.
        high: The greatest.
        mean: Their mean.
        std: Their standard deviation.
        whole: Whether all are whole numbers.
        distinct: How many different values there are, counted up to 1,000.
        binary: Whether all are 0 or 1.
        signs: Whether all are -1 or 1, and both occur.
        one_hot: Whether each row of the last axis, of at least 2, holds one 1 and else 0.
        rows_sum_to_one: Whether the last axis, of at least 2, sums to 1 in each row and nothing is below 0.
        unit_interval: Whether all lie from 0 to 1.
        nonfinite: The share of values that are NaN or infinite.
    """

    shape: tuple[int, ...]
    low: float
    high: float
    mean: float
    std: float
    whole: bool
    distinct: int
    binary: bool
    signs: bool
    one_hot: bool
    rows_sum_to_one: bool
    unit_interval: bool
    nonfinite: float

    @property
    def units(self) -> int:
        """The size of the last axis; 1 of values without one."""
        return self.shape[-1] if len(self.shape) > 1 else 1


def look(values: Array) -> Look:
    """What an array of numbers, shape (n, …), looks like."""
    array = np.asarray(values, np.float64)
    finite = array[np.isfinite(array)]
    some = finite if finite.size else np.asarray([np.nan])
    wide = array.ndim > 1 and array.shape[-1] > 1
    sums = array.sum(-1) if wide else array
    whole = bool(finite.size) and bool(np.all(finite == np.round(finite)))
    binary = whole and bool(np.all((finite == 0) | (finite == 1)))
    return Look(
        tuple(array.shape),
        float(some.min()),
        float(some.max()),
        float(some.mean()),
        float(some.std()),
        whole,
        min(len(np.unique(finite)), 1000),
        binary,
        whole and bool(np.all(np.abs(finite) == 1)) and bool((finite < 0).any() and (finite > 0).any()),
        wide and binary and finite.size == array.size and bool(np.all(sums == 1)),
        wide and finite.size == array.size and bool(np.all(array >= -1e-6) and np.all(np.abs(sums - 1) < 1e-3)),
        bool(finite.size) and bool(np.all((finite >= -1e-6) & (finite <= 1 + 1e-6))),
        1 - finite.size / array.size if array.size else 0.0,
    )


@dataclass(frozen=True)
class Rows:
    """Rows of one output, in the order of the steps; of a long epoch its first ones.

    Attributes:
        phase: "train" or "val" ("test" of evaluate).
        epoch: The epoch over the run.
        total: How many rows the epoch has.
        y_true: As recorded, in the shape of the outputs where that can be: (n, …); None without labels.
        y_pred: Shape (n, …).
        loss: Of each sample, shape (n,); None where there is none.
        weight: Sample weights with class weights, shape (n, …); None without.
        mask: Which elements are valid, shape (n, …); None without.
        prints: Fingerprints, int64, shape (n,); None without.
        ids: Sample ids.
        steps: The step of each row.
    """

    phase: str
    epoch: int
    total: int
    y_true: Array | None
    y_pred: Array
    loss: Array | None
    weight: Array | None
    mask: Array | None
    prints: Array | None
    ids: Array
    steps: Array

    def __len__(self) -> int:
        return len(self.y_pred)

    @cached_property
    def truth(self) -> Look | None:
        """What the labels look like; None without labels, or of labels that are no numbers."""
        return None if self.y_true is None or self.y_true.dtype.kind not in "fiub" else look(self.y_true)

    @cached_property
    def pred(self) -> Look:
        """What the outputs look like."""
        return look(self.y_pred)

    @cached_property
    def true_classes(self) -> Array | None:
        """Class indices of labels that can be read so: one-hot, or whole numbers of one value a row; else None."""
        if self.y_true is None or self.truth is None:
            return None
        if self.truth.one_hot:
            return np.asarray(self.y_true.argmax(-1))
        squeezed = self.y_true[..., 0] if self.y_true.ndim > 1 and self.y_true.shape[-1] == 1 else self.y_true
        if self.truth.whole and self.truth.nonfinite == 0 and squeezed.shape == self.y_pred.shape[: squeezed.ndim]:
            wide = squeezed.ndim == self.y_pred.ndim and self.y_pred.shape[-1] > 1
            return None if wide else np.asarray(squeezed, np.int64)
        return None

    @cached_property
    def pred_classes(self) -> Array:
        """The class that the outputs say: the highest of several units; of one, whether it is past the middle."""
        if self.pred.units > 1:
            return np.asarray(np.nan_to_num(self.y_pred).argmax(-1))
        value = self.y_pred[..., 0] if self.y_pred.ndim > 1 else self.y_pred
        return np.asarray(value >= (0.5 if self.pred.unit_interval else 0.0), np.int64)

    @cached_property
    def accuracy(self) -> float | None:
        """The share of positions whose class is right; None where labels are no classes."""
        true = self.true_classes
        if true is None or true.shape != self.pred_classes.shape:
            return None
        return float(np.mean(true == self.pred_classes))
