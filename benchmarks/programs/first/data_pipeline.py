"""Programs that spoil sound data on the way to the model."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def digits_in_order(broken: bool) -> Case:
    """A file sorted by class, and `shuffle=False`: the model forgets each digit while it learns the next."""
    keras.utils.set_random_seed(41)
    rows = data.mnist(2500, seed=41)
    order = np.argsort(rows.y, kind="stable")
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out, "shuffle": not broken}
    return Case(model, rows.x[order], rows.y[order], fit)


class InTurn(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of windows, in the order in which they are given."""

    def __init__(self, x: data.Array, y: data.Array, batch: int) -> None:
        super().__init__()
        self.x, self.y, self.batch = x, y, batch

    def __len__(self) -> int:
        return len(self.x) // self.batch

    def __getitem__(self, index: int) -> tuple[data.Array, data.Array]:
        some = slice(index * self.batch, (index + 1) * self.batch)
        return self.x[some], self.y[some]


def windows_by_class(broken: bool) -> Case:
    """A `PyDataset` that reads one folder per class after the other, and shuffles nothing."""
    keras.utils.set_random_seed(42)
    rows = data.motion(1400, steps=24, classes=5, seed=42)
    order = np.argsort(rows.y, kind="stable") if broken else np.random.default_rng(42).permutation(len(rows.y))
    model = keras.Sequential([
        keras.Input((24, 3)),
        layers.Conv1D(16, 7, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(5, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    turns = InTurn(rows.x[order], rows.y[order], 32)
    return Case(model, turns, None, {"epochs": 8, "shuffle": False, "validation_data": rows.held_out})


def validation_not_scaled(broken: bool) -> Case:
    """Training images get mean 0 and deviation 1, those for validation stay between 0 and 255."""
    keras.utils.set_random_seed(43)
    rows = data.mnist(2600, raw=True, seed=43)
    mean, deviation = rows.x.mean(), rows.x.std()
    x_val = rows.x_val if broken else (rows.x_val - mean) / deviation
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(12, 3, strides=2, activation="tanh"),
        layers.Flatten(),
        layers.Dense(32, activation="tanh"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.AdamW(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 8, "batch_size": 48, "validation_data": (x_val, rows.y_val)}
    return Case(model, (rows.x - mean) / deviation, rows.y, fit)


def validation_range_of_its_own(broken: bool) -> Case:
    """`fit_transform` on the validation rows too: they are brought to 0 to 1 by their own least and greatest."""
    keras.utils.set_random_seed(44)
    rows = data.houses(1600, raw=True, seed=44)
    late = rows.x_val[:, 0] > 5  # the newest rows, held out: all of high income
    least, span = rows.x.min(axis=0), np.ptp(rows.x, axis=0)
    x_val, y_val = rows.x_val[late], rows.y_val[late]
    own, own_span = (x_val.min(axis=0), np.ptp(x_val, axis=0)) if broken else (least, span)
    model = keras.Sequential([
        keras.Input((8,)),
        layers.Dense(48, activation="silu"),
        layers.Dense(24, activation="silu"),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "mse", metrics=["mae"])
    fit = {"epochs": 15, "batch_size": 32, "validation_data": ((x_val - own) / own_span, y_val)}
    return Case(model, (rows.x - least) / span, rows.y, fit)


def mean_over_padding(broken: bool) -> Case:
    """A text's score is the mean over its words, and without a mask the padding behind it is averaged in."""
    keras.utils.set_random_seed(45)
    rows = data.reviews(2000, length=30, shortest=3, seed=45)
    worth = np.random.default_rng(45).normal(0, 2, 120) * (np.arange(120) > 0) + 3

    def score(x: data.Array) -> Any:
        return ((worth[x] * (x > 0)).sum(1, keepdims=True) / (x > 0).sum(1, keepdims=True)).astype("float32")

    model = keras.Sequential([
        keras.Input((30,), dtype="int32"),
        layers.Embedding(120, 8, mask_zero=not broken),
        layers.GlobalAveragePooling1D(),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.02), "mse", metrics=["mae"])
    fit = {"epochs": 8, "batch_size": 40, "validation_data": (rows.x_val, score(rows.x_val))}
    return Case(model, rows.x, score(rows.x), fit)


def padding_as_a_tag(broken: bool) -> Case:
    """Padding is tagged 0 and learnt like a word of tag 0: the loss is mostly about padding.

    Wrong by definition; the repaired program masks the padding.
    """
    keras.utils.set_random_seed(46)
    rows = data.tagged(1000, length=20, seed=46)
    x, x_val = (np.pad(v, ((0, 0), (0, 12))) for v in (rows.x, rows.x_val))
    y, y_val = (np.pad(v, ((0, 0), (0, 12))) for v in (rows.y, rows.y_val))
    model = keras.Sequential([
        keras.Input((32,), dtype="int32"),
        layers.Embedding(61, 16, mask_zero=not broken),
        layers.GRU(16, return_sequences=True),
        layers.Dense(4, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": (x_val, y_val)})


def reshaped_sensors(broken: bool) -> Case:
    """Sensors come as (rows, sensor, time); `reshape` to (rows, time, sensor) puts moments where sensors belong."""
    keras.utils.set_random_seed(47)
    rng = np.random.default_rng(47)
    y = rng.integers(0, 6, 1500)
    lag = np.array([[0, 1, 2], [0, 2, 1], [0, 0, 1.5], [0, 1.5, 0], [0, 3, 0], [0, 0, 3]])[y]
    phase = rng.uniform(0, 6.28, (1500, 1, 1)) + rng.uniform(0.25, 0.9, (1500, 1, 1)) * np.arange(24)
    x = (np.sin(phase + lag[:, :, None]) + rng.normal(0, 0.25, (1500, 3, 24))).astype("float32")
    rows = data.split(x.reshape(-1, 24, 3) if broken else x.transpose(0, 2, 1), y, seed=47)
    signal = keras.Input((24, 3))
    h = layers.Conv1D(24, 3, activation="relu")(signal)
    h = layers.Conv1D(24, 3, activation="relu")(h)
    model = keras.Model(signal, layers.Dense(6, activation="softmax")(layers.GlobalAveragePooling1D()(h)))
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def matlab_images(broken: bool) -> Case:
    """A MATLAB array of (height, width, images) brought to (images, height, width) by `reshape`, not `transpose`."""
    keras.utils.set_random_seed(48)
    rows = data.digits(seed=48)

    def images(stored: Any) -> Any:
        return stored.reshape(-1, 8, 8, 1) if broken else stored.transpose(2, 0, 1)[..., None]

    x, x_val = (images(np.ascontiguousarray(v[..., 0].transpose(1, 2, 0))) for v in (rows.x, rows.x_val))
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Conv2D(12, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Nadam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, rows.y, {"epochs": 8, "batch_size": 32, "validation_data": (x_val, rows.y_val)})


KIND = "data_pipeline"
PROGRAMS = (
    Program("digits_in_order", KIND, ("not_shuffled",), "mlp", "images", digits_in_order),
    Program("windows_by_class", KIND, ("not_shuffled",), "cnn-1d", "series", windows_by_class),
    Program(
        "validation_not_scaled",
        KIND,
        ("validation_preprocessed_differently",),
        "cnn-2d",
        "images",
        validation_not_scaled,
    ),
    Program(
        "validation_range_of_its_own",
        KIND,
        ("validation_preprocessed_differently",),
        "mlp",
        "made table",
        validation_range_of_its_own,
    ),
    Program("mean_over_padding", KIND, ("padding_counted",), "embedding", "text", mean_over_padding),
    Program("padding_as_a_tag", KIND, ("padding_counted",), "gru", "text", padding_as_a_tag),
    Program("reshaped_sensors", KIND, ("axes_scrambled",), "cnn-1d", "series", reshaped_sensors),
    Program("matlab_images", KIND, ("axes_scrambled",), "cnn-2d", "digits", matlab_images),
)
