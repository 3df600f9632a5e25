"""Programs that feed good data in a bad way."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


class Folders(keras.utils.PyDataset):  # type: ignore[misc]
    """Reads pictures folder by folder, a folder a class; mixes them only if told to."""

    def __init__(self, x: Any, y: Any, mixed: bool) -> None:
        super().__init__()
        self.x, self.y, self.mixed = x, y, mixed
        self.order, self.rng = np.argsort(y, kind="stable"), np.random.default_rng(50)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.x) // 30

    def __getitem__(self, index: int) -> Any:
        rows = self.order[30 * index : 30 * index + 30]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self) -> None:
        if self.mixed:
            self.order = self.rng.permutation(self.order)


def folder_by_folder(broken: bool) -> Case:
    """A PyDataset goes through the classes' folders in order, and only the order of its own making counts."""
    keras.utils.set_random_seed(501)
    (x, digit), held = data.split(*data.mnist(2800))
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(8, 5, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(
        model, Folders(x, digit, mixed=not broken), None, {"epochs": 5, "shuffle": False, "validation_data": held}
    )


def split_of_a_sorted_table(broken: bool) -> Case:
    """Rows sorted by kind meet `validation_split`, which cuts the last part off before shuffling: one is never seen."""
    keras.utils.set_random_seed(502)
    x, kind = data.motions()
    order = np.argsort(kind, kind="stable") if broken else np.arange(len(x))
    model = keras.Sequential(
        [
            layers.Input((40, 6)),
            layers.Conv1D(24, 7, strides=2, activation="relu"),
            layers.LSTM(12),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x[order], kind[order], {"epochs": 8, "batch_size": 30, "validation_split": 0.3})


def other_scaler_for_validation(broken: bool) -> Case:
    """Training columns are standardised; validation goes through a scaler of its own, to 0..1."""
    keras.utils.set_random_seed(503)
    x, price = data.homes()
    (raw, price), (raw_val, price_val) = data.split(x, data.standardised(price)[:, None])
    mean, deviation = raw.mean(0), raw.std(0)
    low, high = raw_val.min(0), raw_val.max(0)
    x_val = (raw_val - low) / (high - low) if broken else (raw_val - mean) / deviation
    model = keras.Sequential(
        [layers.Input((6,)), layers.Dense(40, activation="mish"), layers.Dense(20, activation="mish"), layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.004), keras.losses.Huber(0.8))
    fit = {"epochs": 10, "batch_size": 30, "validation_data": (x_val, price_val)}
    return Case(model, (raw - mean) / deviation, price, fit)


def end_of_padding(broken: bool) -> Case:
    """Reviews are padded at their end to 64 words, and no mask says so: the GRU ends on what dozens of zeros leave."""
    keras.utils.set_random_seed(504)
    (x, good), held = data.split(*data.opinions(1600, length=64))
    model = keras.Sequential(
        [
            layers.Input((64,), dtype="int32"),
            layers.Embedding(200, 8, mask_zero=not broken),
            layers.GRU(8),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.008), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, good, {"epochs": 4, "batch_size": 36, "validation_data": held})


def sensors_reshaped(broken: bool) -> Case:
    """The logger writes (sensors, time), and (time, sensors) is had by `reshape`: time runs over the sensors."""
    keras.utils.set_random_seed(505)
    x, kind = data.motions()
    logged = np.ascontiguousarray(x.transpose(0, 2, 1))
    x = logged.reshape(-1, 40, 6) if broken else logged.transpose(0, 2, 1)
    (x, kind), held = data.split(x, kind)
    model = keras.Sequential([layers.Input((40, 6)), layers.LSTM(20), layers.Dense(4, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.004), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 8, "batch_size": 25, "validation_data": held})


def pictures_last(broken: bool) -> Case:
    """Pictures come as (height, width, number), as MATLAB writes them, and `reshape` makes (number, height, width)."""
    keras.utils.set_random_seed(506)
    x, digit = data.mnist(2500)
    stored = np.ascontiguousarray(x[..., 0].transpose(1, 2, 0))
    x = (stored.reshape(-1, 28, 28) if broken else stored.transpose(2, 0, 1))[..., None]
    (x, digit), held = data.split(x, digit)
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.MaxPooling2D(2),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 6, "batch_size": 32, "validation_data": held})


PROGRAMS = (
    Program("folder_by_folder", "data_pipeline", ("not_shuffled",), "CNN", "images", folder_by_folder),
    Program(
        "split_of_a_sorted_table", "data_pipeline", ("not_shuffled",), "CNN and LSTM", "series", split_of_a_sorted_table
    ),
    Program(
        "other_scaler_for_validation",
        "data_pipeline",
        ("validation_preprocessed_differently",),
        "MLP",
        "table",
        other_scaler_for_validation,
    ),
    Program("end_of_padding", "data_pipeline", ("padding_counted",), "GRU", "text", end_of_padding),
    Program("sensors_reshaped", "data_pipeline", ("axes_scrambled",), "LSTM", "series", sensors_reshaped),
    Program("pictures_last", "data_pipeline", ("axes_scrambled",), "CNN", "images", pictures_last),
)
