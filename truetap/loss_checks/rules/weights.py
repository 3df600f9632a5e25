"""Sample weights whose shape doesn't fit the values that the loss returns."""

from __future__ import annotations

from collections.abc import Iterator

import keras

from truetap.loss_checks.evidence import Array, Evidence
from truetap.loss_checks.numbers import shown
from truetap.rules.finding import Finding, Severity

__all__ = ["WeightsShape"]


class WeightsShape:
    """Weights and values of different shapes: an error when sizes differ, a wrong number when they don't.

    Exact: the shape of `sample_weight` against that of what the loss returns, after Keras has added or removed a last
    axis of 1. A weight may be broadcast along an axis of size 1 of its own, and along no other.
    """

    name = "weights_shape"
    needs: tuple[str, ...] = ("values", "sample_weight")
    after = ("implicit_broadcast", "reduced_before_weights", "batch_statistics")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        assert evidence.values is not None
        assert evidence.sample_weight is not None
        values, weights = evidence.values, evidence.sample_weight
        spreads_them_itself = type(evidence.subject.loss).__call__ is not keras.losses.Loss.__call__
        if not values.ndim or spreads_them_itself or _fits(values, weights):
            return
        run = evidence.total(evidence.y_true, evidence.y_pred, weights)
        got = f"the loss {shown(run.value)}" if run.value is not None else f"a {type(run.error).__name__}"
        higher = weights.ndim > values.ndim
        yield Finding(
            self.name,
            Severity.ERROR,
            f"Weights of shape {weights.shape} meet values of shape {values.shape}; Keras makes {got} of it.",
            "The loss has averaged over the axis that the weights tell apart."
            if higher
            else "A weight per sample is broadcast along the wrong axis when the sizes are equal, else it raises.",
            "Return element-wise values (no reduction over the last axis), or give one weight per sample."
            if higher
            else "Reduce over axis=-1 to one value per sample, or give one weight per element.",
            where="sample_weight",
            reference="keras-team/keras#23235",
        )


def _fits(values: Array, weights: Array) -> bool:
    """Whether they have one shape after Keras has added or removed an axis of 1 at the end."""
    if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
        weights = weights[..., 0]
    elif values.ndim == weights.ndim + 1 and values.shape[-1] == 1:
        weights = weights[..., None]
    return weights.ndim == values.ndim and all(w in (1, v) for w, v in zip(weights.shape, values.shape, strict=True))
