"""One answer for all samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.rules.finding import Finding, Severity

__all__ = ["CollapsedPredictions"]

_FEWEST = 20
_OF_LABELS = 0.02  # of the labels' deviation, or of 1 for probabilities, between samples
_COMMONEST = 0.9  # the share of one class above which one answer may be a sound one


class CollapsedPredictions:
    """After training, outputs hardly differ between samples, though labels do.

    Said where their deviation over samples is below 0.02 of the labels' (of probabilities: below 0.02), in the last
    validation or else the last epoch's rows. A symptom: anything else that was found explains it.
    """

    name = "collapsed_predictions"
    needs = ("curve", "labelled")
    after = ("*", "too_few_epochs")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        if evidence.facts is not None and evidence.facts.model.own_train_step:
            return
        for output in evidence.labelled or ():
            rows = output.val_last or output.last
            found = _collapsed(output, rows)
            if found is None:
                continue
            between, labels = found
            yield Finding(
                rule=self.name,
                severity=Severity.WARNING,
                seen=(
                    f"In the last epoch {output.words} is nearly the same for all {len(rows)} samples: over samples it "
                    f"varies by {between:.2g}, and the labels by {labels:.2g}."
                ),
                why="The model has learnt what is common to all samples and nothing that tells them apart.",
                do=(
                    "Look for what keeps the inputs from the outputs: dead or saturated units, a bottleneck, inputs "
                    "and labels that don't belong together, a rate far too high or too low."
                ),
                output=output.name,
                numbers={"between": between, "labels": labels},
                certainty=0.2,
            )


def _collapsed(output: OutputEvidence, rows: Rows) -> tuple[float, float] | None:
    """How much outputs and labels vary over samples, where the outputs hardly do."""
    if rows.y_true is None or rows.truth is None or len(rows) < _FEWEST or rows.pred.nonfinite or rows.truth.nonfinite:
        return None
    if output.meant == "unknown" or rows.mask is not None:
        return None
    between = float(np.sqrt(np.asarray(rows.y_pred, np.float64).var(axis=0).max()))
    labels = float(np.sqrt(np.asarray(rows.y_true, np.float64).var(axis=0).max()))
    classes = rows.true_classes
    if classes is not None and output.meant in ("classes", "binary"):
        counts = np.unique(classes, return_counts=True)[1]
        if counts.max() / classes.size > _COMMONEST:
            return None
        limit = _OF_LABELS
    else:
        limit = _OF_LABELS * labels
    return (between, labels) if labels > 0 and between < limit else None
