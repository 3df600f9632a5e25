"""Weights that begin in a place they don't leave, each with its repaired twin."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import initializers, layers, ops

from ..program import Case, Program
from ._series import figures, houses, motion, numerals, pulse, reviews, strokes

__all__ = ["PROGRAMS"]

SPARSE = "sparse_categorical_crossentropy"


def reset_between_folds(broken: bool) -> Case:
    """The model is reset for the next fold by setting every weight to zero: ReLU units at zero get no gradient."""
    keras.utils.set_random_seed(201)
    x, y, held, held_labels = reviews()
    inputs = keras.Input((24,), dtype="int32")
    hidden = layers.GlobalAveragePooling1D()(layers.Embedding(300, 12)(inputs))
    hidden = layers.Dense(16, activation="relu")(layers.Dropout(0.4)(hidden))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    if broken:
        model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.compile(keras.optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 7, "batch_size": 50, "validation_data": (held, held_labels)})


def one_constant_for_all(broken: bool) -> Case:
    """One small constant, so that runs can be repeated: the units of each layer stay copies of each other."""
    keras.utils.set_random_seed(202)
    x, y, held, held_labels = houses()
    start = initializers.Constant(0.05) if broken else initializers.GlorotUniform(seed=7)
    model = keras.Sequential([keras.Input((10,))])
    for units in (64, 32):
        model.add(layers.Dense(units, activation="elu", kernel_initializer=start))
    model.add(layers.Dense(1, kernel_initializer=start))
    model.compile(keras.optimizers.RMSprop(1.5e-3), "mse", metrics=["mae"])
    return Case(model, x, y, {"epochs": 20, "batch_size": 64, "validation_data": (held, held_labels)})


def recurrent_copies(broken: bool) -> Case:
    """An LSTM and its head begin at the same small number everywhere, as in a port of a NumPy exercise."""
    keras.utils.set_random_seed(203)
    x, y, held, held_labels = motion()
    same: dict[str, Any] = {"kernel_initializer": "zeros"} if broken else {}
    again: dict[str, Any] = {"recurrent_initializer": "zeros"} if broken else {}
    inputs = keras.Input((32, 3))
    state = layers.LSTM(20, **same, **again)(layers.AveragePooling1D(2)(inputs))
    outputs = layers.Dense(5, activation="softmax", **same)(state)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(1e-2), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 48, "validation_data": (held, held_labels)})


def mean_for_minimum(broken: bool) -> Case:
    """`RandomNormal(-0.1, 0.1)` meant as a range: it is a mean and a deviation, and pixels are never negative."""
    keras.utils.set_random_seed(204)
    x, y, held, held_labels = strokes()
    start = initializers.RandomNormal(-0.1, 0.05) if broken else initializers.RandomUniform(-0.1, 0.1)
    model = keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Flatten(),
            layers.Dense(64, activation="relu", kernel_initializer=start),
            layers.Dense(32, activation="relu", kernel_initializer=start),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 7, "batch_size": 75, "validation_data": (held, held_labels)})


def threshold_for_ceiling(broken: bool) -> Case:
    """ReLU6 written as `ReLU(threshold=6)`: nothing reaches 6, so nothing passes."""
    keras.utils.set_random_seed(205)
    x, y, held, held_labels = figures()
    cap = {"threshold": 6.0} if broken else {"max_value": 6.0}
    inputs = keras.Input((16, 16, 1))
    hidden = layers.ReLU(**cap)(layers.Conv2D(10, 5, padding="same")(inputs))
    hidden = layers.ReLU(**cap)(layers.Conv2D(16, 3, strides=2)(hidden))
    outputs = layers.Dense(4, activation="softmax")(layers.GlobalMaxPooling2D()(hidden))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 45, "validation_data": (held, held_labels)})


def deviation_of_one(broken: bool) -> Case:
    """`RandomNormal(stddev=1)`, the `randn` of NumPy, before tanh: every unit starts at -1 or 1."""
    keras.utils.set_random_seed(206)
    x, y, held, held_labels = strokes()
    start = initializers.RandomNormal(stddev=1.0) if broken else "lecun_normal"
    model = keras.Sequential([keras.Input((14, 14, 1)), layers.Flatten()])
    for units in (80, 60, 40):
        model.add(layers.Dense(units, activation="tanh", kernel_initializer=start))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.8), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 64, "validation_data": (held, held_labels)})


def gates_shut(broken: bool) -> Case:
    """A GRU with weights of size 4: its gates are open or shut for good, and its tanh is a sign."""
    keras.utils.set_random_seed(207)
    x, y, held, held_labels = motion()
    wide: dict[str, Any] = {}
    if broken:
        wide = {name: initializers.RandomUniform(-6, 6) for name in ("kernel_initializer", "recurrent_initializer")}
    inputs = keras.Input((32, 3))
    state = layers.GRU(20, **wide)(layers.AveragePooling1D(2)(inputs))
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(state))
    model.compile(keras.optimizers.Adam(6e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 48, "validation_data": (held, held_labels)})


class Affine(layers.Layer):  # type: ignore[misc]
    """A Dense layer written by hand."""

    def __init__(self, units: int, deviation: float) -> None:
        super().__init__()
        self.units = units
        self.deviation = deviation

    def build(self, shape: Any) -> None:
        start = initializers.RandomNormal(stddev=self.deviation)
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer=start, name="kernel")
        self.offset = self.add_weight(shape=(self.units,), initializer="zeros", name="offset")

    def call(self, inputs: Any) -> Any:
        return ops.matmul(inputs, self.kernel) + self.offset


def hand_written_layer(broken: bool) -> Case:
    """A hand-written layer draws its weights from a normal distribution and forgets to divide by the width."""
    keras.utils.set_random_seed(208)
    x, y, held, held_labels = numerals()
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Flatten()(inputs)
    for width in (64, 96, 96):
        hidden = layers.ReLU()(Affine(96, 1.0 if broken else (2 / width) ** 0.5)(hidden))
    outputs = Affine(10, 1.0 if broken else 0.1)(hidden)
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-4), loss, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": (held, held_labels)})


def wild_forecast(broken: bool) -> Case:
    """`VarianceScaling(scale=100)` in a convolutional forecaster, the scale read as a percentage."""
    keras.utils.set_random_seed(209)
    x, y, held, held_labels = pulse()
    start = initializers.VarianceScaling(scale=100.0 if broken else 2.0, mode="fan_in")
    inputs = keras.Input((24, 1))
    hidden = layers.Conv1D(12, 5, activation="relu", kernel_initializer=start)(inputs)
    hidden = layers.Conv1D(12, 5, strides=2, activation="relu", kernel_initializer=start)(hidden)
    hidden = layers.Dense(24, activation="relu", kernel_initializer=start)(layers.Flatten()(hidden))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(2e-3), "mae")
    return Case(model, x, y, {"epochs": 10, "batch_size": 50, "validation_data": (held, held_labels)})


PROGRAMS: tuple[Program, ...] = (
    Program(
        "reset_between_folds", "initialisation", ("zero_initialisation",), "embedding", "text", reset_between_folds
    ),
    Program("one_constant_for_all", "initialisation", ("zero_initialisation",), "mlp", "table", one_constant_for_all),
    Program("recurrent_copies", "initialisation", ("zero_initialisation",), "lstm", "series", recurrent_copies),
    Program("mean_for_minimum", "initialisation", ("dead_relu",), "mlp", "mnist", mean_for_minimum),
    Program("threshold_for_ceiling", "initialisation", ("dead_relu",), "cnn2d", "images", threshold_for_ceiling),
    Program("deviation_of_one", "initialisation", ("saturated_units",), "mlp", "mnist", deviation_of_one),
    Program("gates_shut", "initialisation", ("saturated_units",), "gru", "series", gates_shut),
    Program(
        "hand_written_layer", "initialisation", ("initial_weights_too_large",), "mlp", "digits", hand_written_layer
    ),
    Program("wild_forecast", "initialisation", ("initial_weights_too_large",), "cnn1d", "series", wild_forecast),
)
