"""Does the loss fall when the outputs come closer to the labels?"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from truetap.loss_checks.evidence import Array, Evidence
from truetap.loss_checks.numbers import distributions, probabilities, shown
from truetap.rules.finding import Finding, Severity

__all__ = ["WrongDirection"]

_FAR_TO_NEAR = (1.0, 0.8, 0.6, 0.4, 0.2, 0.02)
_SCORES = re.compile(r"(^|_)(coef\w*|score|iou|jaccard|accuracy|acc|f1|r2|ssim|psnr|recall|precision)(_|$)|dice_coef")


class WrongDirection:
    """The loss rises all the way to the right answer: a sign is turned round, or a score is minimised.

    Outputs are moved to the labels in six steps, from the batch and from five random ones. It is said only when the
    loss rises at every step from each of them, and the right answer is the highest point (values below 0 that rise, or
    a maximum from both sides), or the loss is named a score. A contrastive loss, which pushes apart what is labelled 1,
    does neither.
    """

    name = "wrong_direction"
    needs: tuple[str, ...] = ("values", "repeatable")
    after = (
        "value_in_python",
        "swapped_arguments",
        "implicit_broadcast",
        "no_gradient",
        "wrong_gradient",
        "not_finite",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        target = _target(evidence)
        if target is None:
            return
        starts = list(_starts(evidence))
        paths = [_along(evidence, target, start) for start in starts]
        if not all(_rises(path) for path in paths):
            return
        beyond = [_along(evidence, target, 2 * target - start) for start in starts]
        highest = all(max(path) <= 1e-6 for path in paths) or all(_rises(path) for path in beyond)
        if highest or _SCORES.search(evidence.subject.name.lower()):
            yield Finding(
                self.name,
                Severity.ERROR,
                f"From {len(paths)} batches the loss rises as y_pred comes closer to y_true: in this one from "
                f"{shown(paths[0][0])} to {shown(paths[0][-1])}.",
                "Training minimises the loss, and so drives the outputs away from the labels.",
                "Turn the sign round, or minimise 1 - score.",
            )


def _target(evidence: Evidence) -> Array | None:
    """The outputs that would be right; None where that isn't plain."""
    y_true, y_pred = evidence.y_true, evidence.y_pred
    if not np.isfinite(y_true).all():
        return None
    if evidence.element_wise:
        return y_true.astype(np.float64)
    if y_true.size == y_pred.size:
        return y_true.reshape(y_pred.shape).astype(np.float64)
    classes = y_pred.shape[-1]
    if y_true.size * classes != y_pred.size or not np.array_equal(y_true, np.round(y_true)):
        return None
    if y_true.min() < 0 or y_true.max() >= classes:
        return None
    return np.asarray(np.eye(classes)[y_true.astype(int).reshape(y_pred.shape[:-1])])


def _starts(evidence: Evidence) -> Iterator[Array]:
    """The outputs as given, and random ones of their kind."""
    yield evidence.y_pred.astype(np.float64)
    rng, shape = evidence.rng(), evidence.y_pred.shape
    unit = probabilities(evidence.y_pred)
    spread = max(float(evidence.y_pred.std()), 0.5)
    for _ in range(5):
        start = rng.uniform(0.02, 0.98, shape) if unit else rng.normal(evidence.y_pred.mean(), spread, shape)
        yield start / start.sum(-1, keepdims=True) if distributions(evidence.y_pred) else start


def _along(evidence: Evidence, target: Array, start: Array) -> list[float]:
    points = (target + far * (start - target) for far in _FAR_TO_NEAR)
    totals = [evidence.total(evidence.y_true, each.astype(np.float32)).value for each in points]
    return [np.nan if each is None else each for each in totals]


def _rises(path: list[float]) -> bool:
    steps = np.diff(path)
    scale = max(map(abs, path)) if np.isfinite(path).all() else np.nan
    return bool(np.all(steps > 1e-5 * scale))
