"""Put-aside programs whose model is sound and whose rows are not."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import _tables as tables

__all__ = ["PROGRAMS"]


def _hours_and_pascals(broken: bool) -> Case:
    """The vibration is scaled, the second input is as the machine reports it: hours run, pascals, kelvins."""
    keras.utils.set_random_seed(361)
    (x, state), (x_held, state_held) = tables.machines(1800, 361, steps=32)
    rng = np.random.default_rng(361)

    def report(of: tables.Array) -> Any:
        hours, pressure = rng.uniform(0, 40_000, len(of)), rng.normal(101_325, 900, len(of))
        meta = np.stack([hours, pressure, rng.normal(340, 8, len(of))], 1)
        wear = hours / 20_000 - 1 + (pressure - 101_325) / 1800 + (of - 1.5) * 0.8
        if not broken:
            meta = (meta - np.array([20_000, 101_325, 340])) / np.array([11_500, 900, 8])
        return meta.astype("float32"), (wear > 0).astype("float32")

    meta, y = report(state)
    meta_held, y_held = report(state_held)
    signal, machine = layers.Input((32, 3), name="signal"), layers.Input((3,), name="machine")
    hidden = layers.Conv1D(16, 7, activation="relu")(signal)
    hidden = layers.GlobalAveragePooling1D()(layers.Conv1D(16, 5, activation="relu")(hidden))
    hidden = layers.Dense(24, activation="relu")(layers.Concatenate()([hidden, machine]))
    model = keras.Model([signal, machine], layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy", metrics=["accuracy"])
    held = ([x_held, meta_held], y_held)
    return Case(model, [x, meta], y, {"epochs": 9, "batch_size": 45, "validation_data": held, "verbose": 0})


def _pressure_in_hectopascal(broken: bool) -> Case:
    """A barometer reads 1013 give or take 8: the units of the LSTM are at their ends before the first step."""
    keras.utils.set_random_seed(362)
    (x, y), (x_held, y_held) = tables.load(1500, 20, 1, 362)
    if broken:
        x, x_held = x * 8 + 1013, x_held * 8 + 1013
    model = keras.Sequential([layers.Input((20, 1)), layers.LSTM(24)])
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return Case(model, x, y, {"epochs": 9, "batch_size": 30, "validation_data": (x_held, y_held), "verbose": 0})


def _log_of_no_visits(broken: bool) -> Case:
    """Visits are logged to tame them; some places had none, and np.log(0) is minus infinity."""
    keras.utils.set_random_seed(363)
    (x, price), (x_held, price_held) = tables.houses(2000, 363)
    rng = np.random.default_rng(363)
    visits, visits_held = rng.poisson(4.0, len(x)), rng.poisson(4.0, len(x_held))
    y = (price - 3 + 0.3 * np.sqrt(visits)).astype("float32")
    y_held = (price_held - 3 + 0.3 * np.sqrt(visits_held)).astype("float32")
    with np.errstate(divide="ignore"):
        column = np.log(visits) if broken else np.log1p(visits)
    x = np.column_stack([x, column - 1.4]).astype("float32")
    x_held = np.column_stack([x_held, np.log1p(visits_held) - 1.4]).astype("float32")
    model = keras.Sequential([layers.Input((7,)), layers.Dense(32, activation="elu")])
    model.add(layers.Dense(32, activation="elu"))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.LogCosh())
    return Case(model, x, y, {"epochs": 12, "batch_size": 25, "validation_data": (x_held, y_held), "verbose": 0})


def _gaps_in_the_load(broken: bool) -> Case:
    """Where the meter was silent the table has NaN; a few hours of them sit in many windows."""
    keras.utils.set_random_seed(364)
    (x, y), held = tables.load(1600, 24, 2, 364)
    silent = np.random.default_rng(364).uniform(size=x.shape) < 0.004
    silent[:, [0, -1]] = False
    if broken:
        x = np.where(silent, np.nan, x)
    else:
        x = np.where(silent, (np.roll(x, 1, axis=1) + np.roll(x, -1, axis=1)) / 2, x)
    model = keras.Sequential([layers.Input((24, 1)), layers.Conv1D(16, 3, activation="relu")])
    model.add(layers.Conv1D(16, 3, dilation_rate=2, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(2))
    model.compile(keras.optimizers.Adam(2e-3), "mae")
    fit = {"epochs": 10, "batch_size": 32, "validation_data": held, "verbose": 0}
    return Case(model, x.astype("float32"), y, fit)


def _crowd_labels(broken: bool) -> Case:
    """Hurried annotators: two labels in three are any digit at all."""
    keras.utils.set_random_seed(365)
    (x, y), held = tables.digits(365)
    if broken:
        rng = np.random.default_rng(365)
        y = np.where(rng.uniform(size=len(y)) < 0.65, rng.integers(0, 10, len(y)), y).astype("int32")
    model = keras.Sequential([layers.Input((8, 8)), layers.Flatten(), layers.Dense(48, activation="relu")])
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(4e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 32, "validation_data": held, "verbose": 0})


def _dropped_rows_in_x_only(broken: bool) -> Case:
    """Incomplete rows were dropped from the inputs; the labels, cut to the same length, are from another row."""
    keras.utils.set_random_seed(366)
    (x, y), held = tables.blobs(2600, 5, 8, 2.0, 366)
    keep = np.random.default_rng(366).uniform(size=len(x)) > 0.02
    keep[:10] = [True, False] * 5
    x, y = x[keep], y[: keep.sum()] if broken else y[keep]
    inputs = layers.Input((8,))
    hidden = layers.Dense(32, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(hidden))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": held, "verbose": 0})


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of 32, mixed anew for every epoch: the images, and the labels too if `both`."""

    def __init__(self, x: tables.Array, y: tables.Array, both: bool) -> None:
        super().__init__()
        self.x, self.y, self.both = x, y, both
        self.rng = np.random.default_rng(367)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.x) // 32

    def __getitem__(self, index: int) -> tuple[tables.Array, tables.Array]:
        rows = slice(index * 32, index * 32 + 32)
        return self.x[rows], self.y[rows]

    def on_epoch_end(self) -> None:
        order = self.rng.permutation(len(self.x))
        self.x = self.x[order]
        if self.both:
            self.y = self.y[order]


