"""Targets that the last activation can't reach."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.encoding import Encoding
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CROSS_ENTROPIES
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["OutputRange"]

_INF = float("inf")
_REACH = {
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "relu": (0.0, _INF),
    "relu6": (0.0, 6.0),
    "softplus": (0.0, _INF),
    "exponential": (0.0, _INF),
    "elu": (-1.0, _INF),
    "selu": (-1.7581, _INF),
    "silu": (-0.2785, _INF),
    "swish": (-0.2785, _INF),
    "gelu": (-0.17, _INF),
    "log_softmax": (-_INF, 0.0),
}
_LOST = 0.02  # of the targets' variance: beyond it no fit can get to an R2 of 0.98
_PILED = 0.1  # of the outputs, at an end that none passes
_AT_END = 0.02  # of the width between the ends


class OutputRange:
    """Targets beyond what the last activation can give, by more than 2% of their variance.

    What can't be had is the mean square of the targets' distance from the reachable interval, over their variance: one
    minus the best R2 there is. Where a model's own call hides the activation, it is known by outputs that pile up at
    0 or 1 or -1 and never pass it, while targets do.
    """

    name = "output_range"
    needs = ("labelled",)
    after = ("softmax_on_one_unit", "wrong_number_of_units", "label_encoding", "labels_scaled")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            labels = Encoding(output)
            reach = _reach(output) if _of_numbers(output, labels) else None
            if reach is None or len(labels.values) < 2:
                continue
            lost, share = _lost(labels.values, *reach)
            if lost <= _LOST:
                continue
            low, high = float(labels.values.min()), float(labels.values.max())
            by = f"activation {output.activation!r}" if output.activation else "the model's last step"
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR if lost > 0.2 else Severity.WARNING,
                seen=(
                    f"Targets of {output.words} run from {low:.4g} to {high:.4g}; {by} gives {_words(reach)}. "
                    f"{share:.0%} of the targets are out of reach."
                ),
                why="What is out of reach stays as an error, and units get stuck at their ends, without gradient.",
                do="Take the activation off the last layer, or scale the targets into its range.",
                where=None if output.layer is None else output.layer.path,
                numbers={"low": low, "high": high, "share": share, "variance_lost": lost},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=0.93 if output.activation else 0.75,
            )


def _of_numbers(output: OutputEvidence, labels: Encoding) -> bool:
    """Whether a label is a number that an output should equal."""
    if labels.layout != "elements" or output.first.truth is None:
        return False
    loss = output.acting.name
    if loss in BINARY:  # pictures may be compared so; a column of other numbers is no matter of range
        return not output.acting.from_logits and labels.units > 1 and not labels.whole
    hinges = loss.endswith("hinge") or loss in CROSS_ENTROPIES
    known = bool(loss) or output.activation is not None
    return known and not hinges and loss not in ("cosine_similarity", "kl_divergence", "poisson")


def _reach(output: OutputEvidence) -> tuple[float, float] | None:
    if output.activation is not None:
        return _REACH.get(output.activation)
    pred = np.asarray(output.last.y_pred, np.float64).ravel()
    pred = pred[np.isfinite(pred)]
    if len(pred) < 20:
        return None
    for low, high in ((0.0, 1.0), (-1.0, 1.0)):
        inside = bool(np.all((pred >= low) & (pred <= high)))
        near = np.minimum(pred - low, high - pred) <= _AT_END * (high - low)
        if inside and near.mean() >= _PILED:
            return low, high
    return (0.0, _INF) if np.all(pred >= 0) and (pred == 0).mean() >= _PILED else None


def _lost(values: npt.NDArray[np.float64], low: float, high: float) -> tuple[float, float]:
    """The share of the variance, and of the targets, that is out of reach."""
    beyond = np.maximum(low - values, 0) + np.maximum(values - high, 0)
    variance = float(values.var())
    return float(np.mean(beyond**2)) / variance if variance > 0 else 0.0, float(np.mean(beyond > 0))


def _words(reach: tuple[float, float]) -> str:
    low, high = reach
    if high == _INF:
        return f"nothing below {low:g}"
    return f"nothing above {high:g}" if low == -_INF else f"values between {low:g} and {high:g} only"
