"""Programs whose model is sound and whose data are not."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def raw_measurements(broken: bool) -> Case:
    """Features from 0.001 to 4000 go in as they are: the scaler of the notebook was fitted and never applied."""
    keras.utils.set_random_seed(31)
    rows = data.breast_cancer(raw=broken, seed=31)
    model = keras.Sequential([
        keras.Input((30,)),
        layers.Dense(16, activation="relu", kernel_regularizer=keras.regularizers.L2(1e-3)),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 15, "batch_size": 32, "validation_data": rows.held_out})


def raw_prices(broken: bool) -> Case:
    """People in thousands beside rooms around five, unscaled, in a regression: one column drowns the others."""
    keras.utils.set_random_seed(32)
    rows = data.houses(2000, raw=broken, seed=32)
    table = keras.Input((8,))
    x = layers.Dense(32, activation="relu")(table)
    x = layers.Concatenate()([table, x])
    model = keras.Model(table, layers.Dense(1)(x))
    model.compile(keras.optimizers.Adam(0.01), keras.losses.Huber(), metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 64, "validation_data": rows.held_out})


def missing_cells(broken: bool) -> Case:
    """One cell in a hundred is missing and was read as NaN; the repaired program fills in the column's mean, 0."""
    keras.utils.set_random_seed(33)
    rows = data.houses(1800, seed=33)
    gone = np.random.default_rng(33).random(rows.x.shape) < 0.01
    x = np.where(gone, np.float32("nan") if broken else np.float32(0), rows.x)
    model = keras.Sequential([
        keras.Input((8,)),
        layers.Dense(32, activation="relu"),
        layers.BatchNormalization(),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return Case(model, x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def careless_annotators(broken: bool) -> Case:
    """Nearly half of the labels were drawn at random among all digits."""
    keras.utils.set_random_seed(34)
    rows = data.mnist(3000, seed=34)
    rng = np.random.default_rng(34)
    wrong = rng.random(len(rows.y)) < 0.45
    y = np.where(wrong & broken, rng.integers(0, 10, len(rows.y)), rows.y)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, y, {"epochs": 6, "batch_size": 48, "validation_data": rows.held_out})


def images_mixed_alone(broken: bool) -> Case:
    """The images were mixed with `rng.permutation` before training, and their labels forgotten."""
    keras.utils.set_random_seed(35)
    rows = data.digits(seed=35)
    order = np.random.default_rng(35).permutation(len(rows.x))
    y = rows.y[order] if not broken else rows.y
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(16, 3, activation="elu"),
        layers.Flatten(),
        layers.Dense(10),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
    return Case(model, rows.x[order], y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def target_one_row_late(broken: bool) -> Case:
    """A `shift(1)` too many: each row of the table stands beside the price of its neighbour."""
    keras.utils.set_random_seed(36)
    rows = data.houses(1500, seed=36)
    y, y_val = (np.roll(v, 1, axis=0) if broken else v for v in (rows.y, rows.y_val))
    model = keras.Sequential([keras.Input((8,)), layers.Dense(40, activation="relu"), layers.Dense(1)])
    model.compile(keras.optimizers.RMSprop(0.005), "mse", metrics=["mae"])
    return Case(model, rows.x, y, {"epochs": 15, "batch_size": 32, "validation_data": (rows.x_val, y_val)})


def oversampled_then_split(broken: bool) -> Case:
    """Rows were repeated to have more of them, and split afterwards: most validation rows are trained on as well.

    Wrong by definition: validation no longer says anything about rows not seen.
    """
    keras.utils.set_random_seed(37)
    rows = data.moons(1000, noise=0.3, seed=37)
    more = data.split(np.repeat(rows.x, 2, axis=0), np.repeat(rows.y, 2), seed=37)
    x, y = (more.x, more.y) if broken else (np.repeat(rows.x, 2, axis=0), np.repeat(rows.y, 2))
    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(32, activation="relu"),
        layers.Dense(16, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    held_out = more.held_out if broken else rows.held_out
    return Case(model, x, y, {"epochs": 10, "batch_size": 32, "validation_data": held_out})


def rare_faults(broken: bool) -> Case:
    """Three rows in a hundred are faults, and nothing is done about it: nearly all of them are called sound.

    The repaired program gives the two classes equal weight together.
    """
    keras.utils.set_random_seed(38)
    rng = np.random.default_rng(38)
    y = (rng.random(4000) < 0.03).astype("int64")
    x = (rng.normal(size=(4000, 6)) + y[:, None] * np.array([1.5, -1.2, 1.0, 0, 0, 0])).astype("float32")
    rows = data.split(x, y, seed=38)
    model = keras.Sequential([
        keras.Input((6,)),
        layers.Dense(8, activation="tanh"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 8, "batch_size": 64, "validation_data": rows.held_out}
    return Case(model, rows.x, rows.y, fit if broken else fit | {"class_weight": {0: 0.515, 1: 16.7}})


def images_cast_to_zero(broken: bool) -> Case:
    """Pixels divided by 255 and then cast back to uint8: all of them are 0."""
    keras.utils.set_random_seed(39)
    rows = data.mnist(2400, raw=True, seed=39)
    x, x_val = ((v / 256).astype("uint8" if broken else "float32") for v in (rows.x, rows.x_val))
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, activation="relu", padding="same"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, rows.y, {"epochs": 7, "batch_size": 40, "validation_data": (x_val, rows.y_val)})


KIND = "data_quality"
PROGRAMS = (
    Program("raw_measurements", KIND, ("unscaled_inputs",), "mlp", "table", raw_measurements),
    Program("raw_prices", KIND, ("unscaled_inputs",), "functional", "made table", raw_prices),
    Program("missing_cells", KIND, ("nan_in_data",), "mlp, batch norm", "made table", missing_cells),
    Program("careless_annotators", KIND, ("noisy_labels",), "cnn-2d", "images", careless_annotators),
    Program("images_mixed_alone", KIND, ("misaligned_labels",), "cnn-2d", "digits", images_mixed_alone),
    Program("target_one_row_late", KIND, ("misaligned_labels",), "mlp", "made table", target_one_row_late),
    Program("oversampled_then_split", KIND, ("train_validation_overlap",), "mlp", "made table", oversampled_then_split),
    Program("rare_faults", KIND, ("class_imbalance",), "mlp", "made table", rare_faults),
    Program("images_cast_to_zero", KIND, ("constant_features",), "cnn-2d", "images", images_cast_to_zero),
)
