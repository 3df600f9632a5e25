"""A loss that reduces the batch before weights are applied."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.loss_findings import of_losses, retold
from truetap.rules.finding import Finding, Severity

__all__ = ["ReducedBeforeWeights"]


class ReducedBeforeWeights:
    """An error where samples have weights that differ; else a note, since nothing is lost yet.

    Whether a loss reduces is seen by `tt.check_loss`, which runs it.
    """

    name = "reduced_before_weights"
    needs = ("labelled", "loss_reports")
    after = ("implicit_broadcast",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output, finding in of_losses(evidence, "reduced_before_weights"):
            weight = output.first.weight
            weighed = weight is not None and weight.dtype.kind in "fiu" and len(weight) > 0 and np.ptp(weight) > 0
            severity = Severity.ERROR if weighed else Severity.NOTE
            yield retold(finding, self.name, output, severity, 0.92)
