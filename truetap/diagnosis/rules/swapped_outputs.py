"""Labels that fit another output's place better than their own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from truetap.diagnosis.encoding import Encoding
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CATEGORICAL, NUMBERS, SPARSE
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["SwappedOutputs"]

_FEWEST = 50
_RELATED = 0.3  # a correlation with the other's labels; far beyond chance at 50 rows (0.14 is one deviation)


class SwappedOutputs:
    """Of two outputs each has labels that its loss and units can't take and that the other's can, or that it predicts.

    The first is exact: class indices beyond the units, fractions under a sparse loss, targets of another shape. The
    second is of outputs of one shape: after training both follow the other's labels more closely (by correlation, by
    0.3 at least) than those they are said to have.
    """

    name = "swapped_outputs"
    needs = ("labelled",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each pair of outputs."""
        for one, other in combinations(evidence.labelled or (), 2):
            by_form = not (_fits(one, one) and _fits(other, other)) and _fits(one, other) and _fits(other, one)
            found = None if by_form else _related(one, other)
            if not by_form and found is None:
                continue
            seen = (
                f"The labels of {one.name!r} ({_words(one)}) don't fit its loss {one.loss_name!r} over "
                f"{one.first.pred.units} units or those of {other.name!r} ({_words(other)}) don't; exchanged, both do."
                if found is None
                else f"{one.name!r} follows the labels of {other.name!r} and the reverse: the lesser correlation is "
                f"{found[1]:.2f}, with their own labels the greater is {found[0]:.2f}."
            )
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=seen,
                why="A list of labels is matched by place, and outputs that are a dict by their sorted names.",
                do=f"Give the labels as a dict: {{{one.name!r}: …, {other.name!r}: …}}.",
                where="y",
                reference="keras-team/keras#20596",
                numbers={} if found is None else {"own": found[0], "exchanged": found[1]},
                output=one.name,
                certainty=0.97 if found is None else 0.85,
            )


def _fits(output: OutputEvidence, giver: OutputEvidence) -> bool:
    """Whether the loss and units of an output can take the labels that another one has."""
    labels, truth, loss = Encoding(giver), giver.first.truth, output.acting.name
    pred = tuple(output.first.y_pred.shape[1:])
    true = labels.true_shape
    if truth is None or not len(labels.values):
        return True
    bare = pred[:-1] if pred[-1:] == (1,) else pred
    same = true == pred or (true[:-1] if true[-1:] == (1,) else true) == bare
    if loss in SPARSE:
        indices = true in (pred[:-1], (*pred[:-1], 1))
        return indices and labels.whole and labels.distinct[0] >= 0 and labels.distinct[-1] < output.first.pred.units
    if loss in CATEGORICAL:
        return same and truth.unit_interval
    if loss in BINARY:
        return same and truth.unit_interval
    if loss in NUMBERS:
        return same
    return True


def _related(one: OutputEvidence, other: OutputEvidence) -> tuple[float, float] | None:
    """The greater correlation with their own labels, and the lesser with each other's; None where that is in order."""
    if one.last.y_true is None or other.last.y_true is None:
        return None
    arrays = [np.asarray(each, np.float64) for rows in (one.last, other.last) for each in (rows.y_true, rows.y_pred)]
    if len({each.shape for each in arrays}) != 1 or len(arrays[0]) < _FEWEST:
        return None
    if not all(np.isfinite(each).all() and np.ptp(each) > 0 for each in arrays):
        return None
    true_one, pred_one, true_other, pred_other = arrays

    def follows(
        pred: np.ndarray[tuple[int, ...], np.dtype[np.float64]], true: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    ) -> float:
        return float(np.corrcoef(pred.ravel(), true.ravel())[0, 1])

    own = max(follows(pred_one, true_one), follows(pred_other, true_other))
    exchanged = min(follows(pred_one, true_other), follows(pred_other, true_one))
    return (own, exchanged) if exchanged - max(own, 0) > _RELATED else None


def _words(output: OutputEvidence) -> str:
    labels, truth = Encoding(output), output.first.truth
    assert truth is not None
    return f"shape {labels.given}, {'whole ' if truth.whole else ''}from {truth.low:.4g} to {truth.high:.4g}"