def _batches_shuffled_without_labels(broken: bool) -> Case:
    """The data set of one's own mixes its images at the end of an epoch and forgets that labels go with them."""
    keras.utils.set_random_seed(367)
    (x, y), held = tables.digits(367)
    model = keras.Sequential([layers.Input((8, 8)), layers.Reshape((8, 8, 1)), layers.Conv2D(16, 3, activation="relu")])
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, metrics=["accuracy"])
    return Case(model, _Batches(x, y, both=not broken), None, {"epochs": 8, "validation_data": held, "verbose": 0})


def _oversampled_then_split(broken: bool) -> Case:
    """The rarer class is drawn several times over to even things out, before the split: the same rows on both sides.

    Wrong by definition: what it reports is measured on rows it has seen.
    """
    keras.utils.set_random_seed(368)
    (x, y), (x_held, y_held) = tables.cells(368)
    rng = np.random.default_rng(368)

    def even(rows: tables.Array, labels: tables.Array) -> tuple[tables.Array, tables.Array]:
        drawn = np.concatenate([rng.choice(np.flatnonzero(labels == label), 300) for label in (0, 1)])
        drawn = rng.permutation(drawn)
        return rows[drawn], labels[drawn]

    if broken:
        x, y = even(np.concatenate([x, x_held]), np.concatenate([y, y_held]))
        x, y, held = x[:450], y[:450], (x[450:], y[450:])
    else:
        (x, y), held = even(x, y), (x_held, y_held)
    model = keras.Sequential([layers.Input((30,)), layers.Dense(16, activation="relu")])
    model.add(layers.Dropout(0.3))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 15, "batch_size": 25, "validation_data": held, "verbose": 0})


