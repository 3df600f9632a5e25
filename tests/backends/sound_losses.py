"""Losses that are right: all of keras.losses, and what people write well. None of them may be alarmed at."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import losses, ops

from .broken_losses import (
    BINARY,
    COLUMN,
    FLAT,
    HOLES,
    IMAGES,
    INDEX,
    LOGITS,
    MISSING,
    ONE_HOT,
    PADDED,
    POSITIVE,
    REAL,
    SEQUENCE,
    SERIES,
    SHARES,
    SIGNS,
    SOFT,
    TAKEN,
    Array,
    N,
)

_RNG = np.random.default_rng(11)
_EMBEDDED = _RNG.normal(size=(N, 6)).astype("float32")
_EMBEDDED /= np.linalg.norm(_EMBEDDED, axis=-1, keepdims=True)
_LETTERS = (_RNG.integers(1, 4, (N, 3)), _RNG.normal(size=(N, 7, 5)).astype("float32"))
_SCORES = LOGITS[:, :1]

Sound = tuple[Any, Array, Array]

# Every loss of Keras: the class, the function of the same formula, with data it is made for.
_FOR_REALS = """
    MeanSquaredError mean_squared_error mse MeanAbsoluteError mean_absolute_error MeanAbsolutePercentageError
    mean_absolute_percentage_error MeanSquaredLogarithmicError CosineSimilarity cosine_similarity Huber huber LogCosh
    log_cosh
"""
_FOR_POSITIVE = "mean_squared_logarithmic_error Poisson poisson"
_FOR_SIGNS = "Hinge hinge SquaredHinge squared_hinge"
_FOR_ONE_HOT = """
    CategoricalCrossentropy categorical_crossentropy CategoricalFocalCrossentropy categorical_focal_crossentropy
