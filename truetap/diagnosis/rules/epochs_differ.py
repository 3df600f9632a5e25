"""Epochs that saw fewer samples than the others, or validated on others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding, Severity

__all__ = ["EpochsDiffer"]

Array = npt.NDArray[np.int64]

_FEWER = 0.9
_SOME = (0.05, 0.95)  # of the samples are the same: neither one set, nor drawn anew each time
_MOST_EPOCHS = 5


class EpochsDiffer:
    """The samples of epochs compared by their fingerprints.

    Training epochs of at most nine tenths of the steps of the first, or none: a generator that ran dry, which each
    backend takes differently. Validation that is another part of the same data each time: its steps don't divide its
    length. That is a note unless a callback acts on it. Data that are drawn or changed anew for each epoch have no
    samples in common, and are let be.
    """

    name = "epochs_differ"
    needs = ("epochs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for training, one for validation."""
        yield from self._training(evidence)
        yield from self._validation(evidence)

    def _training(self, evidence: Evidence) -> Iterator[Finding]:
        curve, fit = evidence.curve, evidence.fit
        if curve is None or fit is None:
            return
        ended = np.unique(curve.epochs)
        steps = np.asarray([int((curve.epochs == epoch).sum()) for epoch in ended])
        whole = evidence.run is not None and evidence.run.complete
        counted = steps if whole and (fit.epochs is None or len(ended) < fit.epochs) else steps[:-1]
        short = np.flatnonzero(counted < _FEWER * steps[0])
        if not len(short):
            return
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=f"Epoch {ended[short[0]]} had {steps[short[0]]} steps, the first one {steps[0]}.",
            why="A generator that ends gives the epochs after it fewer samples or none, and their loss is no loss.",
            do="Repeat the data (dataset.repeat()), or leave steps_per_epoch out, so that each epoch begins anew.",
            where="steps_per_epoch",
            numbers={"steps": float(steps[short[0]]), "first": float(steps[0])},
            certainty=0.7,
        )

    def _validation(self, evidence: Evidence) -> Iterator[Finding]:
        epochs = evidence.sample_epochs.get("val", [])
        first = evidence.prints("val", 0) if len(epochs) > 1 else None
        if first is None:
            return
        for place in range(1, min(len(epochs), _MOST_EPOCHS)):
            other = evidence.prints("val", place)
            if other is None or not len(other):
                continue
            same = float(np.isin(other, first).mean())
            if _SOME[0] < same < _SOME[1]:
                yield Finding(
                    rule=self.name,
                    severity=Severity.WARNING if _watched(evidence) else Severity.NOTE,
                    seen=f"Only {same:.0%} of the samples validated in epoch {epochs[place]} were so in the first.",
                    why=(
                        "The validation loss then differs between epochs without the model, and early stopping "
                        "follows it."
                    ),
                    do="Give validation_steps such that each validation reads all the data, or leave it out.",
                    where="validation_steps",
                    numbers={"same": same},
                    certainty=0.7,
                )
                return


def _watched(evidence: Evidence) -> bool:
    """Whether a callback acts on a value of validation."""
    callbacks = () if evidence.fit is None else evidence.fit.callbacks
    return any(str(each.settings.get("monitor", "")).startswith("val_") for each in callbacks)