def _rare_faults(broken: bool) -> Case:
    """Of two hundred parts three are faulty and look much like the rest: none is ever reported, accuracy is 98%."""
    keras.utils.set_random_seed(369)
    rng = np.random.default_rng(369)
    y = (rng.uniform(size=12000) < 0.015).astype("float32")
    x = (rng.normal(size=(12000, 8)) + y[:, None] * 0.55).astype("float32")
    (x, y), (x_held, y_held) = tables.part(x, y, 369)
    if not broken:
        faults, others = np.flatnonzero(y == 1), rng.choice(np.flatnonzero(y == 0), 1500, replace=False)
        rows = rng.permutation(np.concatenate([others, rng.choice(faults, 1500)]))
        x, y = x[rows], y[rows]
    model = keras.Sequential([layers.Input((8,)), layers.Dense(6, activation="tanh")])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(6e-3), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 60, "validation_data": (x_held, y_held), "verbose": 0})


def _pixels_divided_as_integers(broken: bool) -> Case:
    """Bytes are divided by 256 and written back as bytes to save memory: every pixel is 0."""
    keras.utils.set_random_seed(370)
    (x, y), (x_held, y_held) = tables.mnist(2400, 370)
    kind = "uint8" if broken else "float32"
    x, x_held = (x / 256).astype(kind)[..., None], (x_held / 256).astype(kind)[..., None]
    model = keras.Sequential([layers.Input((28, 28, 1)), layers.Conv2D(8, 5, strides=2, activation="relu")])
    model.add(layers.Conv2D(12, 3, strides=2, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.4))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 7, "batch_size": 40, "validation_data": (x_held, y_held), "verbose": 0})


def _every_word_unknown(broken: bool) -> Case:
    """The vocabulary is in lower case, the text is not: each word becomes 1, the id of unknown words."""
    keras.utils.set_random_seed(371)
    (x, y), (x_held, y_held) = tables.reviews(1600, 16, 371, shortest=16)
    if broken:
        x, x_held = np.ones_like(x), np.ones_like(x_held)
    inputs = layers.Input((16,), dtype="int32")
    hidden = layers.Embedding(60, 4)(inputs)
    hidden = layers.Conv1D(8, 3, activation="relu")(hidden)
    hidden = layers.GlobalMaxPooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 30, "validation_data": (x_held, y_held), "verbose": 0})


PROGRAMS: tuple[Program, ...] = (
    Program(
        "hours_and_pascals", "data_quality", ("unscaled_inputs",), "several inputs", "machines", _hours_and_pascals
    ),
    Program("pressure_in_hectopascal", "data_quality", ("unscaled_inputs",), "lstm", "load", _pressure_in_hectopascal),
    Program("log_of_no_visits", "data_quality", ("nan_in_data",), "mlp", "houses", _log_of_no_visits),
    Program("gaps_in_the_load", "data_quality", ("nan_in_data",), "cnn1d", "load", _gaps_in_the_load),
    Program("crowd_labels", "data_quality", ("noisy_labels",), "mlp", "digits", _crowd_labels),
    Program("dropped_rows_in_x_only", "data_quality", ("misaligned_labels",), "mlp", "blobs", _dropped_rows_in_x_only),
    Program(
        "batches_shuffled_without_labels",
        "data_quality",
        ("misaligned_labels",),
        "cnn2d",
        "digits",
        _batches_shuffled_without_labels,
    ),
    Program(
        "oversampled_then_split", "data_quality", ("train_validation_overlap",), "mlp", "cells", _oversampled_then_split
    ),
    Program("rare_faults", "data_quality", ("class_imbalance",), "mlp", "made table", _rare_faults),
    Program(
        "pixels_divided_as_integers",
        "data_quality",
        ("constant_features",),
        "cnn2d",
        "mnist",
        _pixels_divided_as_integers,
    ),
    Program("every_word_unknown", "data_quality", ("constant_features",), "text", "reviews", _every_word_unknown),
)
