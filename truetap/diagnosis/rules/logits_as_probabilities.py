"""A cross-entropy that expects probabilities is given whatever a linear layer makes."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.encoding import Encoding
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CROSS_ENTROPIES, SPARSE
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["LogitsAsProbabilities"]

_TAKES_PROBABILITIES = CROSS_ENTROPIES | {"kl_divergence"}
_SLACK = 1e-3


class LogitsAsProbabilities:
    """No activation on the output under a cross-entropy with `from_logits=False`, the default.

    Certain by the activation; where a model's own call hides it, by outputs below 0 or above 1. Labels must be such as
    a cross-entropy takes, else the loss is what is wrong.
    """

    name = "logits_as_probabilities"
    needs = ("labelled",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            acting, pred = output.acting, output.first.pred
            if acting.name not in _TAKES_PROBABILITIES or acting.from_logits or acting.swapped:
                continue
            outside = pred.low < -_SLACK or pred.high > 1 + _SLACK
            linear = output.activation in ("linear", "log_softmax") and (outside or not _distributed(output))
            if not (linear or (output.activation is None and outside)) or not _of_classes(output):
                continue
            wanted = "sigmoid" if acting.name in BINARY else "softmax"
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=(
                    f"The loss {output.loss_name!r} of {output.words} expects probabilities, and is given outputs from "
                    f"{pred.low:.3g} to {pred.high:.3g}"
                    + (f" of a layer with the activation {output.activation!r}." if output.activation else ".")
                ),
                why=(
                    "It clips what is below 0 or above 1, and there the gradient is 0"
                    + ("." if acting.name in BINARY else "; it divides by their sum, which may be 0 or negative.")
                ),
                do=f"Give the last layer activation={wanted!r}, or the loss from_logits=True.",
                where=None if output.layer is None else output.layer.path,
                reference="https://keras.io/api/losses/probabilistic_losses/",
                numbers={"low": pred.low, "high": pred.high},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=0.94 if linear else 0.85,
            )


def _distributed(output: OutputEvidence) -> bool:
    """Whether the outputs happen to be probabilities: of a linear layer behind a softmax, say."""
    return output.first.pred.rows_sum_to_one and output.last.pred.rows_sum_to_one


def _of_classes(output: OutputEvidence) -> bool:
    """Whether labels are such as a cross-entropy takes, and units enough for it to compare."""
    truth, loss, labels = output.first.truth, output.acting.name, Encoding(output)
    if truth is None or (labels.units == 1 and loss not in BINARY):
        return False
    if loss in SPARSE:
        return (labels.whole and labels.layout == "indices") or truth.one_hot
    return truth.unit_interval or truth.signs or labels.class_like
