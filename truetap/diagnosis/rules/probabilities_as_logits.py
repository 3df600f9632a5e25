"""A loss that expects logits is given probabilities."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding, Severity

__all__ = ["ProbabilitiesAsLogits"]


class ProbabilitiesAsLogits:
    """`from_logits=True` behind a softmax or sigmoid.

    On TensorFlow Keras finds the logits behind the activation and trains on; on JAX and torch the probabilities are
    squashed once more. What is said is the same on all three.
    """

    name = "probabilities_as_logits"
    needs = ("outputs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.outputs or ():
            if output.loss is None or not output.loss.from_logits:
                continue
            activation = output.activation
            if activation not in ("softmax", "sigmoid", "hard_sigmoid") and not output.first.pred.rows_sum_to_one:
                continue
            made = f"made by {activation}" if activation else "that sum to 1 in each row"
            pred = output.first.pred
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=(
                    f"The loss {output.loss.name!r} of {output.words} has from_logits=True, and is given probabilities "
                    f"{made}, from {pred.low:.3g} to {pred.high:.3g}."
                ),
                why="They are squashed a second time: gradients are small, and no prediction can become sure.",
                do="Take the activation off the last layer, or set from_logits=False.",
                where=None if output.layer is None else output.layer.path,
                reference="https://keras.io/api/losses/probabilistic_losses/",
                numbers={"low": pred.low, "high": pred.high},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=0.95,
            )
