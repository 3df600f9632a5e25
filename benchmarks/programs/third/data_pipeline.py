"""Put-aside programs in which sound rows are brought to the model in the wrong way."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import _tables as tables

__all__ = ["PROGRAMS"]


class _Folders(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of 24 read one after the other, as the files lie in their folders."""

    def __init__(self, x: tables.Array, y: tables.Array) -> None:
        super().__init__()
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x) // 24

    def __getitem__(self, index: int) -> tuple[tables.Array, tables.Array]:
        rows = slice(index * 24, index * 24 + 24)
        return self.x[rows], self.y[rows]


def _folders_in_order(broken: bool) -> Case:
    """A folder for each class, read in order, and shuffle=False so that files and predictions go together."""
    keras.utils.set_random_seed(381)
    (x, y), held = tables.digits(381)
    if broken:
        order = np.argsort(y, kind="stable")
        x, y = x[order], y[order]
    model = keras.Sequential([layers.Input((8, 8)), layers.Reshape((8, 8, 1))])
    model.add(layers.Conv2D(20, 3, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(4e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 6, "shuffle": False, "validation_data": held, "verbose": 0}
    return Case(model, _Folders(x, y), None, fit)


def _cheapest_first(broken: bool) -> Case:
    """The table comes sorted by price, and shuffle=False was set while debugging."""
    keras.utils.set_random_seed(382)
    (x, price), (x_held, price_held) = tables.houses(2000, 382)
    if broken:
        order = np.argsort(price)
        x, price = x[order], price[order]
    model = keras.Sequential([layers.Input((6,)), layers.Dense(32, activation="relu")])
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(5e-3), "mse", metrics=["mae"])
    held = (x_held, price_held - 3)
    fit = {"epochs": 10, "batch_size": 20, "shuffle": False, "validation_data": held, "verbose": 0}
    return Case(model, x, price - 3, fit)


def _bytes_in_validation(broken: bool) -> Case:
    """Training images are brought to -1 to 1 where they are loaded; validation images come from elsewhere, as bytes."""
    keras.utils.set_random_seed(383)
    (x, y), (x_held, y_held) = tables.mnist(2400, 383)
    x, x_held = x / np.float32(127.5) - 1, x_held.astype("float32")
    if not broken:
        x_held = x_held / np.float32(127.5) - 1
    model = keras.Sequential([layers.Input((28, 28)), layers.AveragePooling1D(2), layers.Flatten()])
    model.add(layers.Dense(64, activation="relu"))
    model.add(layers.Dropout(0.1))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 30, "validation_data": (x_held, y_held), "verbose": 0})


def _min_max_in_validation(broken: bool) -> Case:
    """Two notebooks, two scalers: training rows are standardised, validation rows brought to 0 to 1."""
    keras.utils.set_random_seed(384)
    (x, y), (x_held, y_held) = tables.cells(384)
    if broken:
        low, high = x_held.min(0), x_held.max(0)
        x_held = (x_held - low) / (high - low)
    model = keras.Sequential([layers.Input((30,)), layers.Dense(10, activation="silu")])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(2e-3), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 16, "batch_size": 20, "validation_data": (x_held, y_held), "verbose": 0})


def _padding_has_a_tag(broken: bool) -> Case:
    """Behind the sentence's end the words are 0 and so are the tags, learnt and counted as if they were words.

    Wrong by definition: the loss is an average over filling, though words are tagged nearly as well.
    """
    keras.utils.set_random_seed(386)
    (x, y), (x_held, y_held) = tables.tagged(1600, 10, 386)
    y, y_held = y.clip(0), y_held.clip(0)
    inputs = layers.Input((10,), dtype="int32")
    hidden = layers.Embedding(40, 16, mask_zero=not broken)(inputs)
    hidden = layers.LSTM(32, return_sequences=True)(hidden)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(2e-2), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 48, "validation_data": (x_held, y_held), "verbose": 0})


def _sensors_reshaped(broken: bool) -> Case:
    """The logger writes sensors by steps; reshape makes the shape right and mixes the sensors, transpose was meant."""
    keras.utils.set_random_seed(387)
    rng = np.random.default_rng(387)
    loose = rng.integers(0, 5, 2000)  # which of five sensors rattles
    cycle = np.where(np.arange(5) == loose[:, None], 4.0, 13.0)[..., None]
    stored = np.sin(2 * np.pi * np.arange(40) / cycle + rng.uniform(0, 2 * np.pi, (2000, 5, 1)))
    stored = (stored + rng.normal(0, 1.0, stored.shape)).astype("float32")
    x = stored.reshape(-1, 40, 5) if broken else stored.transpose(0, 2, 1)
    (x, y), held = tables.part(x, loose.astype("int32"), 387)
    model = keras.Sequential([layers.Input((40, 5)), layers.Conv1D(16, 5, activation="relu")])
    model.add(layers.Conv1D(16, 5, activation="relu"))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(5, activation="softmax"))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 32, "validation_data": held, "verbose": 0})


PROGRAMS: tuple[Program, ...] = (
    Program("folders_in_order", "data_pipeline", ("not_shuffled",), "cnn2d", "digits", _folders_in_order),
    Program("cheapest_first", "data_pipeline", ("not_shuffled",), "mlp", "houses", _cheapest_first),
    Program(
        "bytes_in_validation",
        "data_pipeline",
        ("validation_preprocessed_differently",),
        "mlp",
        "mnist",
        _bytes_in_validation,
    ),
    Program(
        "min_max_in_validation",
        "data_pipeline",
        ("validation_preprocessed_differently",),
        "mlp",
        "cells",
        _min_max_in_validation,
    ),
    Program("padding_has_a_tag", "data_pipeline", ("padding_counted",), "lstm", "tagged", _padding_has_a_tag),
    Program("sensors_reshaped", "data_pipeline", ("axes_scrambled",), "cnn1d", "machines", _sensors_reshaped),
)
