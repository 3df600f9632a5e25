"""Inputs that say nothing: the same for all samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.sampled import Sampled, sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["ConstantFeatures"]

_FEWEST = 16
_MOST = 0.5  # of the features of a table
_ALMOST = 0.995  # of all values: what is left is noise of a cast


class ConstantFeatures:
    """Inputs with one and the same value in each place for all samples that were kept, 16 at least.

    An error when all inputs are so: the model can say one thing only. A warning when more than half of the features of
    a dense table are, or when whole numbers are one value in 995 of 1000 places and were meant as pixels. One constant
    input among several may be meant (positions, first states): a note. Zeros of sparse features and the borders of
    images are let be.
    """

    name = "constant_features"
    needs = ("inputs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each input."""
        inputs = [each for each in sampled(evidence) if len(each) >= _FEWEST and each.finite.all()]
        same = {each.path: np.ptp(each.values.reshape(len(each), -1), axis=0) == 0 for each in inputs}
        whole = [path for path, constant in same.items() if constant.all()]
        for each in inputs:
            constant, count = same[each.path], same[each.path].size
            values = np.unique(each.values)
            if constant.all():
                severity = Severity.ERROR if len(whole) == len(evidence.inputs or ()) else Severity.NOTE
                what = f"always {values[0]:.4g}" if len(values) == 1 else f"the same {count} numbers"
                seen = f"All of {each.words} of {len(each)} samples are {what}."
            elif _empty_image(each):
                severity = Severity.WARNING
                seen = f"{_ALMOST:.1%} or more of {each.words} of {len(each)} samples are {_most_common(each):.4g}."
            elif _dense(each) and constant.mean() > _MOST and count > 1:
                severity = Severity.WARNING
                seen = f"{int(constant.sum())} of the {count} features are constant over {len(each)} samples."
            else:
                continue
            yield Finding(
                rule=self.name,
                severity=severity,
                seen=seen,
                why="What is the same for all samples tells none from another.",
                do=(
                    "Look at a few rows of x as fit gets them: a cast to integers or a wrong scale makes zeros of "
                    "fractions."
                ),
                where=each.path,
                numbers={"share": float(constant.mean()), "features": float(count), "value": float(values[0])},
                certainty=0.95,
            )


def _dense(some: Sampled) -> bool:
    """Whether it is a table in which zeros are no empty places."""
    if some.values.ndim != 2 or some.looked_up:
        return False
    flat = some.values
    varying = flat[:, np.ptp(flat, axis=0) > 0]
    filled = varying.size > 0 and float((varying == 0).mean()) < 0.5
    return filled and not bool(np.all((varying == 0) | (varying == 1)))


def _most_common(some: Sampled) -> float:
    values, counts = np.unique(some.values, return_counts=True)
    return float(values[counts.argmax()])


def _empty_image(some: Sampled) -> bool:
    """Whether nearly all pixels are one value, and the others whole numbers."""
    if some.values.ndim != 4 or not some.whole:
        return False
    return float((some.values == _most_common(some)).mean()) >= _ALMOST
