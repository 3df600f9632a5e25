"""Sample weights under which most samples, or a whole class, count for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.weighing import class_weights
from truetap.rules.finding import Finding, Severity

__all__ = ["ZeroSampleWeights"]

Array = npt.NDArray[np.float64]

_NOTHING = 1e-3  # of the mean weight
_MOST = 0.5  # of the samples
_MEANT = 0.9  # weights that are exactly 0 leave samples out on purpose; of so many that is no training set any more
_FEWEST = 20


class ZeroSampleWeights:
    """Samples that weigh less than a thousandth of the mean: more than half of all, or all classes but one.

    Where all others weigh the same and these exactly 0, they are left out on purpose, as samples without a target are:
    that is a note up to 90%, as is a rare class that weighs nothing. Weights of single elements (masks of sequences)
    are let be.
    """

    name = "zero_sample_weights"
    needs = ("outputs",)
    after = ("weights_are_labels",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output with weights."""
        for output in evidence.outputs or ():
            weight = _of_samples(output)
            if weight is None or len(weight) < _FEWEST or not np.isfinite(weight).all():
                continue
            mean = float(np.abs(weight).mean())
            nothing = np.abs(weight) <= _NOTHING * mean
            share = float(nothing.mean())
            classes, known = _classes_of_nothing(evidence, output, mean)
            if mean == 0:
                severity, seen = Severity.ERROR, f"All samples of {output.words} have a weight of 0."
            elif classes:
                severity = Severity.WARNING if share > _MOST or len(classes) == known - 1 else Severity.NOTE
                seen = (
                    f"All samples of class {', '.join(classes)} of {output.words} weigh nothing, and {share:.0%} of "
                    "all samples."
                )
            elif share > _MOST:
                meant = np.ptp(weight[~nothing]) <= _NOTHING * mean and not weight[nothing].any() and share < _MEANT
                severity = Severity.NOTE if meant else Severity.WARNING
                seen = (
                    f"{share:.0%} of the samples of {output.words} weigh less than a thousandth of the mean weight "
                    f"{mean:.3g}; the weights are from {weight.min():.3g} to {weight.max():.3g}."
                )
            else:
                continue
            yield Finding(
                rule=self.name,
                severity=severity,
                seen=seen,
                why="Only the few others are learnt from, and most batches hold next to none of them.",
                do=(
                    "Look at the histogram of the weights: its scale (days or years, shares or counts), or what "
                    "made it."
                ),
                where="sample_weight" if evidence.fit is None or not evidence.fit.class_weight else "class_weight",
                numbers={"share": share, "mean": mean, "min": float(weight.min()), "max": float(weight.max())},
                output=output.name,
                certainty=0.9,
            )


def _of_samples(output: OutputEvidence) -> Array | None:
    """One weight a sample; None without weights, or where each element has its own."""
    weight = output.first.weight
    if weight is None or weight.dtype.kind not in "fiub" or int(np.prod(weight.shape[1:])) != 1:
        return None
    return np.asarray(weight, np.float64).reshape(len(weight))


def _classes_of_nothing(evidence: Evidence, output: OutputEvidence, mean: float) -> tuple[list[str], int]:
    found = class_weights(evidence, output)
    if found is None or len(found.labels) < 2:
        return [], 0
    return [f"{label:g}" for label in found.labels[found.weights <= _NOTHING * mean]], len(found.labels)
