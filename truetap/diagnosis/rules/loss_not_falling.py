"""The loss doesn't fall, and nothing says why."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.course import Course
from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding, Severity

__all__ = ["LossNotFalling"]

_FALL = 0.02  # of the best constant's loss, over the whole run
_BEFORE, _AFTER = 0.05, 0.02  # what was learnt at most, in the first epoch and in the last


class LossNotFalling:
    """From the first tenth of the steps to the last, the loss falls by less than 0.02 of the best constant's, or no
    further than chance, and the last epoch's is no lower than the best constant's by 0.02.

    The last resort, where nothing else was found. A model that knew something in the first epoch (more than 0.05 of
    what there is to learn) is let be, and so are training steps of one's own, whose losses may be anything.
    """

    name = "loss_not_falling"
    needs = ("curve",)
    after = ("*",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        course = Course(evidence)
        first, last = course.part(0, 0.1), course.late
        if evidence.facts is not None and evidence.facts.model.own_train_step:
            return
        learnt, before = course.learnt(), course.learnt(epoch=0)
        fall = first.mean - last.mean
        if not fall < max(_FALL * course.scale, 2 * np.hypot(first.error, last.error)):
            return
        if learnt is None or learnt > _AFTER or (before is not None and before > _BEFORE):
            return
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=f"The loss begins at {first.mean:.4g} and ends at {last.mean:.4g} after {len(course.curve)} steps.",
            why="The model does no better than one constant answer to all samples.",
            do=(
                "Try to make it learn ten samples by heart; if it can't, look at labels against outputs (run.samples), "
                "at gradients (run.gradients), and at other learning rates."
            ),
            numbers={"first": first.mean, "last": last.mean},
            certainty=0.1,
        )
