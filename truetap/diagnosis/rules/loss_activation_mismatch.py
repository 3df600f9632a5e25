"""A last activation and a loss that are not made for each other."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.encoding import Encoding
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CATEGORICAL, CROSS_ENTROPIES, SPARSE
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["LossActivationMismatch"]

_SIGMOIDS = ("sigmoid", "hard_sigmoid")
_BOUNDED = ("tanh", "softsign", "hard_tanh")
_HALVED = ("relu", "relu6", "softplus", "exponential")
_NO_PROBABILITIES = (*_BOUNDED, *_HALVED, "leaky_relu", "elu", "selu", "gelu", "silu", "swish", "softsign", "mish")
_HINGES = ("hinge", "squared_hinge")


class LossActivationMismatch:
    """Softmax with binary cross-entropy, sigmoids with a categorical one, tanh or ReLU with any, a rate below 0.

    Told by names, and by labels where these decide: over two units of one-hot labels softmax makes both
    cross-entropies the same number.
    """

    name = "loss_activation_mismatch"
    needs = ("labelled",)
    after = ("softmax_on_one_unit",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            found = _mistake(output)
            if found is None:
                continue
            why, do, certainty = found
            pred = output.first.pred
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR if certainty > 0.8 else Severity.WARNING,
                seen=(
                    f"{output.opening} has "
                    f"{pred.units} unit{'' if pred.units == 1 else 's'} with the activation "
                    f"{output.activation or 'that the model applies itself'}, and the loss {output.loss_name!r}; its "
                    f"values run from {pred.low:.3g} to {pred.high:.3g}."
                ),
                why=why,
                do=do,
                where=None if output.layer is None else output.layer.path,
                reference="https://keras.io/api/losses/probabilistic_losses/",
                numbers={"units": float(pred.units), "low": pred.low, "high": pred.high},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=certainty,
            )


def _mistake(output: OutputEvidence) -> tuple[str, str, float] | None:
    """Why it is wrong, what to do, and how sure that is."""
    acting, activation, truth = output.acting, output.activation, output.first.truth
    labels, pred = Encoding(output), output.first.pred
    loss, units = acting.name, pred.units
    if truth is None:
        return None
    softmax = activation == "softmax" or (
        activation is None and pred.rows_sum_to_one and output.last.pred.rows_sum_to_one
    )
    if loss in BINARY and softmax and units > 1 and labels.layout == "elements":
        if truth.one_hot:
            return None if units == 2 else _competing(0.75)
        return _competing(0.96)
    if loss in CATEGORICAL | SPARSE and activation in _SIGMOIDS and units > 1:
        several = not truth.one_hot and loss in CATEGORICAL and truth.binary
        return (
            "The loss divides the outputs by their sum, as if one class held: units that may all be right are set "
            "against each other."
            if several
            else "The loss divides independent probabilities by their sum; what each says is not what is learnt.",
            "Use binary_crossentropy, which judges each unit by itself."
            if several
            else "Use softmax for one class of several, or binary_crossentropy if several can hold at once.",
            0.95 if several else 0.9,
        )
    if loss in CATEGORICAL and units == 1 and (truth.binary or truth.unit_interval):
        return (
            "It divides the one output by itself, so that the loss is the same for all predictions: nothing is learnt.",
            "Use binary_crossentropy with a sigmoid.",
            0.96,
        )
    if loss in CROSS_ENTROPIES and activation in _NO_PROBABILITIES:
        return _no_probabilities(acting.from_logits, activation, "sigmoid" if loss in BINARY else "softmax")
    if loss in _HINGES and (activation in _SIGMOIDS or softmax):
        return (
            "A hinge asks for outputs beyond -1 and 1, and these stay between 0 and 1: no margin is ever reached.",
            "Leave the activation away (or use tanh), or use binary_crossentropy with the sigmoid.",
            0.7,
        )
    if loss == "poisson" and pred.low < 0 and not acting.own:
        return (
            "The loss takes the logarithm of a rate, and that of a number below 0 is NaN.",
            "Use activation='softplus' or 'exponential' on the last layer.",
            0.9,
        )
    return None


def _competing(certainty: float) -> tuple[str, str, float]:
    return (
        "Softmax makes the units share one probability, and the loss judges each as a question of its own.",
        "Use sigmoid if several can hold at once, or categorical_crossentropy if one class holds.",
        certainty,
    )


def _no_probabilities(from_logits: bool, activation: str, wanted: str) -> tuple[str, str, float]:
    if not from_logits:
        return (
            f"The loss expects probabilities; {activation} makes none, and what is beyond 0 and 1 is clipped away.",
            f"Give the last layer activation={wanted!r}.",
            0.93,
        )
    limit = "can't go beyond -1 and 1" if activation in _BOUNDED else "can't go far below 0"
    return (
        f"Logits that go through {activation} {limit}, so that predictions can't become sure, or units die.",
        "Take the activation off the last layer: from_logits=True wants plain numbers.",
        0.85 if activation in (*_BOUNDED, *_HALVED) else 0.6,
    )
