"""Class weights that give the common class the large weight."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.weighing import ClassWeights, class_weights
from truetap.rules.finding import Finding, Severity

__all__ = ["InvertedClassWeights"]

_APART = 1.5  # how much more often the commonest class occurs, and how much more it weighs, than the rarest
_ALIKE = 0.5  # correlation of log weights and log counts: 1 where weights are the shares, -1 where they balance


class InvertedClassWeights:
    """Weights that rise with the frequency of the classes, where weights are there to balance them.

    Told by the correlation of the logarithms of weight and count over the classes (1 for weights that are the shares,
    -1 for their inverses), and by the commonest class weighing half as much again as the rarest. Weights from `fit`, or
    sample weights that are the same for all samples of a class.
    """

    name = "inverted_class_weights"
    needs = ("labelled",)
    after = ("weights_are_labels",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            found = class_weights(evidence, output)
            if found is None or not found.by_class or not _inverted(found):
                continue
            rare, common = found.counts.argmin(), found.counts.argmax()
            yield Finding(
                rule=self.name,
                severity=Severity.WARNING,
                seen=(
                    f"Class {found.labels[common]:g} of {output.words} has {found.counts[common]:g} samples of weight "
                    f"{found.weights[common]:.3g}, class {found.labels[rare]:g} has {found.counts[rare]:g} of weight "
                    f"{found.weights[rare]:.3g}."
                ),
                why="The common class counts even more, and the rare one next to nothing.",
                do="Weigh a class by n / (classes * count): the rarer it is, the more.",
                where="class_weight" if evidence.fit is not None and evidence.fit.class_weight else "sample_weight",
                numbers={
                    "common": float(found.weights[common]),
                    "rare": float(found.weights[rare]),
                    "common_count": float(found.counts[common]),
                    "rare_count": float(found.counts[rare]),
                },
                output=output.name,
                certainty=0.9,
            )


def _inverted(found: ClassWeights) -> bool:
    if len(found.labels) < 2 or found.weights.min() < 0:
        return False
    rare, common = found.counts.argmin(), found.counts.argmax()
    if found.counts[common] < _APART * found.counts[rare] or found.weights[common] < _APART * found.weights[rare]:
        return False
    if (found.weights == 0).any():
        return False  # zero_sample_weights has that
    return bool(np.corrcoef(np.log(found.counts), np.log(found.weights))[0, 1] > _ALIKE)
