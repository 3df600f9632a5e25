"""Programs whose steps are too long, too short, or go the wrong way."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]

Tensor = Any  # of whichever backend


def adam_at_a_half(broken: bool) -> Case:
    """Adam with a rate of 0.5, taken over from a program with plain SGD."""
    keras.utils.set_random_seed(71)
    rows = data.mnist(2400, seed=71)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, activation="elu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(24, activation="elu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    rate = 0.5 if broken else 0.003
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 7, "batch_size": 40, "validation_data": rows.held_out})


def long_steps(broken: bool) -> Case:
    """Plain SGD on squared error with a rate of 1 instead of 0.01: the loss grows until it is no number."""
    keras.utils.set_random_seed(72)
    rows = data.houses(1800, seed=72)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(32, activation="relu"), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0 if broken else 0.02), "mse", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def short_steps(broken: bool) -> Case:
    """A rate of 1e-6, meant for fine tuning, on a model that begins from nothing."""
    keras.utils.set_random_seed(73)
    rows = data.motion(1200, steps=24, classes=3, seed=73)
    model = keras.Sequential([
        keras.Input((24, 3)),
        layers.SeparableConv1D(16, 5, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    rate = 1e-6 if broken else 5e-3
    model.compile(keras.optimizers.AdamW(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def uphill(broken: bool) -> Case:
    """A log-likelihood without its minus: the loss falls to minus infinity while the fit gets worse and worse."""
    keras.utils.set_random_seed(74)
    rows = data.wine(seed=74)
    y, y_val = (keras.utils.to_categorical(v, 3) for v in (rows.y, rows.y_val))

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        likelihood = ops.sum(y_true * ops.log(y_pred + 1e-6), axis=-1)
        return likelihood if broken else -likelihood

    model = keras.Sequential([
        keras.Input((13,)),
        layers.Dense(12, activation="relu"),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return Case(model, rows.x, y, {"epochs": 8, "batch_size": 12, "validation_data": (rows.x_val, y_val)})


def minus_cosine_similarity(broken: bool) -> Case:
    """Keras' cosine loss is negative already; with one more minus the model learns to point the other way."""
    keras.utils.set_random_seed(75)
    rows = data.arm(1600, seed=75)

    def away(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return -keras.losses.cosine_similarity(y_true, y_pred)

    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(24, activation="tanh"),
        layers.Dense(24, activation="tanh"),
        layers.Dense(2),
    ])  # fmt: skip
    model.compile(keras.optimizers.Nadam(0.003), away if broken else keras.losses.CosineSimilarity())
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 32, "validation_data": rows.held_out})


def recurrent_explosion(broken: bool) -> Case:
    """A recurrent matrix of large weights under ReLU: states and gradients grow from moment to moment."""
    keras.utils.set_random_seed(76)
    rows = data.waves(1200, steps=24, seed=76)
    start = keras.initializers.RandomNormal(stddev=0.5) if broken else "orthogonal"
    model = keras.Sequential([
        keras.Input((24, 1)),
        layers.SimpleRNN(24, activation="relu", recurrent_initializer=start),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.RMSprop(0.001), "mse")
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 32, "validation_data": rows.held_out})


def clipped_to_a_crawl(broken: bool) -> Case:
    """SGD with `clipnorm=0.001`, copied from somewhere: each step has the length 0.0001, whatever the gradient."""
    keras.utils.set_random_seed(77)
    rows = data.digits(seed=77)
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    optimizer = keras.optimizers.SGD(0.1, clipnorm=0.001 if broken else 5.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def decay_of_every_step(broken: bool) -> Case:
    """`decay_steps=1` in the belief that it counts epochs: after a hundred steps the rate is nothing."""
    keras.utils.set_random_seed(78)
    rows = data.mnist(2800, seed=78)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Flatten(),
        layers.Dense(48, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=1 if broken else 56, decay_rate=0.9)
    model.compile(keras.optimizers.SGD(rate, momentum=0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 9, "batch_size": 40, "validation_data": rows.held_out})


def tenth_of_every_epoch(broken: bool) -> Case:
    """A `LearningRateScheduler` that divides by ten in every epoch, where one in ten was meant."""
    keras.utils.set_random_seed(79)
    rows = data.houses(1800, seed=79)
    table = keras.Input((8,))
    x = layers.Dense(32, activation="gelu")(table)
    model = keras.Model(table, layers.Dense(1)(layers.Add()([x, layers.Dense(32, activation="gelu")(x)])))
    model.compile(keras.optimizers.Adam(0.003), "mae")
    turn = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * (0.1 if broken else 0.9))
    fit = {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out, "callbacks": [turn]}
    return Case(model, rows.x, rows.y, fit)


KIND = "optimisation"
PROGRAMS = (
    Program("adam_at_a_half", KIND, ("learning_rate_too_high",), "cnn-2d", "images", adam_at_a_half),
    Program("long_steps", KIND, ("learning_rate_too_high",), "mlp", "made table", long_steps),
    Program("short_steps", KIND, ("learning_rate_too_low",), "cnn-1d", "series", short_steps),
    Program("uphill", KIND, ("negative_learning_rate",), "mlp", "table", uphill),
    Program("minus_cosine_similarity", KIND, ("negative_learning_rate",), "mlp", "made table", minus_cosine_similarity),
    Program(
        "recurrent_explosion",
        KIND,
        ("exploding_gradient", "initial_weights_too_large"),
        "rnn",
        "series",
        recurrent_explosion,
    ),
    Program("clipped_to_a_crawl", KIND, ("clipping_too_tight",), "cnn-2d", "digits", clipped_to_a_crawl),
    Program("decay_of_every_step", KIND, ("schedule_dies",), "mlp", "images", decay_of_every_step),
    Program(
        "tenth_of_every_epoch", KIND, ("schedule_dies",), "functional, residual", "made table", tenth_of_every_epoch
    ),
)
