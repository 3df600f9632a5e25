"""Put-aside programs whose own loss computes something else than was meant."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import _tables as tables

__all__ = ["PROGRAMS"]


def _spread_head_by_column(broken: bool) -> Case:
    """Mean and log-variance are cut out with [:, 0] and [:, 1], the target stays (N, 1): every row meets every row."""
    keras.utils.set_random_seed(321)
    (x, price), (x_held, price_held) = tables.houses(2000, 321)
    y, y_held = (price[:, None] - 3) / 1.2, (price_held[:, None] - 3) / 1.2

    def likelihood(y_true: Any, y_pred: Any) -> Any:
        if broken:
            mean, log_variance = y_pred[:, 0], y_pred[:, 1]
        else:
            mean, log_variance = y_pred[:, 0:1], y_pred[:, 1:2]
        return 0.5 * ops.mean(log_variance + ops.square(y_true - mean) * ops.exp(-log_variance), axis=-1)

    model = keras.Sequential([layers.Input((6,)), layers.Dense(32, activation="tanh")])
    model.add(layers.Dense(32, activation="tanh"))
    model.add(layers.Dense(2))
    model.compile(keras.optimizers.Adam(3e-3), likelihood)
    return Case(model, x, y, {"epochs": 14, "batch_size": 30, "validation_data": (x_held, y_held), "verbose": 0})


class _LogCosh(keras.losses.Loss):  # type: ignore[misc]
    """Log of the hyperbolic cosine of the error; `flat` lets the labels keep their one axis."""

    def __init__(self, flat: bool) -> None:
        super().__init__(name="log_cosh")
        self.flat = flat

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true = ops.cast(y_true, y_pred.dtype)
        error = y_pred - (y_true if self.flat else ops.reshape(y_true, ops.shape(y_pred)))
        return error + ops.softplus(-2.0 * error) - np.log(2.0)


def _loss_class_on_flat_labels(broken: bool) -> Case:
    """A Loss of one's own subtracts labels (N,) from predictions (N, 1); the built-in ones had aligned them."""
    keras.utils.set_random_seed(322)
    (x, y), (x_held, y_held) = tables.load(1400, 24, 1, 322)
    model = keras.Sequential([layers.Input((24, 1)), layers.Conv1D(16, 5, activation="relu")])
    model.add(layers.GRU(12))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(4e-3), _LogCosh(flat=broken))
    held = (x_held, y_held[:, 0])
    return Case(model, x, y[:, 0], {"epochs": 7, "batch_size": 28, "validation_data": held, "verbose": 0})


def _quantile_the_other_way(broken: bool) -> Case:
    """The 90% quantile for safe delivery times, with the arguments as scikit-learn never has them: the 10% comes."""
    keras.utils.set_random_seed(323)
    (x, price), (x_held, price_held) = tables.houses(2400, 323)
    rng = np.random.default_rng(323)
    y = (price + rng.exponential(0.8, len(price)) - 3.5)[:, None].astype("float32")
    y_held = (price_held + rng.exponential(0.8, len(price_held)) - 3.5)[:, None].astype("float32")

    def pinball(y_true: Any, y_pred: Any) -> Any:
        error = y_true - y_pred
        return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)

    def pinball_reversed(y_pred: Any, y_true: Any) -> Any:
        error = y_true - y_pred
        return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)

    model = keras.Sequential([layers.Input((6,)), layers.Dense(32, activation="selu")])
    model.add(layers.Dense(16, activation="selu"))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(2e-3), pinball_reversed if broken else pinball)
    return Case(model, x, y, {"epochs": 12, "batch_size": 36, "validation_data": (x_held, y_held), "verbose": 0})


