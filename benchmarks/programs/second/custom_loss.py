"""Programs whose own loss, or own arithmetic in the model, does something else than its author meant."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def packed_target_and_weight(broken: bool) -> Case:
    """The loss unpacks target and weight from columns of y to (N,) and leaves y_pred at (N, 1): an (N, N) table."""
    keras.utils.set_random_seed(201)
    x, wear = data.scored()
    packed = np.stack([wear[:, 1], np.where(x[:, 9] > 0, 1.0, 0.5)], 1).astype("float32")
    (x, y), held = data.split(x, packed)

    def weighted_error(y_true: Any, y_pred: Any) -> Any:
        target, weight = y_true[:, 0], y_true[:, 1]
        answer = y_pred if broken else y_pred[:, 0]
        return weight * ops.square(target - answer)

    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(40, activation="swish"),
            layers.Dense(20, activation="swish"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.006), weighted_error)
    return Case(model, x, y, {"epochs": 12, "batch_size": 32, "validation_data": held})


class LogCosh(keras.losses.Loss):  # type: ignore[misc]
    """Log-cosh written by hand as a Loss, to which Keras hands labels as they come."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        away = y_pred - ops.cast(y_true, y_pred.dtype)
        return ops.mean(ops.softplus(2.0 * away) - away - np.log(2.0), axis=-1)


def flat_targets_in_a_loss_class(broken: bool) -> Case:
    """A Loss subclass meets prices of shape (N,) and answers of (N, 1); a function would be aligned."""
    keras.utils.set_random_seed(202)
    x, price = data.homes()
    (x, price), (x_val, price_val) = data.split(data.standardised(x), data.standardised(price))
    inputs = layers.Input((6,))
    hidden = layers.Dense(32, activation="relu")(inputs)
    joined = layers.Concatenate()([inputs, layers.Dense(32, activation="relu")(hidden)])
    model = keras.Model(inputs, layers.Dense(1)(joined))
    model.compile(keras.optimizers.Adam(0.005), LogCosh())
    if not broken:
        price, price_val = price[:, None], price_val[:, None]
    return Case(model, x, price, {"epochs": 12, "batch_size": 50, "validation_data": (x_val, price_val)})


def pinball_the_other_way(broken: bool) -> Case:
    """The quantile loss takes (y_pred, y_true), as elsewhere: it learns the 0.1 quantile where 0.9 is wanted."""
    keras.utils.set_random_seed(203)
    rng = np.random.default_rng(20)
    x = rng.uniform(-2, 2, (1600, 4)).astype("float32")
    y = x[:, :1] + np.sin(2 * x[:, 1:2]) + rng.normal(0, 0.3, (1600, 1)) * (1.5 + x[:, 2:3] / 2)
    (x, y), held = data.split(x, y.astype("float32"))

    def swapped(y_pred: Any, y_true: Any) -> Any:
        short = y_true - y_pred
        return ops.mean(ops.maximum(0.9 * short, -0.1 * short), axis=-1)

    def pinball(y_true: Any, y_pred: Any) -> Any:
        return swapped(y_pred, y_true)

    model = keras.Sequential([layers.Input((4,)), layers.Dense(48, activation="tanh"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.02), swapped if broken else pinball)
    return Case(model, x, y, {"epochs": 15, "batch_size": 40, "validation_data": held})


def poisson_called_backwards(broken: bool) -> Case:
    """A wrapper hands (y_pred, y_true) on to keras.losses.poisson: rates run away or to 0."""
    keras.utils.set_random_seed(204)
    (x, calls), held = data.split(*data.counts())

    def per_hour(y_true: Any, y_pred: Any) -> Any:
        return keras.losses.poisson(y_pred, y_true) if broken else keras.losses.poisson(y_true, y_pred)

    model = keras.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(1, activation="softplus"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), per_hour)
    return Case(
        model, x, calls[:, None], {"epochs": 10, "batch_size": 32, "validation_data": (held[0], held[1][:, None])}
    )


def averaged_before_weighting(broken: bool) -> Case:
    """The loss ends in a mean over all, so the small weights of the sensor known as bad can't reach its rows."""
    keras.utils.set_random_seed(205)
    x, wear = data.scored()
    target = wear[:, 2:].copy()
    bad = np.random.default_rng(21).random(len(x)) < 0.35
    (x, target), held = data.split(x, target)
    bad = bad[: len(x)]
    target[bad] = 1.5 - 0.5 * target[bad]

    def error(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.abs(y_true - y_pred)) if broken else ops.mean(ops.abs(y_true - y_pred), axis=-1)

    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), error)
    weights = np.where(bad, 0.05, 1.0).astype("float32")
    return Case(model, x, target, {"epochs": 15, "batch_size": 32, "sample_weight": weights, "validation_data": held})


