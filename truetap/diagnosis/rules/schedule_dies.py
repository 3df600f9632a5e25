"""The learning rate decays to next to nothing long before the end, and before there was anything to show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.course import Course, Part
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.movement import Movement
from truetap.rules.finding import Finding, Severity

__all__ = ["ScheduleDies"]

Array = npt.NDArray[Any]

_DEAD = 0.01  # of the highest rate
_SHARE = 0.4  # of the steps that are run at less
_REACH = 0.4  # of its norm that a kernel could be moved by all steps together
_LEARNT = 0.6
_STILL = 0.3  # of the fall in the second third of all rates together, in the last third


class ScheduleDies:
    """A schedule or callback took the rate below a hundredth of its highest for 0.4 of the run and more.

    Many sound schedules end so, once the loss has flattened. It is said where the rate died before: all steps together
    could move no kernel by 0.4 of its norm, or the loss against the sum of the rates so far (the time that plain
    gradient descent knows) was still falling, its last third at least 0.3 of the third before; and less than 0.6
    was learnt.
    """

    name = "schedule_dies"
    needs = ("curve",)
    after = ("nan_in_data", "log_or_root_of_zero", "negative_learning_rate", "clipping_too_tight")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        course = Course(evidence)
        rates = np.asarray(course.curve.learning_rate, np.float64)
        if not np.isfinite(rates).all() or not rates.max() > 0 or not np.isfinite(course.late.mean):
            return
        died = _died(rates)
        if died is None or died < 1 or (len(rates) - died) < _SHARE * len(rates):
            return
        learnt, before = course.learnt(), course.learnt(epoch=0)
        if learnt is not None and (learnt >= _LEARNT or (before or 0.0) >= _LEARNT):
            return
        reach = _reach(Movement(evidence), rates)
        if not reach < _REACH and not _still_falling(course, rates[:died]):
            return
        yield self._finding(course, rates, died, reach)

    def _finding(self, course: Course, rates: Array, died: int, reach: float) -> Finding:
        facts = course.evidence.facts
        optimizer = None if facts is None else facts.model.optimizer
        schedule = None if optimizer is None else optimizer.schedule
        callbacks = () if facts is None or facts.fit is None else facts.fit.callbacks
        named = [each.kind for each in callbacks if "LearningRate" in each.kind or "ReduceLR" in each.kind]
        where = schedule or (named[0] if named else "a change of the rate")
        step = int(course.curve.steps[died])
        moved = f" All steps together could move a kernel by {reach:.2g} of its norm." if reach < _REACH else ""
        return Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"The learning rate falls from {rates.max():.3g} below a hundredth of it by step {step} of "
                f"{len(rates)}, and to {rates[-1]:.1g} in the end. The loss was at "
                f"{course.loss[max(0, died - 5) : died + 1].mean():.3g} then and is {course.late.mean:.3g} now.{moved}"
            ),
            why=f"For {1 - died / len(rates):.0%} of the steps nothing can be learnt, and there was more to learn.",
            do=(
                "Let it decay over the whole run: count decay_steps in steps (steps of an epoch times epochs), not in "
                "epochs, and in a callback divide once in many epochs."
            ),
            where=where,
            steps=(step,),
            reference="https://keras.io/api/optimizers/learning_rate_schedules/",
            numbers={"highest": float(rates.max()), "last": float(rates[-1]), "died": float(step), "reach": reach},
            certainty=0.9,
        )


def _died(rates: Array) -> int | None:
    """The place from where on all rates are below a hundredth of the highest; None where they don't get there."""
    alive = np.flatnonzero(rates > _DEAD * rates.max())
    return int(alive[-1]) + 1 if alive[-1] + 1 < len(rates) else None


def _reach(movement: Movement, rates: Array) -> float:
    """How far all steps could move the kernel that moves most, by the recorded updates and the rates; NaN without."""
    updates, curve = movement.evidence.updates, movement.evidence.curve
    if updates is None or curve is None:
        return np.nan
    reaches = []
    for path in movement.ratios:
        values, steps = updates.of_path(path, "ratio"), updates.steps[path]["ratio"]
        at = rates[np.minimum(np.searchsorted(curve.steps, steps), len(rates) - 1)]
        usable = np.isfinite(values) & (at > 0)
        if usable.any():
            reaches.append(float((values[usable] / at[usable]).max() * rates.sum()))
    return max(reaches, default=np.nan)


def _still_falling(course: Course, alive: Array) -> bool:
    """Whether the loss was falling, against the sum of the rates, when the rate died."""
    time = np.cumsum(alive) / alive.sum()
    losses = course.loss[: len(alive)]
    one, two, three = (
        Part.of(losses[(time > low) & (time <= high)]) for low, high in ((0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1))
    )
    if min(one.steps, two.steps, three.steps) < 5:
        return False
    before, after = one.mean - two.mean, two.mean - three.mean
    return after > 3 * np.hypot(two.error, three.error) and after > _STILL * before and after > 0.03 * course.scale
