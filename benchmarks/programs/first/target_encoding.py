"""Programs whose targets are written in a way that loss or model doesn't expect."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def classes_from_one(broken: bool) -> Case:
    """Classes counted from 1 to 10, as a file from R or MATLAB has them, under ten units that count from 0."""
    keras.utils.set_random_seed(21)
    rows = data.digits(seed=21)
    first = 1 if broken else 0
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Flatten(),
        layers.Dense(48, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    held_out = (rows.x_val, rows.y_val + first)
    return Case(model, rows.x, rows.y + first, {"epochs": 12, "batch_size": 32, "validation_data": held_out})


def classes_standardised(broken: bool) -> Case:
    """The whole table was brought to the range 0 to 1, its column of classes too: 0, 1, 2 became 0, 0.5, 1."""
    keras.utils.set_random_seed(22)
    rows = data.wine(seed=22)
    y, y_val = (v / np.float32(2) if broken else v for v in (rows.y, rows.y_val))
    model = keras.Sequential([
        keras.Input((13,)),
        layers.Dense(10, activation="tanh"),
        layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, y, {"epochs": 12, "batch_size": 10, "validation_data": (rows.x_val, y_val)})


def classes_minus_one_and_one(broken: bool) -> Case:
    """Labels -1 and 1, as for a support vector machine, under binary cross-entropy: the loss has no lower bound."""
    keras.utils.set_random_seed(23)
    rows = data.moons(1400, noise=0.4, seed=23)
    y, y_val = ((2 * v - 1 if broken else v)[:, None] for v in (rows.y, rows.y_val))
    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(24, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, y, {"epochs": 10, "batch_size": 32, "validation_data": (rows.x_val, y_val)})


def indices_for_one_hot(broken: bool) -> Case:
    """Class indices under `categorical_crossentropy`, which wants them one-hot: `fit` refuses the shapes."""
    keras.utils.set_random_seed(24)
    rows = data.motion(seed=24)
    y, y_val = (v[:, None] if broken else keras.utils.to_categorical(v, 4) for v in (rows.y, rows.y_val))
    model = keras.Sequential([
        keras.Input((32, 3)),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, y, {"epochs": 8, "batch_size": 32, "validation_data": (rows.x_val, y_val)})


def one_unit_for_two_targets(broken: bool) -> Case:
    """A hand's place has two coordinates, the model one unit: its one number is held against both by broadcasting."""
    keras.utils.set_random_seed(25)
    rows = data.arm(seed=25)
    angles = keras.Input((2,))
    x = layers.Dense(32, activation="tanh")(angles)
    x = layers.Dense(32, activation="tanh")(x)
    model = keras.Model(angles, layers.Dense(1 if broken else 2)(x))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 40, "validation_data": rows.held_out})


KIND = "target_encoding"
PROGRAMS = (
    Program("classes_from_one", KIND, ("labels_out_of_range",), "mlp", "digits", classes_from_one),
    Program("classes_standardised", KIND, ("labels_scaled",), "mlp", "table", classes_standardised),
    Program("classes_minus_one_and_one", KIND, ("label_encoding",), "mlp", "made table", classes_minus_one_and_one),
    Program("indices_for_one_hot", KIND, ("label_encoding",), "cnn-1d", "series", indices_for_one_hot),
    Program(
        "one_unit_for_two_targets",
        KIND,
        ("wrong_number_of_units",),
        "functional",
        "made table",
        one_unit_for_two_targets,
    ),
)
