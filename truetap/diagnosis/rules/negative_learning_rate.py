"""The loss is climbed: a rate below zero, or a loss whose sign is turned round."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.rules.finding import Finding, Severity

__all__ = ["NegativeLearningRate"]

_FURTHER = 1.5  # times the squared distance from outputs to labels, and no nearer than a constant
_FEWEST = 20  # rows


class NegativeLearningRate:
    """Training goes the wrong way.

    Said where a step's rate is below 0; where the only loss has a weight below 0; where a loss, run on points nearer
    and nearer to the labels, rises all the way (`tt.check_loss`, "wrong_direction"); and, without the model, where the
    loss of a user's function falls while outputs go away from labels to 1.5 times the distance and further than a
    constant is, or the share of right classes falls below half of what chance gives.
    """

    name = "negative_learning_rate"
    needs = ("facts",)
    after = ("swapped_arguments", "implicit_broadcast", "nan_in_data")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the rate, or one for each output."""
        rate = _rate_below_zero(evidence)
        if rate is not None:
            yield self._finding(
                f"The learning rate is {rate:g}.",
                "Give the optimizer a positive rate: it subtracts the gradient by itself.",
                0.95,
                numbers={"learning_rate": rate},
            )
            return
        for output in evidence.labelled or evidence.outputs or ():
            found = _turned(evidence, output)
            if found is not None:
                yield self._finding(*found, where=f"loss {output.loss_name!r}", output=output.name)

    def _finding(
        self,
        seen: str,
        do: str,
        certainty: float,
        where: str | None = None,
        output: str | None = None,
        numbers: dict[str, float] | None = None,
    ) -> Finding:
        return Finding(
            rule=self.name,
            severity=Severity.ERROR,
            seen=seen,
            why="Training goes uphill: each step makes the answers worse.",
            do=do,
            where=where,
            reference="https://keras.io/api/losses/#creating-custom-losses",
            numbers=numbers or {},
            output=output,
            certainty=certainty,
        )


def _rate_below_zero(evidence: Evidence) -> float | None:
    rates = np.zeros(0) if evidence.steps is None else evidence.steps.learning_rate
    below = rates[np.isfinite(rates) & (rates < 0)]
    return float(below.min()) if len(below) else None


def _turned(evidence: Evidence, output: OutputEvidence) -> tuple[str, str, float] | None:
    """What is seen of a loss that leads away from the labels, what to do, and how sure that is."""
    loss = output.loss
    if loss is None:
        return None
    weights = [each.weight for each in evidence.facts.model.losses] if evidence.facts is not None else []
    if loss.weight is not None and loss.weight < 0 and len(weights) == 1:
        return f"The loss {loss.name!r} has the weight {loss.weight:g}.", "Give it a positive weight.", 0.9
    do = "Turn the sign of the loss round, or minimise 1 - score."
    report = (evidence.loss_reports or {}).get(output.name)
    said = [] if report is None else [each for each in report.wrong if each.rule == "wrong_direction"]
    if said:
        return f"Of the loss {loss.name!r}: {said[0].seen}", do, 0.95
    away = _away(output) if loss.own and report is None else None
    return None if away is None else (f"The loss {loss.name!r} falls, and {away}", do, 0.7)


def _away(output: OutputEvidence) -> str | None:
    """What gets worse from the first epoch to the last while the loss falls."""
    first, last = output.first, output.last
    if first.epoch == last.epoch or first.loss is None or last.loss is None or len(last) < _FEWEST:
        return None
    before, after = (np.asarray(each.loss, np.float64) for each in (first, last))
    error = np.hypot(before.std() / np.sqrt(len(before)), after.std() / np.sqrt(len(after)))
    if not before.mean() - after.mean() > 3 * error:
        return None
    classes = last.true_classes
    if output.meant in ("classes", "binary") and classes is not None and last.accuracy is not None:
        chance = 1 / max(2, len(np.unique(classes)))
        if last.accuracy < chance / 2 and (first.accuracy or 0) > last.accuracy:
            return f"the share of right classes falls from {first.accuracy:.2g} to {last.accuracy:.2g}."
        return None
    one, other = _distance(first), _distance(last)
    if one is None or other is None or not other > max(1.0, _FURTHER * one):
        return None
    return f"the outputs' squared distance from the labels rises from {one:.2g} to {other:.2g} of the labels' variance."


def _distance(rows: Rows) -> float | None:
    if rows.y_true is None or rows.y_true.size != rows.y_pred.size:
        return None
    true = np.asarray(rows.y_true, np.float64).reshape(rows.y_pred.shape)
    spread = float(np.mean((true - true.mean(axis=0)) ** 2))
    return float(np.mean((true - np.asarray(rows.y_pred, np.float64)) ** 2)) / spread if spread > 0 else None
