"""Validation data that went another way than the training data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.progress import lost_in_validation
from truetap.diagnosis.sampled import Sampled, sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["ValidationPreprocessedDifferently"]

Array = npt.NDArray[np.float64]

_FEWEST = 20  # samples of each
_TIMES = 2.0  # between the deviations of a feature in training and in validation
_APART = 1.0  # between its means, in deviations: large by any convention (Cohen 1988: 0.8)
_LOST = 0.5  # of what training gained
_COLUMNS = 3
_EXACT = 0.9  # of the features
_STEADY, _OTHER = 0.8, 0.4  # correlation of the means of all places: of two halves of training, and with validation


class ValidationPreprocessedDifferently:
    """Inputs or targets of validation on another scale or in other places than in training, and a loss that tells.

    Of half of the features, deviations differ twofold or means by a deviation; or the means of places (pixels, steps)
    agree between halves of training and not with validation. And validation lacks half of what training gained (else it
    is a note: data of another time or origin may differ rightly). Alone for itself: validation whose every feature has
    exactly mean 0 and deviation 1, or runs exactly from 0 to 1: it was scaled by its own statistics.
    """

    name = "validation_preprocessed_differently"
    needs = ("validated",)
    after = ("not_shuffled", "constant_features", "nan_in_data")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for inputs, one for each output's targets."""
        outputs = evidence.validated or ()
        lost = max((each for each in map(lost_in_validation, outputs) if each is not None), default=None)
        others = {each.path: each for each in sampled(evidence, "val")}
        wrong = False
        for some in sampled(evidence):
            other = others.get(some.path)
            if other is None or some.values.shape[1:] != other.values.shape[1:] or min(len(some), len(other)) < _FEWEST:
                continue
            if not some.finite.all() or not other.finite.all():
                continue
            found = self._inputs(evidence, some, other, lost)
            if found is not None:
                wrong = wrong or found.severity is Severity.WARNING
                yield found
        for output in outputs if not wrong else ():
            yield from self._targets(output)

    def _inputs(self, evidence: Evidence, some: Sampled, other: Sampled, lost: float | None) -> Finding | None:
        own = _own_statistics(evidence, some, other)
        if own is not None:
            return self._finding(
                f"Each feature of {some.words} of all {len(other)} validation samples {own}, and those of training "
                "do not.",
                Severity.WARNING,
                some.path,
                {"samples": float(len(other))},
                0.8,
            )
        shift = _shift(_features(some.values), _features(other.values)) if not some.looked_up else None
        if shift is not None and shift.large:
            seen = (
                f"{_opening(some)} have mean {shift.mean:.3g} and deviation {shift.std:.3g} in training, "
                f"{shift.other_mean:.3g} and {shift.other_std:.3g} in validation"
            )
            numbers = {"apart": shift.apart, "times": shift.times, "lost": lost or 0.0}
        else:
            halves, both = _places(some, other)
            if halves < _STEADY or both > _OTHER:
                return None
            seen = (
                f"The means of the places of {some.words} have a correlation of {halves:.2f} between halves of "
                f"training, and of {both:.2f} between training and validation"
            )
            numbers = {"halves": halves, "both": both, "lost": lost or 0.0}
        wrong = lost is not None and lost > _LOST
        tail = (
            f", and validation lacks {min(lost, 9.99):.0%} of what the loss gained in training."
            if wrong and lost is not None
            else "."
        )
        return self._finding(seen + tail, Severity.WARNING if wrong else Severity.NOTE, some.path, numbers, 0.9)

    def _targets(self, output: OutputEvidence) -> Iterator[Finding]:
        """Targets that are numbers."""
        val, lost = output.val_last, lost_in_validation(output)
        if output.meant != "regression" or val is None or val.y_true is None or output.last.y_true is None:
            return
        if lost is None or lost <= _LOST or val.y_true.shape[1:] != output.last.y_true.shape[1:] or len(val) < _FEWEST:
            return
        shift = _shift(
            *(np.asarray(each, np.float64).reshape(len(each), -1) for each in (output.last.y_true, val.y_true))
        )
        if shift is None or not (shift.apart > 2 * _APART or shift.times > _TIMES):
            return  # targets of other samples may well lie a deviation apart
        yield self._finding(
            f"The labels of {output.words} have mean {shift.mean:.3g} and deviation {shift.std:.3g} in training, "
            f"{shift.other_mean:.3g} and "
            f"{shift.other_std:.3g} in validation, which lacks {min(lost, 9.99):.0%} of what the loss gained.",
            Severity.WARNING,
            "y",
            {"apart": shift.apart, "times": shift.times, "lost": lost},
            0.7,
            output.name,
        )

    def _finding(
        self,
        seen: str,
        severity: Severity,
        where: str,
        numbers: dict[str, float],
        certainty: float,
        output: str | None = None,
    ) -> Finding:
        return Finding(
            rule=self.name,
            severity=severity,
            seen=seen,
            why="What the model learnt of the one doesn't hold for the other, however good it is.",
            do=(
                "Send both through the same steps, with statistics (mean, deviation, range, vocabulary) of the "
                "training data."
            ),
            where=where,
            reference="https://scikit-learn.org/stable/common_pitfalls.html#inconsistent-preprocessing",
            numbers=numbers,
            output=output,
            certainty=certainty,
        )


