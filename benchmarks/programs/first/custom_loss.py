"""Programs whose mistake is in a loss that somebody wrote, or in the order of what it is given."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]

Tensor = Any  # of whichever backend


def row_against_column(broken: bool) -> Case:
    """A `Loss` subclass subtracts (N, 1) predictions from (N,) targets: an (N, N) matrix, and the mean is learnt."""
    keras.utils.set_random_seed(11)
    rows = data.houses(1600, seed=11)

    class LogCosh(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
            error = y_pred - y_true
            return error + ops.softplus(-2.0 * error) - ops.log(2.0)

    model = keras.Sequential([keras.Input((8,)), layers.Dense(32, activation="relu"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), LogCosh())
    y, y_val = (rows.y[:, 0], rows.y_val[:, 0]) if broken else (rows.y, rows.y_val)
    return Case(model, rows.x, y, {"epochs": 12, "batch_size": 32, "validation_data": (rows.x_val, y_val)})


def swapped_poisson(broken: bool) -> Case:
    """The Poisson loss called as in scikit-learn's habit of another order: predictions stand where counts belong."""
    keras.utils.set_random_seed(12)
    rows = data.counts(seed=12)

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return keras.losses.poisson(y_pred, y_true) if broken else keras.losses.poisson(y_true, y_pred)

    model = keras.Sequential([
        keras.Input((6,)),
        layers.Dense(24, activation="tanh"),
        layers.Dense(1, activation="softplus"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), loss)
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 40, "validation_data": rows.held_out})


