"""A loss that leaves masked elements out of the sum and counts them in the mean."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.loss_findings import of_losses, retold
from truetap.rules.finding import Finding, Severity

__all__ = ["MeanOverMasked"]


class MeanOverMasked:
    """Proven by `tt.check_loss`: elements of one label have no gradient, and labelling half so halves the loss."""

    name = "mean_over_masked"
    needs = ("labelled", "loss_reports")
    after = ("implicit_broadcast", "no_gradient_through_loss")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output, finding in of_losses(evidence, "mean_over_masked"):
            yield retold(finding, self.name, output, Severity.WARNING, 0.85)
