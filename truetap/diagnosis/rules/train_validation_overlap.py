"""Validation samples that are also trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.sampled import sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["TrainValidationOverlap"]

_SHARE = 0.05  # of the validation samples; fewer are duplicates that most collections have
_FEWEST = 3


class TrainValidationOverlap:
    """Inputs of validation that are bit for bit inputs of training, by their fingerprints.

    A warning from 5% of the validation samples on: in published sets of images up to 3% of the test rows are (Barz and
    Denzler 2020), which is a note. Inputs of few kinds, such as three categories, are equal without being the same
    sample: a note too.
    """

    name = "train_validation_overlap"
    needs = ("validated",)
    after = ("constant_features", "axes_scrambled")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding."""
        train, val = evidence.prints("train", 0), evidence.prints("val", 0)
        if train is None or val is None:
            return
        both = np.isin(val, train)
        share = float(both.mean())
        if both.sum() < _FEWEST or len(val) < _FEWEST:
            return
        inputs = sampled(evidence)
        same = not inputs or any(each.continuous for each in inputs)
        wrong = same and share >= _SHARE
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING if wrong else Severity.NOTE,
            seen=f"{int(both.sum())} of {len(val)} validation samples ({share:.0%}) are also trained on, bit for bit.",
            why=(
                "Validation then measures what was learnt by heart, and looks better than it is."
                if same
                else "The inputs take few values, so that this may be chance."
            ),
            do="Drop duplicates, or split by what they have in common, before oversampling, augmenting and splitting.",
            reference="https://doi.org/10.3390/jimaging6060041",
            numbers={"share": share, "samples": float(both.sum())},
            sample_ids=tuple(val[both][:10].tolist()),
            certainty=0.95,
        )
