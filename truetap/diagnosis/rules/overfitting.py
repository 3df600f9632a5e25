"""The model learns its training samples by heart: the held-out loss rises while the training loss falls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.course import Course
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["Overfitting"]

_RISE = 0.15  # of the best constant's loss that the held-out loss rises from its best
_SIGMAS = 4.0
_KEEPERS = ("ModelCheckpoint", "BackupAndRestore")


class Overfitting:
    """The held-out loss is above its own best by 0.15 of the best constant's loss and by 15%, while training improved.

    Whether the rise is beyond chance is told by the same held-out samples in both epochs (paired differences, 4
    standard errors). A symptom: anything else that was found explains it. With a callback that goes back to the best
    weights it is a note.
    """

    name = "overfitting"
    needs = ("curve", "history", "validated")
    after = ("*",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        history, course = evidence.history or {}, Course(evidence)
        losses = history.get("val_loss", np.zeros(0))
        if np.isfinite(losses).sum() < 3 or not np.isfinite(losses[-1]):
            return
        best = int(np.nanargmin(losses))
        rise = float(losses[-1] - losses[best])
        means = course.curve.epoch_means
        if not (rise > _RISE * course.scale and rise > 0.15 * abs(float(losses[best]))):
            return
        if best >= len(means) or not means[-1] < means[best] or not losses[-1] > means[-1]:
            return
        if not any(_beyond_chance(evidence, output, best) for output in evidence.validated or ()):
            return
        kept = _kept(evidence)
        yield Finding(
            rule=self.name,
            severity=Severity.NOTE if kept else Severity.WARNING,
            seen=(
                f"The held-out loss was best after epoch {best} with {losses[best]:.3g} and is {losses[-1]:.3g} after "
                f"epoch {len(losses) - 1}, while that of training fell from {means[best]:.3g} to {means[-1]:.3g}."
            ),
            why="From there on the model learns its training samples by heart.",
            do=(
                "Stop there (EarlyStopping with restore_best_weights=True), take a smaller model, more data, "
                "augmentation, dropout or weight decay."
            ),
            reference="https://keras.io/api/callbacks/early_stopping/",
            numbers={"best": float(losses[best]), "last": float(losses[-1]), "best_epoch": float(best)},
            certainty=0.3,
        )


def _beyond_chance(evidence: Evidence, output: OutputEvidence, best: int) -> bool:
    epochs = evidence.sample_epochs.get("val", [])
    before = evidence.rows(output.name, "val", best) if best < len(epochs) else None
    after = output.val_last
    if before is None or after is None or before.loss is None or after.loss is None or len(before) != len(after):
        return True  # the samples aren't the same: the curve alone counts
    change = np.asarray(after.loss, np.float64) - np.asarray(before.loss, np.float64)
    return bool(change.mean() > _SIGMAS * change.std() / np.sqrt(len(change)))


def _kept(evidence: Evidence) -> bool:
    """Whether a callback keeps the best weights."""
    for callback in () if evidence.fit is None else evidence.fit.callbacks:
        if callback.kind == "EarlyStopping" and callback.settings.get("restore_best_weights"):
            return True
        if callback.kind in _KEEPERS:
            return True
    return False
