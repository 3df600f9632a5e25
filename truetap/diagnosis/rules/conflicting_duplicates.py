"""Identical inputs with different labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.sampled import sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["ConflictingDuplicates"]

_SHARE = 0.05  # of all samples
_FEWEST = 5
_MEANT = 0.5  # where more than half of the samples are repeated, they were so on purpose: several annotators


class ConflictingDuplicates:
    """Samples whose inputs are bit for bit the same, in one epoch, and whose labels are not.

    A warning where 5% of the samples contradict each other and their inputs are too rich to be equal by chance; else a
    note, as of duplicates that agree, or where most samples are repeated. Of numbers, repeated measurements differ
    rightly: a note.
    """

    name = "conflicting_duplicates"
    needs = ("labelled",)
    after = ("constant_features", "axes_scrambled")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output; one for duplicates that agree."""
        inputs = sampled(evidence)
        rich = bool(inputs) and any(each.continuous for each in inputs)
        own_step = evidence.facts is not None and evidence.facts.model.own_train_step
        agree = 0
        for output in evidence.labelled or ():
            rows = output.first
            if rows.prints is None or rows.y_true is None or len(rows) < _FEWEST:
                continue
            index, counts = np.unique(rows.prints, return_inverse=True, return_counts=True)[1:]
            repeated = np.asarray(counts[index] > 1)
            if repeated.sum() < _FEWEST:
                continue
            flat = np.asarray(rows.y_true, np.float64).reshape(len(rows), -1)
            low, high = np.full((len(counts), flat.shape[1]), np.inf), np.full((len(counts), flat.shape[1]), -np.inf)
            np.minimum.at(low, index, flat)
            np.maximum.at(high, index, flat)
            differ = repeated & np.asarray((low < high).any(axis=1))[index]
            agree = max(agree, int((repeated & ~differ).sum()))
            share = float(differ.mean())
            if differ.sum() < _FEWEST:
                continue
            classes = output.meant in ("classes", "binary", "labels")
            wrong = classes and rich and not own_step and share >= _SHARE and repeated.mean() < _MEANT
            yield Finding(
                rule=self.name,
                severity=Severity.WARNING if wrong else Severity.NOTE,
                seen=(
                    f"{int(differ.sum())} of {len(rows)} samples have the inputs of another one and another label of "
                    f"{output.words}."
                ),
                why="No model can be right about both.",
                do=(
                    "Look at them (run.duplicates()): keep the right label, or train on the share of each as soft "
                    "labels."
                ),
                numbers={"share": share, "samples": float(differ.sum())},
                output=output.name,
                sample_ids=tuple(rows.ids[differ][:10].tolist()),
                certainty=0.7,
            )
        if agree >= _FEWEST and rich:
            yield Finding(
                rule=self.name,
                severity=Severity.NOTE,
                seen=f"{agree} samples of the first epoch have the same inputs and labels as another one.",
                why="They count several times.",
                do="Look at them with run.duplicates(), unless they were repeated on purpose.",
                numbers={"samples": float(agree)},
                certainty=0.3,
            )
