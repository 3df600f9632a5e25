"""A loss whose values are multiplied by the weight of their class, each before anything is averaged.

Keras' `class_weight=` knows one output with one class per sample; of pixels, tags, several labels or several
outputs it fails or takes the argmax. Here the weight goes with each element's own label, as a part of the
loss: so it counts in `evaluate` and in validation too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import keras
from keras import ops

from truetap.errors import LossError
from truetap.loss_context import Around
from truetap.losses.base import PerSampleLoss, over
from truetap.losses.class_weights import as_weights, known_kind, labels_kind, weights_of
from truetap.losses.inner import LastAxis, inner_loss

__all__ = ["ClassWeighted"]


@keras.saving.register_keras_serializable("truetap")
class ClassWeighted(PerSampleLoss):
    """A loss with a weight for each class, or label.

    Works together with sample weights and masks: each value is multiplied by all of them. `Masked` may stand
    inside or outside.

    Args:
        loss: A name that `compile` takes, a `keras.losses.Loss`, or a function of y_true and y_pred that gives
            a value per sample or element.
        class_weight: `{class: weight}` for the classes 0, 1, …, or a list or array of the weights in that order;
            for several labels, a weight or a pair `(negative, positive)` for each.
        normalize: "count" divides by the number of elements that count, as Keras does with `class_weight=`;
            "weights" divides by the sum of their weights, of classes and samples: the weighted mean, which doesn't
            change when all weights are doubled.
        labels: What they are, where the loss and the shapes don't tell: "classes" (indices of any
            shape, or one-hot; weight `w[c]`, of soft labels `sum_c y[c] w[c]`), "binary" (each element is 0 or 1:
            `w[y]`), "multilabel" (each column of the last axis is a label: `w[column]`, of pairs `w[column][y]`).
        elementwise: Whether the loss averages elements over its last axis; see `Masked`.
        reduction: As for `keras.losses.Loss`.
        name: Of the loss.
        dtype: In which it is computed.

    A class index that has no weight makes the loss NaN, unless it is masked.

    Raises:
        LossError: A class without a weight, or labels that can't be told.

    Example:
        >>> import numpy as np
        >>> loss = ClassWeighted("categorical_crossentropy", {0: 1.0, 1: 20.0})
        >>> y_pred = np.array([[0.5, 0.5], [0.5, 0.5]], "float32")
        >>> round(float(loss(np.array([[1.0, 0.0], [0.0, 1.0]]), y_pred)), 4)  # (1 + 20) / 2 * log 2
        7.278
    """

    def __init__(
        self,
        loss: Any,
        class_weight: Mapping[int, float] | Any,
        *,
        normalize: Literal["count", "weights"] = "count",
        labels: str | None = None,
        elementwise: bool | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        if normalize not in ("count", "weights"):
            raise LossError(f"Received: normalize={normalize!r}. Expected: 'count' or 'weights'.")
        if normalize == "weights" and reduction not in ("sum_over_batch_size", "mean"):
            raise LossError(
                f"normalize='weights' is a mean. Received: reduction={reduction!r}. Expected: 'sum_over_batch_size'."
            )
        self.inner = inner_loss(loss, elementwise, reduction)
        self.class_weight = as_weights(class_weight)
        self.normalize = normalize
        self.labels = known_kind(labels)
        self.elementwise = elementwise

    @property
    def takes_sample_weight(self) -> bool:
        return self.inner.takes_sample_weight

    @property
    def wraps(self) -> Any:
        return self.inner.loss

    @property
    def last_axis(self) -> LastAxis:
        """What the last axis of `y_pred` is to the loss."""
        return self.inner.last_axis

    def unreduced(self, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
        y_true, y_pred = self.inner.aligned(y_true, y_pred)
        values, valid = self.inner.unreduced(y_true, y_pred, around)
        kind = labels_kind(self.labels, self.class_weight, y_true, y_pred, self.last_axis, self.name)
        weights = ops.cast(weights_of(kind, self.class_weight, y_true, y_pred), values.dtype)
        weights = over(weights, values, "The class weights", self.name)
        if valid is not None:  # a masked label may be no class: its weight would be NaN
            weights = ops.where(valid, weights, ops.zeros_like(weights))
        if self.normalize == "weights":
            weights = weights * self._to_mean_one(weights, values, valid, around)
        return values * weights, valid

    def _to_mean_one(self, weights: Any, values: Any, valid: Any, around: Around) -> Any:
        """What makes Keras' division by the count one by the sum of weights."""
        count = ops.size(values) if valid is None else ops.sum(ops.cast(valid, values.dtype))
        if around.sample_weight is not None and not self.takes_sample_weight:
            sample_weight = ops.cast(self.converted(around.sample_weight), values.dtype)
            weights = weights * over(sample_weight, values, "The sample weights", self.name)
        return ops.divide_no_nan(ops.cast(count, values.dtype), ops.sum(weights))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "loss": keras.saving.serialize_keras_object(self.inner.given),
            "class_weight": self.class_weight.tolist(),
            "normalize": self.normalize,
            "labels": self.labels,
            "elementwise": self.elementwise,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ClassWeighted:
        return cls(**(config | {"loss": keras.saving.deserialize_keras_object(config["loss"])}))
