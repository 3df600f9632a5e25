"""What a stream of labels and scores looks like, gathered a chunk at a time.

Every fact is an "all", an "any", a minimum or a maximum, so that the answer doesn't depend on where
chunks begin and end. Cost: one pass, memory of one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from truetap.errors import TaskError
from truetap.tasks.links import floating
from truetap.tasks.task import Array

_TARGET_TOLERANCE = 1e-3  # label smoothing in float16
_SCORE_TOLERANCE = 1e-2  # a softmax over many classes in bfloat16
_FEW = 3


class Layout(StrEnum):
    """How the shape of labels relates to the shape of scores."""

    SCALAR = "one score per target"
    SAME = "one score per element of the target"
    INDEX = "one class index per row of scores"
    OTHER = "neither"


@dataclass(slots=True)
class TargetFacts:
    """What holds for all true values."""

    integral: bool = True
    zero_one: bool = True
    plus_minus: bool = True
    unit: bool = True  # all in [0, 1]
    few: set[float] = field(default_factory=set)  # distinct values, up to three
    rows_one: bool = True  # every row sums to 1
    rows_one_or_none: bool = True  # ... or is all zeros, as padding is
    rows_falling: bool = True  # 1 1 0 0: no value is above the one before
    long_sums: set[float] = field(default_factory=set)  # distinct row sums above 1, up to three
    low: float = np.inf
    high: float = -np.inf

    def add(self, values: Array, *, rows: bool) -> None:
        """Takes in one chunk; `rows` when the last axis is the class axis."""
        if not values.size:
            return
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.integral = self.integral and bool((values == np.floor(values)).all())
        ones = values == 1
        self.zero_one = self.zero_one and bool((ones | (values == 0)).all())
        self.plus_minus = self.plus_minus and bool((ones | (values == -1)).all())
        self.unit = self.unit and bool(((values >= 0) & (values <= 1)).all())
        if len(self.few) < _FEW:
            self.few.update(np.unique(values)[:_FEW].tolist())
        if rows:
            self._add_rows(values)

    def _add_rows(self, values: Array) -> None:
        sums = values.sum(axis=-1, dtype=np.float64)
        one = (np.abs(sums - 1) <= _TARGET_TOLERANCE) & (values >= 0).all(axis=-1)
        self.rows_one = self.rows_one and bool(one.all())
        self.rows_one_or_none = self.rows_one_or_none and bool((one | ~values.any(axis=-1)).all())
        self.rows_falling = self.rows_falling and bool((values[..., 1:] <= values[..., :-1]).all())
        if len(self.long_sums) < _FEW:
            self.long_sums.update(np.unique(sums[sums > 1])[:_FEW].tolist())

    @property
    def two_valued(self) -> bool:
        """Whether no more than two values within [0, 1] occur: 0 and 1, or smoothed ones."""
        return self.unit and len(self.few) < _FEW

    @property
    def cumulative(self) -> bool:
        """Whether rows look like 1 1 0 0, with more than one length above 1."""
        return self.zero_one and self.rows_falling and len(self.long_sums) > 1


@dataclass(slots=True)
class Facts:
    """What holds for all pairs of true values and scores."""

    ignore_class: int | None = None
    samples: int = 0
    true_shape: tuple[int, ...] = ()
    pred_shape: tuple[int, ...] = ()
    layout: Layout = Layout.OTHER
    target: TargetFacts = field(default_factory=TargetFacts)
    scores_unit: bool = True  # all scores in [0, 1]
    scores_sum: bool = True  # all rows of scores sum to 1

    @property
    def units(self) -> int:
        """Length of the class axis."""
        return 1 if len(self.pred_shape) == 1 else self.pred_shape[-1]

    def add(self, y_true: Array, y_pred: Array, mask: Array | None = None) -> None:
        """Takes in one chunk: arrays (n, ...), and a mask (n, ...) of the positions that count."""
        y_true, y_pred = _numeric(np.asarray(y_true)), floating(np.asarray(y_pred))
        if not len(y_pred):
            return
        if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if mask is not None and y_pred.shape[1:] != (1,) and mask.shape == y_true.shape == y_pred.shape:
            y_true, y_pred = y_true[..., None], y_pred[..., None]  # each score is a position of its own
        layout = _layout(y_true.shape, y_pred.shape)
        if not self.samples:
            self.true_shape, self.pred_shape, self.layout = y_true.shape, y_pred.shape, layout
        elif layout is not self.layout or (layout is Layout.SAME and self.units != y_pred.shape[-1]):
            raise TaskError(
                "The shapes of an output change from batch to batch. Received: labels of shape "
                f"{self.true_shape} with scores {self.pred_shape}, then {y_true.shape} with "
                f"{y_pred.shape}. Expected: the same axes in every batch."
            )
        self.samples += len(y_pred)
        if layout is Layout.INDEX and y_true.ndim == y_pred.ndim:
            y_true = y_true[..., 0]
        if mask is not None:
            keep = _fit_mask(np.asarray(mask, bool), y_pred)
            y_true, y_pred = y_true[keep], y_pred[keep]
        if layout is Layout.INDEX:
            y_true = y_true[self._labelled(y_true)]
        self.target.add(y_true, rows=layout is Layout.SAME)
        self._add_scores(y_pred)

    def describe(self) -> str:
        """Words for an error: shapes and range of what came."""
        true, pred = _words(self.true_shape), _words(self.pred_shape)
        values = f"from {self.target.low:g} to {self.target.high:g}"
        return f"labels of shape {true} {values} with scores of shape {pred}"

    def _labelled(self, y_true: Array) -> Array:
        """Where a sparse label isn't one of those that say "ignore": negative, 255, ignore_class."""
        keep = (y_true >= 0) | (y_true != np.floor(y_true))
        if self.units <= 255:
            keep &= y_true != 255
        return np.asarray(keep if self.ignore_class is None else keep & (y_true != self.ignore_class))

    def _add_scores(self, y_pred: Array) -> None:
        tolerance = _TARGET_TOLERANCE
        outside = (y_pred < -tolerance) | (y_pred > 1 + tolerance)
        self.scores_unit = self.scores_unit and not outside.any()
        if self.units > 1 and self.scores_sum and y_pred.size:
            with np.errstate(invalid="ignore"):
                away = np.abs(y_pred.sum(axis=-1, dtype=np.float64) - 1) > _SCORE_TOLERANCE
            self.scores_sum = not away.any()