@dataclass(frozen=True)
class _Shift:
    """Medians over features; the means and deviations are those of all values."""

    apart: float
    times: float
    mean: float
    std: float
    other_mean: float
    other_std: float

    @property
    def large(self) -> bool:
        return self.apart > _APART or self.times > _TIMES


def _features(values: Array) -> Array:
    """Columns of a table, channels of images and series: shape (values, features)."""
    return values.reshape(-1, values.shape[-1]) if values.ndim != 1 else values[:, None]


def _shift(one: Array, other: Array) -> _Shift | None:
    """How far features are apart; None where none varies."""
    deviations = one.std(axis=0), other.std(axis=0)
    varies = (deviations[0] > 0) | (deviations[1] > 0)
    moved = one.mean(axis=0) != other.mean(axis=0)
    told = varies | moved
    if not told.any():
        return None
    both = np.sqrt((deviations[0] ** 2 + deviations[1] ** 2) / 2)[told]
    apart = np.abs(one.mean(axis=0) - other.mean(axis=0))[told]
    apart = np.divide(apart, both, out=np.full(len(apart), np.inf), where=both > 0)
    rare = np.minimum(*deviations)[told] <= 0.05 * np.maximum(*deviations)[told].max()
    times = np.maximum(*deviations)[told] / np.maximum(np.minimum(*deviations)[told], 1e-12)
    times = times[~rare] if (~rare).any() else times  # features that hardly ever vary say little of a deviation
    return _Shift(
        float(np.median(apart)),
        float(np.median(times)),
        float(one.mean()),
        float(one.std()),
        float(other.mean()),
        float(other.std()),
    )


def _own_statistics(evidence: Evidence, some: Sampled, other: Sampled) -> str | None:
    """What is exact in all features of validation, recorded whole, and not in those of training."""
    every = evidence.prints("val", 0)
    if other.values.ndim != 2 or every is None or len(every) != len(other):
        return None
    fractions = [np.unique(column).size > 0.5 * len(column) for column in other.values.T]
    train, val = some.values[:, fractions], other.values[:, fractions]
    if val.shape[1] < _COLUMNS:
        return None

    def exact(values: Array) -> tuple[float, float]:
        ends = (np.abs(values.min(axis=0)) < 1e-6) & (np.abs(values.max(axis=0) - 1) < 1e-6)
        centre = (np.abs(values.mean(axis=0)) < 1e-4) & (np.abs(values.std(axis=0) - 1) < 5e-3)
        return float(ends.mean()), float(centre.mean())

    for place, words in enumerate(("runs exactly from 0 to 1", "has exactly mean 0 and deviation 1")):
        if exact(val)[place] >= _EXACT and exact(train)[place] < _EXACT:
            return words
    return None


def _places(some: Sampled, other: Sampled) -> tuple[float, float]:
    """Correlation of the means of places between halves of training, and between training and validation."""
    one, two = (each.values.reshape(len(each), -1) for each in (some, other))
    if one.shape[1] < 8:
        return 0.0, 1.0
    means = one[::2].mean(axis=0), one[1::2].mean(axis=0), one.mean(axis=0), two.mean(axis=0)
    if any(np.ptp(each) == 0 for each in means):
        return 0.0, 1.0
    return float(np.corrcoef(means[0], means[1])[0, 1]), float(np.corrcoef(means[2], means[3])[0, 1])


def _opening(some: Sampled) -> str:
    return some.words[0].upper() + some.words[1:]
