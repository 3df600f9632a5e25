"""The steps are so long that the loss is thrown up, or leaps about, instead of falling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.course import Course
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.leaps import Leaps
from truetap.diagnosis.movement import ADAPTIVE, Movement
from truetap.rules.finding import Finding, Severity

__all__ = ["LearningRateTooHigh"]

_OVERWRITTEN = 0.3  # of its own norm that a kernel is moved by the first step: 300 times what is usual
_BEYOND = 1.0  # times the loss that the first step would take off; Polyak's step takes off one
_REPLACED, _FAR_BEYOND = 1.5, 5.0  # the same of a step that is all there is to see
_HIGH = {True: 0.03, False: 0.5}  # rates, adaptive or not, that are called high where no update was recorded
_GREW = 10.0  # times the first loss, before it is no number any more
_THROWN = 3.0  # times the first loss, or the best constant's
_THROWN_AT_ONCE = 1.5  # the same where the first step moved kernels by half their norm
_HALF = 0.5
_WORSE = 1.5  # times that, at the end
_LEARNT = 0.7  # of what there is to learn: enough to let a spike at the beginning be
_LEAPING = 0.1  # of the best constant's loss, beyond what the batches' own spread explains
_BUSY = 0.02  # the usual ratio, 20 times the healthy one


class LearningRateTooHigh:
    """The learning rate is too high.

    Said of a training whose first step moves the weights violently (by 0.3 of their own norm and more, or beyond the
    step after Polyak 1987, `Movement.descent`), and that then (a) has a loss that grows until it is no number, (b) ends
    worse than it began, or (c) is thrown to three times its first loss (1.5 times where the first step moved kernels by
    half their norm) and has not learnt 0.7 of what there is; or (d) of one whose loss leaps from step to step by a
    tenth of the best constant's loss beyond what the losses within batches explain (`Leaps`), while steps are 20 times
    the usual size. A high rate that works is let be. Of a single step: it moves kernels by 1.5 times their norm, and
    beyond 5 of Polyak's steps.
    """

    name = "learning_rate_too_high"
    needs = ("steps",)
    after = (
        "nan_in_data",
        "log_or_root_of_zero",
        "negative_learning_rate",
        "exploding_gradient",
        "unscaled_inputs",
        "not_shuffled",
        "implicit_broadcast",
        "labels_out_of_range",
        "label_encoding",
        "logits_as_probabilities",
        "swapped_arguments",
        "no_gradient_through_loss",
        "epochs_differ",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        movement = Movement(evidence)
        found = _overwriting(movement) if evidence.curve is None else _leading_nowhere(Course(evidence), movement)
        if found is None or evidence.steps is None:
            return
        seen, severity, certainty, numbers = found
        rates = evidence.steps.learning_rate
        rate = float(np.nanmax(np.abs(rates))) if np.isfinite(rates).any() else np.nan
        moved = movement.first_ratio
        how = f" The first step moved kernels by {moved:.2g} of their own norm." if np.isfinite(moved) else ""
        yield Finding(
            rule=self.name,
            severity=severity,
            seen=f"{seen}{how}{f' The learning rate is {rate:g}.' if np.isfinite(rate) else ''}",
            why="Steps this long jump across what they aim at; what was learnt in one is lost in the next.",
            do=(
                f"Take a rate a tenth as high, or less, such as {_suggested(rate, movement):.1g}"
                if np.isfinite(rate)
                else "Take a rate a tenth as high"
            )
            + "; updates near 1e-3 of a weight's norm are usual (run.updates).",
            reference="https://keras.io/api/optimizers/",
            numbers={"learning_rate": rate, "first_ratio": moved, "descent": movement.descent, **numbers},
            certainty=certainty,
        )


_Found = tuple[str, Severity, float, dict[str, float]]


def _overwriting(movement: Movement) -> _Found | None:
    """Of a step alone: one that no training comes back from."""
    moved, descent = movement.first_ratio / movement.inertia, movement.descent / movement.inertia
    if not (moved >= _REPLACED and descent >= _FAR_BEYOND):
        return None
    seen = f"One step would lower the loss by {descent:.2g} times its size, were it a plane."
    return seen, Severity.WARNING, 0.6, {}


def _leading_nowhere(course: Course, movement: Movement) -> _Found | None:
    if not np.isfinite(course.start):
        return None
    violent = _violent(course, movement)
    found = _diverged(course) or _worse(course) or _thrown(course, movement) if violent else _grew(course)
    return found or _leaping(course, movement)


def _violent(course: Course, movement: Movement) -> bool:
    moved, descent = movement.first_ratio, movement.descent
    if np.isfinite(moved) or np.isfinite(descent):
        return bool(moved >= _OVERWRITTEN or descent >= _BEYOND)
    facts, rates = course.evidence.facts, course.curve.learning_rate
    optimizer = None if facts is None else facts.model.optimizer
    if optimizer is None or not np.isfinite(rates).any():
        return False
    return bool(np.nanmax(rates) >= _HIGH[optimizer.kind in ADAPTIVE])


def _diverged(course: Course) -> _Found | None:
    broken = course.first_broken
    if broken is None:
        return None
    step = int(course.curve.steps[broken])
    seen = f"The loss began at {course.start:.3g}, rose to {course.peak:.3g}, and is no number from step {step} on."
    return seen, Severity.ERROR, 0.85, {"start": course.start, "peak": course.peak, "broken_step": float(step)}


def _grew(course: Course) -> _Found | None:
    """Without a violent first step: the loss has to have grown on its way."""
    broken = course.first_broken
    if broken is None or broken < 2 or not course.peak > _GREW * abs(course.start):
        return None
    diverged = _diverged(course)
    assert diverged is not None
    return diverged[0], diverged[1], 0.6, diverged[3]


def _worse(course: Course) -> _Found | None:
    late, limit = course.late.mean, max(course.start, course.constant or 0.0)
    if not (course.start > 0 and late > _WORSE * limit and late - limit > 2 * course.late.error):
        return None
    seen = f"The loss began at {course.start:.3g}, and at the end it is {late:.3g}, worse than before any training."
    return seen, Severity.ERROR, 0.85, {"start": course.start, "peak": course.peak, "late": late}


def _thrown(course: Course, movement: Movement) -> _Found | None:
    late, limit = course.late.mean, max(course.start, course.constant or 0.0)
    times = _THROWN_AT_ONCE if movement.first_ratio >= _HALF else _THROWN
    if not (course.start > 0 and course.peak > times * limit and np.isfinite(late)):
        return None
    learnt = course.learnt()
    if learnt >= _LEARNT if learnt is not None else late < 0.5 * course.start:
        return None
    seen = (
        f"The loss began at {course.start:.3g}, was thrown up to {course.peak:.3g}, and came back to {late:.3g} only."
    )
    return seen, Severity.WARNING, 0.75, {"start": course.start, "peak": course.peak, "late": late}


def _leaping(course: Course, movement: Movement) -> _Found | None:
    leaps = Leaps.of(course.evidence)
    if leaps is None or not leaps.significant or not movement.usual_ratio >= _BUSY:
        return None
    if not leaps.excess > _LEAPING * course.scale:
        return None
    seen = (
        f"In the last epoch the loss leaps by {leaps.excess:.2g} from step to step around {leaps.mean:.3g}, "
        f"{np.sqrt(leaps.factor):.1f} times as much as the samples within batches differ."
    )
    return seen, Severity.WARNING, 0.6, {"excess": leaps.excess, "factor": leaps.factor}


def _suggested(rate: float, movement: Movement) -> float:
    """A rate under which the first step moves kernels by 1e-2 of their norm, which is much already."""
    moved = movement.first_ratio
    return rate / max(10.0, moved / 1e-2) if np.isfinite(moved) else rate / 10