def _numeric(y_true: Array) -> Array:
    if y_true.dtype.kind == "b":
        return y_true.astype(np.uint8)
    if y_true.dtype.kind in "iuf":
        return y_true
    if y_true.dtype.kind == "V":  # bfloat16 and its kin, which NumPy has no ufuncs for in full
        return y_true.astype(np.float32)
    raise TaskError(
        f"Labels can't be read as numbers. Received: dtype {y_true.dtype}. Expected: integers, floats "
        "or bools, as the loss gets them. Encode strings first, e.g. with keras.layers.StringLookup."
    )


def _layout(true: tuple[int, ...], pred: tuple[int, ...]) -> Layout:
    if len(pred) == 1 or pred[-1] == 1:
        bare_true = true[:-1] if len(true) > 1 and true[-1] == 1 and len(true) == len(pred) else true
        bare_pred = pred[:-1] if len(pred) > 1 else pred
        return Layout.SCALAR if bare_true == bare_pred else Layout.OTHER
    if true == pred:
        return Layout.SAME
    return Layout.INDEX if true in (pred[:-1], (*pred[:-1], 1)) else Layout.OTHER


def _fit_mask(mask: Array, y_pred: Array) -> Array:
    if mask.ndim > 1 and mask.shape[-1] == 1 and mask.ndim == y_pred.ndim:
        mask = mask[..., 0]
    if mask.shape == y_pred.shape[: mask.ndim]:
        return mask
    raise TaskError(
        f"A mask doesn't fit its output. Received: mask {mask.shape} with scores {y_pred.shape}. "
        "Expected: the leading axes of the scores."
    )


def _words(shape: tuple[int, ...]) -> str:
    return "(n" + ("".join(f", {size}" for size in shape[1:]) or ",") + ")"