def _cross_entropy_back_to_front(broken: bool) -> Case:
    """Label smoothing wrapped by hand: the built-in is called with predictions first, so labels stand in the log."""
    keras.utils.set_random_seed(324)
    (x, label), (x_held, label_held) = tables.blobs(2400, 6, 6, 2.6, 324)
    y, y_held = keras.utils.to_categorical(label, 6), keras.utils.to_categorical(label_held, 6)

    def smoothed(y_true: Any, y_pred: Any) -> Any:
        y_true = 0.95 * y_true + 0.05 / 6
        if broken:
            return keras.losses.categorical_crossentropy(y_pred, y_true)
        return keras.losses.categorical_crossentropy(y_true, y_pred)

    inputs = layers.Input((6,))
    hidden = layers.Dense(32, activation="relu")(inputs)
    hidden = layers.Add()([hidden, layers.Dense(32, activation="relu")(hidden)])
    model = keras.Model(inputs, layers.Dense(6, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(2e-3), smoothed, metrics=["categorical_accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 32, "validation_data": (x_held, y_held), "verbose": 0})


def _mean_of_two_sensors(broken: bool) -> Case:
    """Readings of the poor sensor weigh a twentieth; the loss returns the batch's mean, and no row can weigh less."""
    keras.utils.set_random_seed(325)
    (x, price), (x_held, price_held) = tables.houses(2600, 325)
    rng = np.random.default_rng(325)
    poor = rng.uniform(size=len(x)) < 0.4
    y = (price - 3 + poor * (1.5 + rng.normal(0, 1.0, len(x)))).astype("float32")
    weight = np.where(poor, 0.05, 1.0).astype("float32")

    def squared(y_true: Any, y_pred: Any) -> Any:
        error = ops.square(y_true - y_pred)
        return ops.mean(error) if broken else ops.mean(error, axis=-1)

    model = keras.Sequential([layers.Input((6,)), layers.Dense(32, activation="relu")])
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(2e-3), squared)
    fit = {"epochs": 12, "batch_size": 32, "sample_weight": weight, "validation_data": (x_held, price_held - 3)}
    return Case(model, x, y[:, None], {**fit, "verbose": 0})


def _missing_assays_counted(broken: bool) -> Case:
    """Of twelve assays a substance had one or two, the rest is -1; they are zeroed and the mean is over all twelve."""
    keras.utils.set_random_seed(326)
    rng = np.random.default_rng(326)
    x = rng.normal(size=(3600, 10)).astype("float32")
    strength = 1 / (1 + np.exp(-np.tanh(x @ rng.normal(0, 0.5, (10, 8))) @ rng.normal(0, 0.8, (8, 12))))
    strength = (strength + rng.normal(0, 0.04, strength.shape)).clip(0, 1)
    seen = rng.uniform(size=strength.shape) < 0.08
    seen[np.arange(len(x)), rng.integers(0, 12, len(x))] = True
    y = np.where(seen, strength, -1).astype("float32")
    (x, y), held = tables.part(x, y, 326)

    def measured_only(y_true: Any, y_pred: Any) -> Any:
        mask = ops.cast(y_true >= 0, y_pred.dtype)
        error = ops.square(y_true - y_pred) * mask
        return ops.mean(error, axis=-1) if broken else ops.sum(error, axis=-1) / ops.sum(mask, axis=-1)

    model = keras.Sequential([layers.Input((10,)), layers.Dense(48, activation="tanh")])
    model.add(layers.Dense(12, activation="sigmoid"))
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), measured_only)
    return Case(model, x, y, {"epochs": 15, "batch_size": 24, "validation_data": held, "verbose": 0})


def _whole_stars_only(broken: bool) -> Case:
    """Stars are whole, so the loss rounds the prediction down from a half above: its slope is 0 everywhere."""
    keras.utils.set_random_seed(327)
    (x, price), (x_held, price_held) = tables.houses(2000, 327)
    edges = np.quantile(price, [0.2, 0.4, 0.6, 0.8])
    y, y_held = np.digitize(price, edges) - 2.0, np.digitize(price_held, edges) - 2.0

    def stars(y_true: Any, y_pred: Any) -> Any:
        if broken:
            y_pred = ops.floor(y_pred + 0.5)
        return ops.mean(ops.square(y_true - y_pred), axis=-1)

    model = keras.Sequential([layers.Input((6,)), layers.Dense(24, activation="relu")])
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(3e-3), stars)
    held = (x_held, y_held[:, None].astype("float32"))
    fit = {"epochs": 11, "batch_size": 32, "validation_data": held, "verbose": 0}
    return Case(model, x, y[:, None].astype("float32"), fit)


