"""The steps are so short that next to nothing changes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.course import Course
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.movement import ADAPTIVE, Movement
from truetap.rules.finding import Finding, Severity

__all__ = ["LearningRateTooLow"]

_SHORT, _NOWHERE = 3e-4, 0.1  # an update's share of the weight's norm, and that of all steps together
_SHORTISH, _NEAR = 5e-4, 0.4  # the same, where the loss still falls on a straight line
_PULL = 0.02  # the gradient is there: a weight changed by its own size would change the loss by 2%
_STRAIGHT = 0.6  # of the first half's fall is left in the second
_LEARNT_BEFORE, _LEARNT_AFTER = 0.1, 0.5
_LOW = {True: 1e-4, False: 1e-3}  # where it isn't known what was learnt


class LearningRateTooLow:
    """The learning rate is too low for the number of steps.

    Said where there is a gradient (`Movement.pulls`), updates are below 3e-4 of the weights' norms, all of them
    together could move no kernel by 0.1 of its norm (5e-4 and 0.4, if the loss falls along a straight line), and the
    model, which knew nothing at first, has learnt less than half. A healthy ratio is near 1e-3 (Karpathy's notes for
    CS231n). Fine-tuning begins with a model that knows much, and is let be.
    """

    name = "learning_rate_too_low"
    needs = ("curve", "updates", "gradients")
    after = (
        "schedule_dies",
        "clipping_too_tight",
        "negative_learning_rate",
        "nan_in_data",
        "unscaled_inputs",
        "zero_initialisation",
        "dead_relu",
        "saturated_units",
        "initial_weights_too_large",
        "vanishing_gradient",
        "no_gradient_through_loss",
        "broken_graph",
        "frozen_by_mistake",
        "zero_sample_weights",
        "softmax_on_one_unit",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        course, movement = Course(evidence), Movement(evidence)
        usual, travel = movement.usual_ratio, movement.travel
        crawls = usual < _SHORT and travel < _NOWHERE
        slow = usual < _SHORTISH and travel < _NEAR and _straight(course)
        if not (crawls or slow) or max(movement.pulls.values(), default=0.0) < _PULL:
            return
        if not np.isfinite(course.late.mean):
            return
        rates = course.curve.learning_rate
        rate = float(np.nanmax(rates)) if np.isfinite(rates).any() else np.nan
        if not _knows_little(course, rate):
            return
        start = course.part(0, 0.1).mean
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"An update is {usual:.1g} of a weight's norm, and all {len(course.curve)} together could not move a "
                f"kernel by more than {travel:.2g} of it. The loss went from {start:.3g} to {course.late.mean:.3g}"
                f"{f' at a learning rate of {rate:g}' if np.isfinite(rate) else ''}."
            ),
            why="There is a gradient, and steps are too short to get anywhere in so many.",
            do=f"Take a rate about {_times(usual):.0g} times as high, so that updates are near 1e-3 of the weights.",
            reference="https://cs231n.github.io/neural-networks-3/#ratio",
            numbers={"learning_rate": rate, "ratio": usual, "travel": travel, "late": course.late.mean},
            certainty=0.85 if crawls else 0.7,
        )


def _straight(course: Course) -> bool:
    """Whether the loss falls in the second half about as much as in the first, and beyond chance."""
    first, middle, last = course.part(0, 0.2), course.part(0.4, 0.6), course.part(0.8, 1)
    before, after = first.mean - middle.mean, middle.mean - last.mean
    return after > 3 * np.hypot(middle.error, last.error) and after > _STRAIGHT * before


def _knows_little(course: Course, rate: float) -> bool:
    before, after = course.learnt(epoch=0), course.learnt()
    if before is not None and after is not None:
        return before < _LEARNT_BEFORE and after < _LEARNT_AFTER
    facts = course.evidence.facts
    optimizer = None if facts is None else facts.model.optimizer
    return optimizer is not None and bool(abs(rate) < _LOW[optimizer.kind in ADAPTIVE])


def _times(ratio: float) -> float:
    """How many times as high a rate gives updates of 1e-3, as a power of ten."""
    return float(10 ** np.round(np.log10(1e-3 / ratio))) if ratio > 0 else 1000.0
