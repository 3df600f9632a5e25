"""Chunks of samples, and the flat list of positions in them that count.

A position is one prediction: a sample, a step of a sequence, a pixel. What a mask excludes, and what
its label says is not labelled, is taken out here and nowhere else: no metric sees padding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from truetap.errors import TaskError
from truetap.tasks.labels import canonical, pred_labels, true_labels
from truetap.tasks.task import Array, OutputTask, Task


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some samples, as they were recorded.

    Attributes:
        y_true: Labels, shape (n, ...).
        y_pred: Scores, shape (n, ...).
        mask: True (1) where a position counts, shape (n, ...) over the leading axes; None: all do.
        weight: Weights of samples (n,), or of positions (n, T, ...); None: all are 1.
        loss: Loss of each sample (n,), weighted as Keras does.
    """

    y_true: Array
    y_pred: Array
    mask: Array | None = None
    weight: Array | None = None
    loss: Array | None = None


@dataclass(frozen=True, slots=True)
class Positions:
    """The m positions of a chunk that count, end to end.

    Attributes:
        true: int64 labels (m,); uint8 (m, labels) for multi-label; targets (m, d) for regression.
        pred: Predicted labels, or values, of the same shape.
        scores: float32 or float64 (m,) for binary, else (m, units).
        weight: float64 (m,); None when weights don't count.
        sample: int64 (m,): row in the chunk.
        step: int64 (m,): index along the first axis of positions; None without such an axis.
        samples: Number of samples in the chunk.
        loss: The chunk's losses (samples,), or None.
        left_out: How many positions had a label that says "not labelled", by label.
    """

    true: Array
    pred: Array
    scores: Array
    weight: Array | None
    sample: Array
    step: Array | None
    samples: int
    loss: Array | None
    left_out: dict[int, int] = field(default_factory=dict)

    @property
    def weights(self) -> Array:
        """Weights (m,), ones when weights don't count."""
        return np.ones(len(self.true)) if self.weight is None else self.weight

    @property
    def finite(self) -> Array:
        """Which positions hold finite numbers, bool (m,); a score of -inf (a masked logit) may be."""
        bad = np.isnan(self.scores) | (self.scores == np.inf)
        if self.true.dtype.kind == "f":
            bad = bad | ~np.isfinite(self.true) | ~np.isfinite(self.scores)
        return np.asarray(~(bad.any(axis=1) if bad.ndim > 1 else bad))


def flatten(chunk: Chunk, spec: OutputTask, *, weighted: bool = False) -> Positions:
    """The positions of a chunk that count.

    Raises:
        TaskError: Labels, scores, mask or weights don't fit each other, or a label is out of range.
    """
    scores = canonical(chunk.y_pred, spec)
    if spec.task is Task.REGRESSION:
        exact = chunk.y_true.astype(np.float64) if chunk.y_true.dtype.kind in "iu" else chunk.y_true
        true, pred = canonical(exact, spec), scores
    else:
        true, pred = true_labels(chunk.y_true, spec), pred_labels(chunk.y_pred, spec)
    if true.shape != pred.shape:
        raise TaskError(
            f"Labels and scores differ in shape. Received: y_true {chunk.y_true.shape} with y_pred "
            f"{chunk.y_pred.shape}. Expected: one label per prediction of a {spec.task} output."
        )
    shape = scores.shape[: 1 + spec.positions]
    valid = np.ones(shape, bool) if chunk.mask is None else _spread(chunk.mask, shape, "mask").astype(bool)
    left_out: dict[int, int] = {}
    if spec.task in (Task.MULTICLASS, Task.ORDINAL):
        labelled = _labelled(true, valid, spec)
        values, counts = np.unique(true[valid & ~labelled], return_counts=True)
        left_out = dict(zip(values.tolist(), counts.tolist(), strict=True))
        valid = valid & labelled
    weight = _spread(chunk.weight, shape, "weights") if weighted and chunk.weight is not None else None
    where = np.nonzero(valid)
    everything = bool(valid.all())
    return Positions(
        true=_pick(true, valid, everything),
        pred=_pick(pred, valid, everything),
        scores=_pick(scores, valid, everything),
        weight=None if weight is None else _pick(weight, valid, everything).astype(np.float64),
        sample=where[0],
        step=where[1] if spec.positions else None,
        samples=len(scores),
        loss=None if chunk.loss is None else np.asarray(chunk.loss, np.float64),
        left_out=left_out,
    )


def _pick(values: Array, valid: Array, everything: bool) -> Array:
    return values.reshape(-1, *values.shape[valid.ndim :]) if everything else values[valid]


def _labelled(true: Array, valid: Array, spec: OutputTask) -> Array:
    labelled = (true >= 0) & (true < spec.classes)
    wrong = valid & (true >= spec.classes) & (true != 255)
    if spec.ignore_class is not None:
        labelled &= true != spec.ignore_class
        wrong &= true != spec.ignore_class
    if wrong.any():
        raise TaskError(
            f"Labels are out of range. Received: label {true[wrong].max()} for an output of "
            f"{spec.classes} classes. Expected: 0 to {spec.classes - 1}; negative labels and 255 mean "
            "'not labelled'. Number the classes from 0."
        )
    return np.asarray(labelled)


def _spread(values: Array, shape: tuple[int, ...], name: str) -> Array:
    """Values of samples, or of leading axes, spread over all positions."""
    values = np.asarray(values)
    if values.ndim > 1 and values.shape[-1] == 1 and values.shape != shape[: values.ndim]:
        values = values[..., 0]
    if values.ndim > len(shape) or values.shape != shape[: values.ndim]:
        raise TaskError(
            f"The {name} of an output don't fit it. Received: shape {values.shape} for predictions of "
            f"shape {shape}. Expected: {shape}, or its leading axes."
        )
    rest = len(shape) - values.ndim
    return np.broadcast_to(values.reshape(*values.shape, *(1,) * rest), shape)
