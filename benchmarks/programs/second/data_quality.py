"""Programs whose data are wrong, and whose model is not."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def people_in_units(broken: bool) -> Case:
    """Income in tens, coordinates in degrees, people in thousands: columns go in as they stand beside an embedding."""
    keras.utils.set_random_seed(401)
    x, price = data.homes()
    place = (np.digitize(x[:, 4], np.linspace(32.5, 42, 8)[1:-1]) * 7).astype("int32")
    place += np.digitize(x[:, 5], np.linspace(-124, -114.5, 8)[1:-1]).astype("int32")
    figures = x if broken else data.standardised(x)
    numbers, where = layers.Input((6,)), layers.Input((), dtype="int32")
    hidden = layers.Concatenate()([numbers, layers.Embedding(49, 6)(where)])
    for units in (32, 16):
        hidden = layers.Dense(units, activation="relu")(hidden)
    model = keras.Model([numbers, where], layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    held = ([figures[1500:], place[1500:]], price[1500:, None])
    fit = {"epochs": 12, "batch_size": 32, "validation_data": held}
    return Case(model, [figures[:1500], place[:1500]], price[:1500, None], fit)


def logarithm_of_nothing(broken: bool) -> Case:
    """Skewed columns go through `np.log`, and a few rows have 0 there: minus infinity in the inputs."""
    keras.utils.set_random_seed(402)
    rng = np.random.default_rng(40)
    visits = rng.poisson(6, (1600, 4)) * (rng.random((1600, 4)) < 0.995)
    spent = (np.log1p(visits).sum(1) + 0.8 * (visits[:, 0] > visits[:, 1]) + rng.normal(0, 0.1, 1600)).astype("float32")
    with np.errstate(divide="ignore"):
        x = (np.log(visits) if broken else np.log1p(visits)).astype("float32") - 1.8
    (x, y), held = data.split(x, data.standardised(spent)[:, None])
    held = (held[0][np.isfinite(held[0]).all(1)], held[1][np.isfinite(held[0]).all(1)])
    model = keras.Sequential(
        [layers.Input((4,)), layers.Dense(32, activation="selu"), layers.Dense(16, activation="selu"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return Case(model, x, y, {"epochs": 10, "batch_size": 30, "validation_data": held})


def crowd_labels(broken: bool) -> Case:
    """Workers take movements 0 and 3, and 1 and 2, for each other in four rows of ten; held-out labels are sound."""
    keras.utils.set_random_seed(403)
    (x, kind), held = data.split(*data.motions())
    if broken:
        rng = np.random.default_rng(41)
        kind = np.where(rng.random(len(kind)) < 0.42, 3 - kind, kind).astype("int32")
    model = keras.Sequential(
        [
            layers.Input((40, 6)),
            layers.Conv1D(16, 5, activation="relu"),
            layers.MaxPooling1D(2),
            layers.Conv1D(24, 5, activation="relu"),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 10, "batch_size": 25, "validation_data": held})


def dropped_from_one_side(broken: bool) -> Case:
    """Bad rows are dropped from the inputs, and of the labels as many from the end: all after the first are shifted."""
    keras.utils.set_random_seed(404)
    (x, digit), held = data.split(*data.digits())
    bad = np.random.default_rng(42).choice(np.arange(30, len(x)), 20, replace=False)
    bad[0] = 30
    x = np.delete(x, np.unique(bad), axis=0)
    digit = digit[: len(x)] if broken else np.delete(digit, np.unique(bad))
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.002), loss, metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 8, "batch_size": 32, "validation_data": held})


def oversampled_then_split(broken: bool) -> Case:
    """The rarer class is doubled by copies before the split: validation holds training rows (wrong by definition)."""
    keras.utils.set_random_seed(405)
    x, benign = data.cancer()

    def doubled(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = np.concatenate([np.arange(len(x)), np.flatnonzero(y == 0)])
        rows = np.random.default_rng(43).permutation(rows)
        return x[rows], y[rows]

    if broken:
        (x, y), held = data.split(*doubled(x, benign), held=0.3)
    else:
        (x, y), held = data.split(x, benign, held=0.3)
        x, y = doubled(x, y)
    model = keras.Sequential(
        [
            layers.Input((30,)),
            layers.Dropout(0.3),
            layers.Dense(16, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y[:, None], {"epochs": 8, "batch_size": 16, "validation_data": (held[0], held[1][:, None])})


def rare_fault(broken: bool) -> Case:
    """Of the movements one is a fault, seen in 2% of rows; without weights the other three are all that is learnt."""
    keras.utils.set_random_seed(406)
    x, kind = data.motions(4000)
    rng = np.random.default_rng(44)
    keep = (kind != 3) | (rng.random(len(kind)) < 0.05)
    x = (x + rng.normal(0, 1.6, x.shape)).astype("float32")
    (x, kind), held = data.split(x[keep][:2400], kind[keep][:2400], held=0.4)
    model = keras.Sequential(
        [layers.Input((40, 6)), layers.AveragePooling1D(4), layers.GRU(16), layers.Dense(4, activation="softmax")]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 8, "batch_size": 24, "validation_data": held}
    return Case(model, x, kind, fit if broken else {**fit, "class_weight": {0: 1.0, 1: 1.0, 2: 1.0, 3: 20.0}})


def buffer_appended(broken: bool) -> Case:
    """A reader fills one buffer and appends it, not a copy, to a list: all training rows are the last one."""
    keras.utils.set_random_seed(407)
    (x, kind), held = data.split(*data.waves())
    buffer, read = np.zeros((64, 1), "float32"), []
    for row in x:
        buffer[:] = row
        read.append(buffer if broken else buffer.copy())
    inputs = layers.Input((64, 1))
    hidden = layers.Conv1D(16, 7, strides=2, activation="relu")(inputs)
    hidden = layers.Conv1D(24, 5, strides=2, activation="relu")(hidden)
    pooled = layers.Concatenate()([layers.GlobalMaxPooling1D()(hidden), layers.GlobalAveragePooling1D()(hidden)])
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(pooled))
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, np.stack(read), kind, {"epochs": 10, "batch_size": 30, "validation_data": held})


PROGRAMS = (
    Program(
        "people_in_units",
        "data_quality",
        ("unscaled_inputs",),
        "functional with embedding",
        "table",
        people_in_units,
    ),
    Program("logarithm_of_nothing", "data_quality", ("nan_in_data",), "MLP", "table", logarithm_of_nothing),
    Program("crowd_labels", "data_quality", ("noisy_labels",), "1-D CNN", "series", crowd_labels),
    Program("dropped_from_one_side", "data_quality", ("misaligned_labels",), "CNN", "images", dropped_from_one_side),
    Program(
        "oversampled_then_split",
        "data_quality",
        ("train_validation_overlap",),
        "MLP",
        "table",
        oversampled_then_split,
    ),
    Program("rare_fault", "data_quality", ("class_imbalance",), "GRU", "series", rare_fault),
    Program("buffer_appended", "data_quality", ("constant_features",), "1-D CNN", "series", buffer_appended),
)