def _overlap_of_thresholded_masks(broken: bool) -> Case:
    """Masks are judged by their overlap at 0.5, so the loss thresholds at 0.5 too, and has steps in place of slopes."""
    keras.utils.set_random_seed(328)
    (x, _), (x_held, _) = tables.digits(328)
    rng = np.random.default_rng(328)

    def seen(images: tables.Array) -> tables.Array:
        return (images + rng.normal(0, 0.2, images.shape)).astype("float32")[..., None]

    def dice(y_true: Any, y_pred: Any) -> Any:
        if broken:
            y_pred = ops.cast(y_pred > 0.5, y_true.dtype)
        both = ops.sum(y_true * y_pred, axis=(1, 2, 3))
        return 1.0 - (2.0 * both + 1.0) / (ops.sum(y_true, axis=(1, 2, 3)) + ops.sum(y_pred, axis=(1, 2, 3)) + 1.0)

    model = keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(12, 3, padding="same", activation="relu")])
    model.add(layers.Conv2D(12, 3, padding="same", activation="relu"))
    model.add(layers.Conv2D(1, 1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(4e-3), dice)
    held = (seen(x_held), (x_held > 0.4).astype("float32")[..., None])
    fit = {"epochs": 7, "batch_size": 32, "validation_data": held, "verbose": 0}
    return Case(model, seen(x), (x > 0.4).astype("float32")[..., None], fit)


class _Distance(layers.Layer):  # type: ignore[misc]
    """Euclidean distance of two codes; `floor` keeps the root's slope finite."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    def call(self, inputs: Any) -> Any:
        left, right = inputs
        return ops.sqrt(ops.sum(ops.square(left - right), axis=-1, keepdims=True) + self.floor)


def _distance_of_identical_pairs(broken: bool) -> Case:
    """Pairs of a siamese network are drawn at random, now and then a picture with itself: the root's slope at 0."""
    keras.utils.set_random_seed(329)
    (x, y), (x_held, y_held) = tables.digits(329)

    def pairs(images: Any, labels: Any, seed: int) -> Any:
        rng = np.random.default_rng(seed)
        first = rng.integers(0, len(images), 2 * len(images))
        alike = rng.uniform(size=len(first)) < 0.5
        second = rng.integers(0, len(images), len(first))
        for row in np.flatnonzero(alike):
            second[row] = rng.choice(np.flatnonzero(labels == labels[first[row]]))
        same = (labels[first] == labels[second]).astype("float32")[:, None]
        return {"left": images[first], "right": images[second]}, same

    def contrastive(y_true: Any, y_pred: Any) -> Any:
        apart = ops.square(ops.maximum(1.0 - y_pred, 0.0))
        return ops.mean(y_true * ops.square(y_pred) + (1 - y_true) * apart, axis=-1)

    encoder = keras.Sequential([layers.Input((8, 8)), layers.Flatten(), layers.Dense(48, activation="relu")])
    encoder.add(layers.Dense(8))
    left, right = layers.Input((8, 8), name="left"), layers.Input((8, 8), name="right")
    distance = _Distance(0.0 if broken else 1e-6)([encoder(left), encoder(right)])
    model = keras.Model({"left": left, "right": right}, distance)
    model.compile(keras.optimizers.Adam(2e-3), contrastive)
    inputs, same = pairs(x, y, 1)
    held = pairs(x_held, y_held, 2)
    return Case(model, inputs, same, {"epochs": 10, "batch_size": 32, "validation_data": held, "verbose": 0})


def _deviance_of_no_calls(broken: bool) -> Case:
    """Poisson deviance from the textbook, y log(y / rate): an hour without a call is 0 times log 0."""
    keras.utils.set_random_seed(330)
    (x, y), held = tables.counts(3000, 330)

    def deviance(y_true: Any, y_pred: Any) -> Any:
        seen = y_true if broken else ops.maximum(y_true, 1e-6)
        return 2.0 * ops.mean(y_true * ops.log(seen / y_pred) - (y_true - y_pred), axis=-1)

    inputs = layers.Input((5,))
    hidden = layers.Dense(32, activation="gelu")(inputs)
    rate = layers.Dense(1, activation="softplus")(layers.Dense(16, activation="gelu")(hidden))
    model = keras.Model(inputs, layers.Rescaling(1.0, offset=1e-3)(rate))
    model.compile(keras.optimizers.Adam(4e-3), deviance)
    return Case(model, x, y, {"epochs": 14, "batch_size": 40, "validation_data": held, "verbose": 0})


PROGRAMS: tuple[Program, ...] = (
    Program("spread_head_by_column", "custom_loss", ("implicit_broadcast",), "mlp", "houses", _spread_head_by_column),
    Program(
        "loss_class_on_flat_labels", "custom_loss", ("implicit_broadcast",), "gru", "load", _loss_class_on_flat_labels
    ),
    Program("quantile_the_other_way", "custom_loss", ("swapped_arguments",), "mlp", "houses", _quantile_the_other_way),
    Program(
        "cross_entropy_back_to_front",
        "custom_loss",
        ("swapped_arguments",),
        "functional",
        "blobs",
        _cross_entropy_back_to_front,
    ),
    Program("mean_of_two_sensors", "custom_loss", ("reduced_before_weights",), "mlp", "houses", _mean_of_two_sensors),
    Program(
        "missing_assays_counted", "custom_loss", ("mean_over_masked",), "mlp", "made table", _missing_assays_counted
    ),
    Program("whole_stars_only", "custom_loss", ("no_gradient_through_loss",), "mlp", "houses", _whole_stars_only),
    Program(
        "overlap_of_thresholded_masks",
        "custom_loss",
        ("no_gradient_through_loss",),
        "cnn2d",
        "digits",
        _overlap_of_thresholded_masks,
    ),
    Program(
        "distance_of_identical_pairs",
        "custom_loss",
        ("log_or_root_of_zero",),
        "siamese",
        "digits",
        _distance_of_identical_pairs,
    ),
    Program("deviance_of_no_calls", "custom_loss", ("log_or_root_of_zero",), "mlp", "counts", _deviance_of_no_calls),
)