"""
_FOR_BINARY = "BinaryCrossentropy binary_crossentropy BinaryFocalCrossentropy binary_focal_crossentropy"
_WITHOUT_AXIS = "MeanSquaredError mean_absolute_error huber log_cosh"


def _all(names: str, y_true: Array, y_pred: Array, suffix: str = "") -> dict[str, Sound]:
    return {name + suffix: (name, y_true, y_pred) for name in names.split()}


KERAS: dict[str, Sound] = {
    **_all(_FOR_REALS, *REAL),
    **_all(_WITHOUT_AXIS, *FLAT, suffix=" flat"),
    **_all(_FOR_POSITIVE, *POSITIVE),
    **_all(_FOR_SIGNS, *SIGNS),
    **_all(_FOR_ONE_HOT, ONE_HOT, SHARES),
    **_all(_FOR_BINARY, *BINARY),
    "Hinge zeros and ones": ("Hinge", BINARY[0], COLUMN[1]),
    "CategoricalHinge": ("CategoricalHinge", ONE_HOT, LOGITS),
    "categorical_hinge": ("categorical_hinge", ONE_HOT, LOGITS),
    "KLDivergence": ("KLDivergence", SOFT, SHARES),
    "kl_divergence": ("kl_divergence", SOFT, SHARES),
    "crossentropy": ("crossentropy", ONE_HOT, SHARES),
    "CategoricalCrossentropy logits": (losses.CategoricalCrossentropy(from_logits=True), ONE_HOT, LOGITS),
    "CategoricalCrossentropy smooth": (losses.CategoricalCrossentropy(label_smoothing=0.1), ONE_HOT, SHARES),
    "BinaryCrossentropy flat": ("BinaryCrossentropy", BINARY[0][:, 0], BINARY[1]),
    "BinaryCrossentropy logits": (losses.BinaryCrossentropy(from_logits=True), BINARY[0], _SCORES),
    "BinaryCrossentropy multi-label": ("BinaryCrossentropy", (REAL[0] > 0).astype("int32"), 0.1 + 0.8 * SHARES[:, :3]),
    "BinaryFocalCrossentropy logits": (
        losses.BinaryFocalCrossentropy(from_logits=True, apply_class_balancing=True),
        BINARY[0],
        _SCORES,
    ),
    "SparseCategoricalCrossentropy": ("SparseCategoricalCrossentropy", INDEX, SHARES),
    "sparse_categorical_crossentropy": ("sparse_categorical_crossentropy", INDEX[:, None], SHARES),
    "SparseCategoricalCrossentropy logits": (losses.SparseCategoricalCrossentropy(from_logits=True), INDEX, LOGITS),
    "SparseCategoricalCrossentropy void": (losses.SparseCategoricalCrossentropy(ignore_class=0), PADDED, SEQUENCE),
    "CategoricalGeneralizedCrossEntropy": (losses.CategoricalGeneralizedCrossEntropy(q=0.5), INDEX, SHARES),
    "Dice": ("Dice", *IMAGES),
    "dice": ("dice", *IMAGES),
    "Dice by sample": (losses.Dice(axis=(1, 2, 3)), *IMAGES),
    "Tversky": ("Tversky", *IMAGES),
    "tversky": ("tversky", *IMAGES),
    "Circle": (losses.Circle(gamma=4), np.asarray([0, 0, 1, 1, 2, 2, 3, 3]), _EMBEDDED),
    "circle": ("circle", np.asarray([0, 0, 1, 1, 2, 2, 3, 3]), _EMBEDDED),
    "CTC": ("CTC", *_LETTERS),
    "ctc": ("ctc", *_LETTERS),
}


def pinball(y_true: Any, y_pred: Any) -> Any:
    error = y_true - y_pred
    return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)


def several_quantiles(y_true: Any, y_pred: Any) -> Any:  # (n, 1) against (n, 3), as is meant
    error, levels = y_true - y_pred, ops.convert_to_tensor([0.1, 0.5, 0.9])
    return ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)


def gaussian(y_true: Any, y_pred: Any) -> Any:  # mean and log of the variance
    mean, log_variance = y_pred[:, :1], y_pred[:, 1:2]
    return ops.mean(log_variance + ops.square(y_true - mean) * ops.exp(-log_variance), axis=-1)


def focal(y_true: Any, y_pred: Any) -> Any:
    right = ops.where(y_true > 0.5, y_pred, 1 - y_pred)
    right = ops.clip(right, 1e-6, 1 - 1e-6)
    return ops.mean(-ops.square(1 - right) * ops.log(right), axis=-1)


def focal_with_stopped_weight(y_true: Any, y_pred: Any) -> Any:
    right = ops.clip(ops.where(y_true > 0.5, y_pred, 1 - y_pred), 1e-6, 1 - 1e-6)
    return ops.mean(-ops.stop_gradient(ops.square(1 - right)) * ops.log(right), axis=-1)


def class_weighted(y_true: Any, y_pred: Any) -> Any:
    weights = ops.convert_to_tensor([1.0, 20.0, 1.0, 3.0])
    return keras.losses.categorical_crossentropy(y_true, y_pred) * ops.sum(y_true * weights, axis=-1)


def divided_by_valid(y_true: Any, y_pred: Any) -> Any:
    mask = ops.cast(y_true != -1, "float32")
    return ops.sum(mask * ops.square(y_true - y_pred), axis=-1) / ops.maximum(ops.sum(mask, axis=-1), 1)


def nan_replaced_first(y_true: Any, y_pred: Any) -> Any:
    known = ~ops.isnan(y_true)
    errors = ops.square(ops.where(known, y_true, 0.0) - y_pred)
    valid = ops.sum(ops.cast(known, "float32"), axis=-1)
    return ops.sum(ops.where(known, errors, 0.0), axis=-1) / ops.maximum(valid, 1)


def summed_over_valid_steps(y_true: Any, y_pred: Any) -> Any:  # a sequence's log-likelihood
    mask = ops.cast(y_true != 0, "float32")
    return ops.sum(mask * keras.losses.sparse_categorical_crossentropy(y_true, y_pred), axis=-1)


def contrastive(y_true: Any, y_pred: Any) -> Any:
    return ops.mean((1 - y_true) * ops.square(y_pred) + y_true * ops.square(ops.maximum(1 - y_pred, 0)), axis=-1)


def contrastive_the_other_way(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(y_true * ops.square(y_pred) + (1 - y_true) * ops.square(ops.maximum(1 - y_pred, 0)), axis=-1)


def safe_root(y_true: Any, y_pred: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(y_true - y_pred), axis=-1) + 1e-6)


def smooth_dice(y_true: Any, y_pred: Any) -> Any:
    axes = (1, 2, 3)
    shared = ops.sum(y_true * y_pred, axis=axes)
    return 1 - (2 * shared + 1) / (ops.sum(y_true, axis=axes) + ops.sum(y_pred, axis=axes) + 1)


def elements(y_true: Any, y_pred: Any) -> Any:
    return ops.abs(y_true - y_pred)


def dynamic_batch(y_true: Any, y_pred: Any) -> Any:
    flat = ops.reshape(ops.square(y_true - y_pred), (ops.shape(y_pred)[0], -1))
    return ops.mean(flat, axis=-1)


def flattened(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.reshape(ops.abs(y_true - y_pred), (-1, y_pred.shape[-1])), axis=-1)


def relu_corner(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.relu(ops.abs(y_true - y_pred) - 0.1), axis=-1)


@ops.custom_gradient  # type: ignore[untyped-decorator]
def _logistic(value: Any) -> Any:
    def back(*args: Any, upstream: Any = None) -> Any:
        return ops.sigmoid(value) * (args[0] if upstream is None else upstream)

    return ops.softplus(value), back


def own_right_gradient(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(_logistic(-y_true * y_pred), axis=-1)


def clipped_logs(y_true: Any, y_pred: Any) -> Any:
    right = ops.clip(y_pred, 1e-7, 1 - 1e-7)
    return -ops.mean(y_true * ops.log(right) + (1 - y_true) * ops.log(1 - right), axis=-1)


def divided_by_a_column(y_true: Any, y_pred: Any) -> Any:
    there = y_true[..., 1:]
    total = ops.sum(ops.square(y_true[..., :1] - y_pred) * there, axis=(1, 2))
    return total / ops.maximum(ops.sum(there, axis=(1, 2)), 1.0)


def summed_over_a_column(y_true: Any, y_pred: Any) -> Any:
    return ops.sum(ops.square(y_true[..., :1] - y_pred) * y_true[..., 1:], axis=(1, 2))


def value_of_a_critic(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(y_true * y_pred, axis=-1)


def output_is_the_loss(y_true: Any, y_pred: Any) -> Any:  # labels are a formality
    return ops.mean(y_pred, axis=-1)


def triplet(y_true: Any, y_pred: Any) -> Any:
    anchor, near, far = y_pred[:, :2], y_pred[:, 2:4], y_pred[:, 4:]
    return ops.relu(ops.sum(ops.square(anchor - near), axis=-1) - ops.sum(ops.square(anchor - far), axis=-1) + 0.2)


def poisson_of_logs(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.exp(y_pred) - y_true * y_pred, axis=-1)


def margin_with_names(labels: Any, logits: Any) -> Any:
    return ops.mean(ops.softplus(-labels * logits), axis=-1)


def symmetric_whatever_the_names(output: Any, target: Any) -> Any:
    return ops.mean(ops.square(output - target), axis=-1)


@keras.saving.register_keras_serializable("truetap-tests")
class Scaled(keras.losses.Loss):  # type: ignore[misc]
    """As the guides teach it: settings in get_config, one value per sample."""

    def __init__(self, factor: float = 2.0, name: str = "scaled", reduction: str = "sum_over_batch_size") -> None:
        super().__init__(name=name, reduction=reduction)
        self.factor = factor

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.factor * ops.mean(ops.square(y_true - y_pred), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


OWN: dict[str, Sound] = {
    loss.__name__: (loss, *batch)
    for loss, batch in (
        (pinball, REAL),
        (several_quantiles, (COLUMN[0], REAL[1])),
        (gaussian, (COLUMN[0], REAL[1])),
        (focal, BINARY),
        (focal_with_stopped_weight, BINARY),
        (class_weighted, (ONE_HOT, SHARES)),
        (divided_by_valid, (HOLES, REAL[1])),
        (nan_replaced_first, (MISSING, REAL[1])),
        (summed_over_valid_steps, (PADDED, SEQUENCE)),
        (contrastive, (BINARY[0], np.abs(COLUMN[1]))),
        (contrastive_the_other_way, (BINARY[0], np.abs(COLUMN[1]))),
        (safe_root, REAL),
        (smooth_dice, IMAGES),
        (elements, REAL),
        (dynamic_batch, REAL),
        (flattened, REAL),
        (relu_corner, REAL),
        (own_right_gradient, SIGNS),
        (clipped_logs, (BINARY[0], BINARY[0].copy())),
        (divided_by_a_column, (TAKEN, SERIES)),
        (summed_over_a_column, (TAKEN, SERIES)),
        (value_of_a_critic, SIGNS),
        (output_is_the_loss, (np.zeros((N, 1), "float32"), COLUMN[1])),
        (triplet, (np.zeros((N, 1), "float32"), _EMBEDDED)),
        (poisson_of_logs, (np.arange(N, dtype="float32")[:, None], COLUMN[1])),
        (margin_with_names, SIGNS),
        (symmetric_whatever_the_names, REAL),
    )
} | {
    "Scaled": (Scaled(5.0), *REAL),
    "Scaled class": (Scaled, *REAL),
    "perfect": ("mse", REAL[0], REAL[0].copy()),
    "large": ("mse", 1e6 * REAL[0], 1e6 * REAL[1]),
    "equal labels": ("mse", np.ones(N), COLUMN[1]),
    "satisfied": ("hinge", SIGNS[0], 5 * SIGNS[0]),
}
