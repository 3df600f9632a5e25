"""A loss that takes labels for outputs."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.loss_findings import of_losses, retold
from truetap.rules.finding import Finding, Severity

__all__ = ["SwappedArguments"]


class SwappedArguments:
    """Told by parameters' names and by calls in the source (`tt.check_loss`), or by the loss' values.

    The values on recorded rows are those of a known loss with labels and outputs exchanged, and not those of any known
    one with the two in their places; they agree to 3 digits in every row.
    """

    name = "swapped_arguments"
    needs = ("labelled",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        told = set()
        for output, finding in of_losses(evidence, "swapped_arguments"):
            told.add(output.name)
            yield retold(finding, self.name, output, Severity.ERROR, 0.96)
        for output in evidence.labelled or ():
            if output.name in told or not output.acting.swapped:
                continue
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=(
                    f"On recorded rows the loss {output.loss_name!r} of {output.words} is {output.acting.name} with "
                    "labels and outputs exchanged."
                ),
                why="Keras calls loss(y_true, y_pred), by position: the loss minimises another quantity.",
                do="Put y_true first, in the definition and in each call.",
                where=f"loss {output.loss_name!r}",
                reference="keras-team/keras#12878",
                output=output.name,
                certainty=0.93,
            )
