"""Training ends while everything still improves fast."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.course import Course
from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding, Severity

__all__ = ["TooFewEpochs"]

_FALL = 0.03  # of the best constant's loss, that one more epoch would bring
_SIGMAS = 3.0
_FROM = 0.6  # of the run; the slope is that of the steps after
_LEARNT = 0.75


class TooFewEpochs:
    """Training stops too early.

    Said where nothing else was found, the loss still falls over the last 0.4 of the steps (least squares) by
    0.03 of the best constant's loss and more an epoch, beyond chance (3 standard errors, or the held-out loss fell as
    much), the held-out loss is at its best in the last epoch, and less than 0.75 was learnt.
    """

    name = "too_few_epochs"
    needs = ("curve", "ended")
    after = ("*",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        course = Course(evidence)
        epochs = len(np.unique(course.curve.epochs))
        slope, error = course.slope(_FROM)
        fall = -slope * len(course.curve) / epochs
        held_out = (evidence.history or {}).get("val_loss", np.zeros(0))
        gain = float(held_out[-2] - held_out[-1]) if len(held_out) > 1 else np.nan
        if not (fall > _FALL * course.scale and (-slope > _SIGMAS * error or gain > _FALL * course.scale)):
            return
        learnt = course.learnt()
        if learnt is not None and learnt >= _LEARNT:
            return
        if np.isfinite(gain) and held_out[-1] > np.nanmin(held_out):
            return
        last = course.late.mean
        known = "" if learnt is None else f" {max(0.0, learnt):.0%} of the best constant's loss is gone."
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"After {epochs} epoch{'' if epochs == 1 else 's'} of training the loss is {last:.3g} and still falls "
                f"by {fall:.2g} an epoch.{known}"
            ),
            why="It ends before the model has learnt what it can.",
            do="Train for two or three times as many epochs, with keras.callbacks.EarlyStopping on the held-out loss.",
            reference="https://keras.io/api/callbacks/early_stopping/",
            numbers={"last": last, "fall": fall, "epochs": float(epochs)},
            certainty=0.5,
        )
