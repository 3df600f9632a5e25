"""Programs whose steps are too long, too short, or go the wrong way."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def transformer_at_sgd_rate(broken: bool) -> Case:
    """A small transformer keeps the rate of the SGD it was first trained with after the change to Adam."""
    keras.utils.set_random_seed(801)
    (x, topic), held = data.split(*data.documents())
    inputs = layers.Input((24,), dtype="int32")
    words = layers.Embedding(300, 16)(inputs)
    seen = layers.LayerNormalization()(words + layers.MultiHeadAttention(2, 8)(words, words))
    wider = layers.Dense(16)(layers.Dense(32, activation="gelu")(seen))
    pooled = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(seen + wider))
    model = keras.Model(inputs, layers.Dense(8, activation="softmax")(pooled))
    model.compile(
        keras.optimizers.Adam(0.3 if broken else 0.003), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return Case(model, x, topic, {"epochs": 6, "batch_size": 30, "validation_data": held})


def momentum_and_rate_of_one(broken: bool) -> Case:
    """SGD with rate 1 and momentum 0.9 on a regression: each step overshoots what the last one overshot."""
    keras.utils.set_random_seed(802)
    x, price = data.homes()
    (x, price), held = data.split(data.standardised(x), data.standardised(price)[:, None])
    inputs = layers.Input((6,))
    wide = layers.Dense(48, activation="elu")(inputs)
    model = keras.Model(
        inputs, layers.Dense(1)(layers.Concatenate()([inputs, layers.Dense(24, activation="elu")(wide)]))
    )
    rate = 1.0 if broken else 0.02
    model.compile(keras.optimizers.SGD(rate, momentum=0.9, nesterov=True), "mae")
    return Case(model, x, price, {"epochs": 10, "batch_size": 30, "validation_data": held})


def adadelta_by_default(broken: bool) -> Case:
    """Adadelta's paper has no rate, so the default is trusted; in Keras it is 0.001, a thousandth of the paper's."""
    keras.utils.set_random_seed(803)
    (x, digit), held = data.split(*data.mnist(2400))
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Dropout(0.1),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.Adadelta() if broken else keras.optimizers.Adadelta(1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 7, "batch_size": 30, "validation_data": held})


def similarity_is_minimised(broken: bool) -> Case:
    """The loss returns the cosine of answer and target, which grows with success, and `fit` makes it small."""
    keras.utils.set_random_seed(804)
    (x, wear), held = data.split(*data.scored())

    def cosine(y_true: Any, y_pred: Any) -> Any:
        alike = ops.sum(ops.normalize(y_true, axis=-1) * ops.normalize(y_pred, axis=-1), axis=-1)
        return alike if broken else -alike

    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(48, activation="relu"),
            layers.Dense(48, activation="relu"),
            layers.Dense(3),
        ]
    )
    model.compile(keras.optimizers.Adam(0.004), cosine)
    return Case(model, x, wear, {"epochs": 10, "batch_size": 30, "validation_data": held})


def recurrent_gain(broken: bool) -> Case:
    """A plain RNN with ReLU multiplies by its recurrent weights 20 times; a gain of 2 makes that a million."""
    keras.utils.set_random_seed(805)
    (x, kind), held = data.split(*data.waves())
    gain = keras.initializers.Orthogonal(2.0 if broken else 0.7)
    model = keras.Sequential(
        [
            layers.Input((64, 1)),
            layers.Conv1D(12, 5, strides=3, activation="relu"),
            layers.SimpleRNN(24, activation="relu", recurrent_initializer=gain),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 12, "batch_size": 30, "validation_data": held})


def clipped_to_nothing(broken: bool) -> Case:
    """`global_clipnorm=0.001` with SGD, set when training once blew up: every step is a thousandth long."""
    keras.utils.set_random_seed(806)
    (x, kind), held = data.split(*data.motions())
    model = keras.Sequential(
        [
            layers.Input((40, 6)),
            layers.Conv1D(16, 5, strides=2, activation="relu"),
            layers.Conv1D(16, 5, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.03, momentum=0.9, global_clipnorm=0.001 if broken else 5.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 8, "batch_size": 30, "validation_data": held})


def cosine_counts_epochs(broken: bool) -> Case:
    """CosineDecay is given the number of epochs, and counts steps: after twelve batches the rate is 0."""
    keras.utils.set_random_seed(807)
    (x, y), held = data.split(*data.tickets())
    model = keras.Sequential(
        [
            layers.Input((16,)),
            layers.Dense(48, activation="relu"),
            layers.BatchNormalization(),
            layers.Dense(24, activation="relu"),
            layers.Dense(5, activation="sigmoid"),
        ]
    )
    epochs, steps = 12, len(x) // 40
    rate = keras.optimizers.schedules.CosineDecay(0.004, epochs if broken else epochs * steps)
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["binary_accuracy"])
    return Case(model, x, y, {"epochs": epochs, "batch_size": 40, "validation_data": held})


PROGRAMS = (
    Program(
        "transformer_at_sgd_rate",
        "optimisation",
        ("learning_rate_too_high",),
        "transformer",
        "text",
        transformer_at_sgd_rate,
    ),
    Program(
        "momentum_and_rate_of_one",
        "optimisation",
        ("learning_rate_too_high",),
        "functional MLP",
        "table",
        momentum_and_rate_of_one,
    ),
    Program("adadelta_by_default", "optimisation", ("learning_rate_too_low",), "CNN", "images", adadelta_by_default),
    Program(
        "similarity_is_minimised",
        "optimisation",
        ("negative_learning_rate",),
        "MLP",
        "table",
        similarity_is_minimised,
    ),
    Program(
        "recurrent_gain",
        "optimisation",
        ("exploding_gradient", "initial_weights_too_large"),
        "SimpleRNN",
        "series",
        recurrent_gain,
    ),
    Program("clipped_to_nothing", "optimisation", ("clipping_too_tight",), "1-D CNN", "series", clipped_to_nothing),
    Program("cosine_counts_epochs", "optimisation", ("schedule_dies",), "MLP", "table", cosine_counts_epochs),
)