def swapped_quantile(broken: bool) -> Case:
    """A quantile loss written in the order (y_pred, y_true): asked for the 90% quantile, it learns the 10% one."""
    keras.utils.set_random_seed(13)
    rows = data.waves(1400, steps=12, seed=13)
    noise = np.random.default_rng(13).normal(0, 0.5, (len(rows.y), 1)).astype("float32")

    def forwards(y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = y_true - y_pred
        return ops.mean(ops.maximum(0.9 * error, -0.1 * error), axis=-1)

    def backwards(y_pred: Tensor, y_true: Tensor) -> Tensor:
        return forwards(y_true, y_pred)

    model = keras.Sequential([keras.Input((12, 1)), layers.GRU(12), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), backwards if broken else forwards)
    return Case(model, rows.x, rows.y + noise, {"epochs": 8, "batch_size": 40, "validation_data": rows.held_out})


def one_number_before_weights(broken: bool) -> Case:
    """A loss that ends in `ops.mean(...)` over the batch: the weights that would mute a bad sensor all act as one.

    A third of the rows come from a sensor that shows half of what there is, and weigh 0.05.
    """
    keras.utils.set_random_seed(14)
    rows = data.houses(2000, seed=14)
    bad = np.random.default_rng(14).random(len(rows.y)) < 0.35
    y = np.where(bad[:, None], rows.y / 2, rows.y)
    weight = np.where(bad, 0.05, 1.0).astype("float32")

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        error = ops.abs(y_true - y_pred) + 0.5 * ops.square(y_true - y_pred)
        return ops.mean(error) if broken else ops.mean(error, axis=-1)

    model = keras.Sequential([keras.Input((8,)), layers.Dense(24, activation="silu"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), loss)
    fit = {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out, "sample_weight": weight}
    return Case(model, rows.x, y, fit)


def padding_in_the_mean(broken: bool) -> Case:
    """The loss of padded words is zeroed, and the mean still divides by all words: wrong by definition.

    Short sentences weigh less than long ones, and the reported loss is too small by the share of padding.
    """
    keras.utils.set_random_seed(15)
    rows = data.tagged(seed=15)

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        real = ops.cast(ops.not_equal(y_true, -1), "float32")
        error = keras.losses.sparse_categorical_crossentropy(ops.maximum(y_true, 0), y_pred) * real
        return ops.mean(error, axis=-1) if broken else ops.sum(error, axis=-1) / ops.sum(real, axis=-1)

    model = keras.Sequential([
        keras.Input((16,), dtype="int32"),
        layers.Embedding(61, 16),
        layers.Conv1D(32, 2, padding="causal", activation="relu"),
        layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), loss)
    y, y_val = (np.where(x == 0, -1, tags) for x, tags in ((rows.x, rows.y), (rows.x_val, rows.y_val)))
    return Case(model, rows.x, y, {"epochs": 10, "batch_size": 32, "validation_data": (rows.x_val, y_val)})


def rounded_loss(broken: bool) -> Case:
    """The share of wrong answers as a loss: TensorFlow refuses, the others learn nothing."""
    keras.utils.set_random_seed(16)
    rows = data.moons(1200, noise=0.1, seed=16)

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        answer = ops.round(y_pred) if broken else y_pred
        return ops.mean(ops.abs(ops.cast(y_true, "float32") - answer), axis=-1)

    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(32, activation="relu"),
        layers.Dense(16, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    held_out = (rows.x_val, rows.y_val[:, None])
    return Case(model, rows.x, rows.y[:, None], {"epochs": 12, "batch_size": 32, "validation_data": held_out})


def twins_at_distance_zero(broken: bool) -> Case:
    """Twin networks compared by a plain square root: pairs of an image with itself have distance 0, and NaN follows."""
    keras.utils.set_random_seed(17)
    rows = data.digits()
    rng = np.random.default_rng(17)

    def pairs(x: data.Array, y: data.Array) -> tuple[list[data.Array], data.Array]:
        other = np.array([rng.choice(np.flatnonzero((y == label) == (i % 2 == 0))) for i, label in enumerate(y)])
        other[::20] = np.arange(len(y))[::20]
        return [x, x[other]], (y == y[other]).astype("float32")[:, None]

    def contrastive(y_true: Tensor, distance: Tensor) -> Tensor:
        apart = ops.maximum(1.0 - distance, 0.0)
        return ops.mean(y_true * distance + (1.0 - y_true) * apart, axis=-1)

    left, right = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(48, activation="relu"), layers.Dense(12)])
    square = ops.sum(ops.square(encoder(left) - encoder(right)), axis=-1, keepdims=True)
    model = keras.Model([left, right], ops.sqrt(square if broken else square + 1e-6))
    model.compile(keras.optimizers.Adam(0.002), contrastive)
    x, y = pairs(rows.x, rows.y)
    return Case(model, x, y, {"epochs": 12, "batch_size": 32, "validation_data": pairs(rows.x_val, rows.y_val)})


def log_of_no_visits(broken: bool) -> Case:
    """The model takes the logarithm of counts, some of which are 0: minus infinity goes into the first layer."""
    keras.utils.set_random_seed(18)
    rows = data.counts(1600, seed=18)
    rng = np.random.default_rng(18)
    visits, visits_val = (rng.poisson(np.exp(1.2 + x)).astype("float32") for x in (rows.x, rows.x_val))
    model = keras.Sequential([
        keras.Input((6,)),
        layers.Lambda((lambda t: ops.log(t)) if broken else (lambda t: ops.log1p(t)), output_shape=(6,)),
        layers.Dense(24, activation="relu"),
        layers.Dense(1, activation="exponential"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "poisson")
    return Case(model, visits, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": (visits_val, rows.y_val)})


KIND = "custom_loss"
PROGRAMS = (
    Program("row_against_column", KIND, ("implicit_broadcast",), "mlp", "made table", row_against_column),
    Program("swapped_poisson", KIND, ("swapped_arguments",), "mlp", "counts", swapped_poisson),
    Program("swapped_quantile", KIND, ("swapped_arguments",), "gru", "series", swapped_quantile),
    Program(
        "one_number_before_weights", KIND, ("reduced_before_weights",), "mlp", "made table", one_number_before_weights
    ),
    Program("padding_in_the_mean", KIND, ("mean_over_masked",), "cnn-1d", "text", padding_in_the_mean),
    Program("rounded_loss", KIND, ("no_gradient_through_loss",), "mlp", "made table", rounded_loss),
    Program(
        "twins_at_distance_zero",
        KIND,
        ("log_or_root_of_zero",),
        "functional, two inputs",
        "digits",
        twins_at_distance_zero,
    ),
    Program("log_of_no_visits", KIND, ("log_or_root_of_zero",), "mlp", "counts", log_of_no_visits),
)
