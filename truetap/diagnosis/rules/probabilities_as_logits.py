"""A loss that expects logits is given probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["ProbabilitiesAsLogits"]

_ROWS = 16
_ABOUT_HALF = 0.2  # how far the mean of sigmoids is from a half before anything is learnt


class ProbabilitiesAsLogits:
    """`from_logits=True` behind a softmax or sigmoid, in a loss of Keras' or, told by its values, in a user's.

    Certain by the activation. Where a model's own call hides it, by the values: rows that sum to 1; of yes or no
    all outputs from 0 to 1, and those of the first epoch around a half, where logits are around 0. On TensorFlow
    Keras finds the logits behind the activation and trains on; on JAX and torch the probabilities are squashed once
    more. What is said is the same on all three.
    """

    name = "probabilities_as_logits"
    needs = ("outputs",)
    after = ("softmax_on_one_unit",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.outputs or ():
            if not output.acting.from_logits:
                continue
            known = output.squashed
            if not known and not _look_like_probabilities(output):
                continue
            pred = output.first.pred
            if known:
                made = f"made by {output.activation}"
            else:
                made = "that sum to 1 in each row" if pred.rows_sum_to_one else "around a half, none outside 0 to 1"
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR if known or pred.rows_sum_to_one else Severity.WARNING,
                seen=(
                    f"The loss {output.loss_name!r} of {output.words} has from_logits=True, and is given probabilities "
                    f"{made}, from {pred.low:.3g} to {pred.high:.3g}."
                ),
                why="They are squashed a second time: gradients are small, and no prediction can become sure.",
                do="Take the activation off the last layer, or set from_logits=False.",
                where=None if output.layer is None else output.layer.path,
                reference="https://keras.io/api/losses/probabilistic_losses/",
                numbers={"low": pred.low, "high": pred.high},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=0.95 if known or pred.rows_sum_to_one else 0.75,
            )


def _look_like_probabilities(output: OutputEvidence) -> bool:
    """Whether outputs of an unknown activation, or of none, can hardly be logits."""
    first, last = output.first.pred, output.last.pred
    if len(output.first) < _ROWS or first.nonfinite:
        return False
    if first.rows_sum_to_one and last.rows_sum_to_one:
        return True
    bounded = first.unit_interval and last.unit_interval and first.low < first.high
    return output.activation is None and bounded and abs(first.mean - 0.5) < _ABOUT_HALF
