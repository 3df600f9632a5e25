"""A mask made by hand, whose average still counts what it leaves out.

Certain only where the loss can be caught at it: elements with a label such as -1 or NaN, or with a 0 in a column
of zeros and ones beside the labels, must have exactly no gradient, and on a batch whose elements are all alike, marking
half of them so must halve the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from truetap.loss_checks.evidence import Array, Evidence
from truetap.loss_checks.numbers import same, shown
from truetap.rules.finding import Finding, Severity

__all__ = ["MeanOverMasked"]

_MARKS = (-1.0, float("nan"), -100.0, 255.0, -999.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Alike:
    """A batch whose elements are all alike: a label, and the outputs at one position."""

    label: float
    outputs: Array  # () or (classes,)
    shape: tuple[int, ...]  # of the labels

    def y_true(self, mark: float | None = None, masked: Array | None = None) -> Array:
        values = np.full(self.shape, self.label, np.float32)
        if mark is not None:
            values[masked] = mark
        return values

    def y_pred(self, shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(self.outputs, shape).astype(np.float32)


class MeanOverMasked:
    """The loss leaves elements out of the sum, and counts them in the mean.

    So the loss, and with it the gradient, is the smaller the more of a batch is masked. Certain: elements labelled -1,
    NaN, -100, 255, -999 or 0 have exactly no gradient, labels beside that value have one; and half of a batch of equal
    elements so labelled halves the loss (to 1e-3). Losses that sum over elements, and Keras' own, are let be.
    """

    name = "mean_over_masked"
    needs: tuple[str, ...] = ("values", "graph")
    after = ("value_in_python", "implicit_broadcast", "no_gradient", "swapped_arguments", "batch_statistics")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        if evidence.subject.documented or not evidence.n:
            return
        yield from self._packed(evidence)
        alike = _alike(evidence)
        if alike is None:
            return
        indices = evidence.element_wise is None  # of classes: backends differ in what one out of range does
        for mark in (each for each in _MARKS if not indices or np.any(evidence.y_true == each)):
            found = self._at(evidence, alike, mark)
            if found is not None:
                yield found
                return

    def _at(self, evidence: Evidence, alike: _Alike, mark: float) -> Finding | None:
        masked = np.zeros(alike.shape, bool)
        masked.reshape(-1)[::2] = True
        y_pred = alike.y_pred(evidence.y_pred.shape)
        if mark == alike.label or not _left_out(evidence, alike, mark, masked, y_pred):
            return None
        all_count = evidence.total(alike.y_true(), y_pred).value
        half_count = evidence.total(alike.y_true(mark, masked), y_pred).value
        if all_count is None or half_count is None or same(all_count, 0.0):
            return None
        share = 1 - float(masked.mean())
        if not same(half_count, all_count * share) or _sums(evidence, alike, all_count):
            return None
        return self._finding(f"labelled {mark:g}", masked, half_count, all_count)

    def _packed(self, evidence: Evidence) -> Iterator[Finding]:
        """The mask is a column of the labels."""
        y_true, pred = evidence.y_true, evidence.y_pred
        if y_true.ndim != pred.ndim or y_true.ndim < 3 or y_true.shape != (*pred.shape[:-1], pred.shape[-1] + 1):
            return
        error = 1.0
        full, y_pred = np.ones(y_true.shape, np.float32), np.full(pred.shape, 1.0 + error, np.float32)
        masked = np.zeros(y_true.shape[:-1], bool)
        masked[:, ::2] = True
        for column in range(y_true.shape[-1]):
            if not np.array_equal(np.unique(y_true[..., column]), (0, 1)):
                continue
            half = full.copy()
            half[masked, column] = 0
            slope = _per_element(evidence, half, y_pred)
            all_count, half_count = (evidence.total(each, y_pred).value for each in (full, half))
            if slope is None or all_count is None or half_count is None or slope.shape != masked.shape:
                continue
            left_out = not np.any(slope[masked]) and bool(np.all(slope[~masked] > 0))
            is_mean = same(all_count, error) or same(all_count, 0.5 * error)  # squares and halves of them, too
            if left_out and is_mean and same(half_count, all_count * (1 - float(masked.mean()))):
                yield self._finding(f"with a 0 in column {column} of the labels", masked, half_count, all_count)
                return

    def _finding(self, which: str, masked: Array, half_count: float, all_count: float) -> Finding:
        return Finding(
            self.name,
            Severity.WARNING,
            f"Elements {which} have no gradient, so they are masked; but with {int(masked.sum())} of "
            f"{masked.size} equal elements masked the loss is {shown(half_count)} where their mean is "
            f"{shown(all_count)}.",
            "It divides by all elements: the more is masked, the smaller the loss and its gradient, batch by batch.",
            "Divide by the number of valid elements, or use tt.losses.Masked, which does.",
            reference="keras-team/keras#12850",
        )


def _alike(evidence: Evidence) -> _Alike | None:
    y_true, y_pred = evidence.y_true, evidence.y_pred
    plain = y_true[np.isfinite(y_true) & ~np.isin(y_true, _MARKS)] if y_true.dtype.kind == "f" else y_true[y_true > 0]
    if evidence.element_wise:
        label = float(plain.flat[0]) if plain.size else 0.7
        away = label + 1.0 if not 0 <= float(y_pred.min()) <= float(y_pred.max()) <= 1 else 0.3
        return _Alike(label, np.asarray(away), y_true.shape)
    classes = y_pred.shape[-1]
    if y_true.size * classes != y_pred.size or not plain.size:
        return None
    label = float(plain.flat[0])
    known = label == int(label) and 0 < label < classes
    return _Alike(label, y_pred.reshape(-1, classes)[0], y_true.shape) if known else None


def _left_out(evidence: Evidence, alike: _Alike, mark: float, masked: Array, y_pred: Array) -> bool:
    """Whether elements with the mark have no gradient, and only because they have exactly this label.

    A label next to the mark must have a gradient like any other: in a cross-entropy the gradient of a 0
    vanishes too, but it does so little by little.
    """
    at_mark = _per_element(evidence, alike.y_true(mark, masked), y_pred)
    if at_mark is None or np.any(at_mark[masked] != 0) or not np.all(at_mark[~masked] > 0):
        return False
    if not evidence.element_wise or np.isnan(mark):
        return True
    near, further = (_per_element(evidence, alike.y_true(mark + by, masked), y_pred) for by in (1e-3, 2e-3))
    if near is None or further is None:
        return False
    return bool(np.all(near[masked] > 0.8 * further[masked]) and np.all(further[masked] > 0))


def _per_element(evidence: Evidence, y_true: Array, y_pred: Array) -> Array | None:
    """The size of the gradient at each label."""
    found = evidence.gradient(y_true, y_pred).value
    if found is None or found.slope is None:
        return None
    size = np.abs(found.slope)
    if y_true.shape[:-1] == y_pred.shape[:-1] and y_true.shape[-1] > y_pred.shape[-1]:
        return np.asarray(size.max(axis=-1))
    return size if size.shape == y_true.shape else size.reshape(*y_true.shape, -1).max(axis=-1)


def _sums(evidence: Evidence, alike: _Alike, whole: float) -> bool:
    """Whether the loss is a sum over elements, which a mask rightly makes smaller."""
    half = evidence.n // 2
    rows = slice(half)
    part = evidence.total(alike.y_true()[rows], alike.y_pred(evidence.y_pred.shape)[rows], rows=rows).value
    if part is not None and not same(part, whole):
        return True
    if len(alike.shape) < 2 or alike.shape[1] < 2:
        return False
    steps = evidence.total(alike.y_true()[:, :1], alike.y_pred(evidence.y_pred.shape)[:, :1]).value
    return steps is not None and not same(steps, whole)