def gaps_counted_in_the_mean(broken: bool) -> Case:
    """Of each series one reading in sixteen was taken; the loss zeroes the others and divides by all of them."""
    keras.utils.set_random_seed(206)
    x, _ = data.waves(noise=0.1)
    taken = np.asarray(np.random.default_rng(22).random(x.shape) < 0.06, "float32")
    (x, y), held = data.split(x, np.concatenate([x, taken], -1))

    def at_readings(y_true: Any, y_pred: Any) -> Any:
        error, there = ops.square(y_true[..., :1] - y_pred), y_true[..., 1:]
        total = ops.sum(error * there, axis=(1, 2))
        return total / (64.0 if broken else ops.maximum(ops.sum(there, axis=(1, 2)), 1.0))

    inputs = layers.Input((64, 1))
    hidden = layers.Conv1D(16, 7, padding="same", activation="tanh")(layers.GaussianNoise(0.3)(inputs))
    hidden = layers.Conv1D(16, 7, padding="same", activation="tanh")(hidden)
    model = keras.Model(inputs, layers.Conv1D(1, 7, padding="same")(hidden))
    model.compile(keras.optimizers.SGD(0.01), at_readings)
    return Case(model, x, y, {"epochs": 8, "batch_size": 30, "validation_data": held})


def profit_of_the_sign(broken: bool) -> Case:
    """The loss is the profit of going long or short by `sign(y_pred)`, whose gradient is 0 everywhere."""
    keras.utils.set_random_seed(207)
    x, y = data.load_curve()
    move = data.standardised(y - x[:, -1])
    order = np.random.default_rng(23).permutation(len(x))
    (x, move), held = data.split(x[order], move[order])

    def loss(y_true: Any, y_pred: Any) -> Any:
        position = ops.sign(y_pred) if broken else ops.tanh(y_pred)
        return -ops.mean(position * y_true, axis=-1)

    model = keras.Sequential(
        [layers.Input((24, 1)), layers.LSTM(16), layers.Dense(8, activation="relu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), loss)
    return Case(model, x, move, {"epochs": 10, "batch_size": 36, "validation_data": held})


def distance_of_twins(broken: bool) -> Case:
    """A Siamese net takes the square root of a squared distance; a pair of one and the same picture has 0 there."""
    keras.utils.set_random_seed(208)
    x, digit = data.digits()
    rng = np.random.default_rng(24)
    left, other = rng.integers(0, len(x), 2400), rng.integers(0, len(x), 2400)
    alike = np.array([rng.choice(np.flatnonzero(digit == digit[row])) for row in left])
    right = np.where(rng.random(2400) < 0.5, alike, other)
    apart = (digit[left] != digit[right]).astype("float32")

    def contrastive(y_true: Any, y_pred: Any) -> Any:
        near, far = y_pred, ops.square(ops.maximum(1.5 - y_pred, 0.0))
        return ops.mean((1 - y_true) * near + y_true * far, axis=-1)

    shape = [layers.Input((8, 8, 1)), layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(8)]
    tower = keras.Sequential(shape)
    one, two = layers.Input((8, 8, 1)), layers.Input((8, 8, 1))
    squared = ops.sum(ops.square(tower(one) - tower(two)), axis=-1, keepdims=True)
    model = keras.Model([one, two], ops.sqrt(squared if broken else ops.maximum(squared, 1e-6)))
    model.compile(keras.optimizers.Adam(0.003), contrastive)
    held = ([x[left[1800:]], x[right[1800:]]], apart[1800:, None])
    fit = {"epochs": 8, "batch_size": 32, "validation_data": held}
    return Case(model, [x[left[:1800]], x[right[:1800]]], apart[:1800, None], fit)


def relative_error_at_zero(broken: bool) -> Case:
    """The error is divided by the count itself, and in quiet hours the count is 0."""
    keras.utils.set_random_seed(209)
    (x, calls), (x_val, calls_val) = data.split(*data.counts())

    def relative(y_true: Any, y_pred: Any) -> Any:
        base = y_true if broken else y_true + 1.0
        return ops.mean(ops.abs(y_true - y_pred) / base, axis=-1)

    model = keras.Sequential(
        [layers.Input((5,)), layers.Dense(24, activation="relu"), layers.Dense(24, activation="relu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.004), relative)
    fit = {"epochs": 10, "batch_size": 50, "validation_data": (x_val, calls_val[:, None])}
    return Case(model, x, calls[:, None], fit)


PROGRAMS = (
    Program(
        "packed_target_and_weight",
        "custom_loss",
        ("implicit_broadcast",),
        "MLP",
        "table",
        packed_target_and_weight,
    ),
    Program(
        "flat_targets_in_a_loss_class",
        "custom_loss",
        ("implicit_broadcast",),
        "functional MLP",
        "table",
        flat_targets_in_a_loss_class,
    ),
    Program("pinball_the_other_way", "custom_loss", ("swapped_arguments",), "MLP", "table", pinball_the_other_way),
    Program(
        "poisson_called_backwards", "custom_loss", ("swapped_arguments",), "MLP", "table", poisson_called_backwards
    ),
    Program(
        "averaged_before_weighting",
        "custom_loss",
        ("reduced_before_weights",),
        "MLP",
        "table",
        averaged_before_weighting,
    ),
    Program(
        "gaps_counted_in_the_mean",
        "custom_loss",
        ("mean_over_masked",),
        "1-D convolutional autoencoder",
        "series",
        gaps_counted_in_the_mean,
    ),
    Program("profit_of_the_sign", "custom_loss", ("no_gradient_through_loss",), "LSTM", "series", profit_of_the_sign),
    Program(
        "distance_of_twins",
        "custom_loss",
        ("log_or_root_of_zero",),
        "Siamese MLP",
        "images",
        distance_of_twins,
    ),
    Program("relative_error_at_zero", "custom_loss", ("log_or_root_of_zero",), "MLP", "table", relative_error_at_zero),
)
