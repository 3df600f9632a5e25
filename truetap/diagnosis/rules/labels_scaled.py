"""Class labels that went through the scaling of the features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.encoding import Encoding, brief, even_steps
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CATEGORICAL, SPARSE
from truetap.rules.finding import Finding, Severity

__all__ = ["LabelsScaled"]


class LabelsScaled:
    """A cross-entropy with labels that are classes by their number, and no classes by their values.

    Of indices: few values on an even grid, not whole. Of yes and no: two values that don't lie on both sides of a half
    within 0 to 1, as smoothed labels do. Of one-hot rows: two values in each column, not from 0 to 1.
    """

    name = "labels_scaled"
    needs = ("labelled",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            labels, loss = Encoding(output), output.acting.name
            expected = _expected(labels, loss)
            if expected is None:
                continue
            low, high = float(labels.distinct[0]), float(labels.distinct[-1])
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=(
                    f"The labels of {output.words} are {brief(labels.distinct)}: {len(labels.distinct)} values, which "
                    f"the loss {output.loss_name!r} expects to be {expected}."
                ),
                why=(
                    "It cuts fractions off, so that several classes become one."
                    if loss in SPARSE
                    else "With other values it has no minimum at the right answer."
                ),
                do="Scale the inputs only, and leave the labels of classes as they are.",
                where="y",
                numbers={"low": low, "high": high, "values": float(len(labels.distinct))},
                output=output.name,
                certainty=0.95,
            )


def _expected(labels: Encoding, loss: str) -> str | None:
    """What the labels should be, in words; None where they may be that, or are something else altogether."""
    if loss in SPARSE and labels.layout != "other":
        grid = not labels.whole and labels.repeated and even_steps(labels.distinct) is not None
        return "whole numbers from 0" if grid else None
    if labels.layout != "elements":
        return None
    if loss in BINARY and labels.two is not None:
        low, high = labels.two
        smoothed = 0 <= low < 0.5 < high <= 1
        counted = high - low == 1 and low == round(low)  # 1 and 2: another mistake, as are -1 and 1
        return None if smoothed or counted or (low, high) == (-1, 1) else "0 and 1"
    if loss in CATEGORICAL and labels.units > 1 and _columns_of_two(labels) and _scaled_rows(labels):
        return "one 1 in each row and else 0"
    return None


def _columns_of_two(labels: Encoding) -> bool:
    true = labels.output.first.y_true
    assert true is not None
    columns = np.asarray(true, np.float64).reshape(-1, labels.units)
    return all(len(np.unique(column)) <= 2 for column in columns.T) and bool(np.ptp(columns))


def _scaled_rows(labels: Encoding) -> bool:
    """Whether each row has one high value, and the rows are no distributions."""
    true = labels.output.first.y_true
    assert true is not None
    rows = np.asarray(true, np.float64).reshape(-1, labels.units)
    ups = rows > (rows.min(axis=0) + rows.max(axis=0)) / 2
    return bool(np.all(ups.sum(axis=1) <= 1)) and bool(np.mean(np.abs(rows.sum(axis=1) - 1) > 1e-3) > 0.5)
