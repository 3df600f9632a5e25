"""Put-aside programs whose labels are not written as the loss or the last layer reads them."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import _tables as tables

__all__ = ["PROGRAMS"]


def _land_cover_codes(broken: bool) -> Case:
    """The map's own codes (11 water, 21 town, 31 barren, 41 forest) go to a sparse loss over four units."""
    keras.utils.set_random_seed(341)
    (x, y), (x_held, y_held) = tables.blobs(2000, 4, 6, 2.0, 341)
    if broken:
        codes = np.array([11, 21, 31, 41], "int32")
        y, y_held = codes[y], codes[y_held]
    inputs = layers.Input((6,))
    hidden = layers.Dense(32, activation="leaky_relu")(inputs)
    hidden = layers.Dense(16, activation="leaky_relu")(hidden)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": (x_held, y_held), "verbose": 0})


def _pad_tags_of_minus_one(broken: bool) -> Case:
    """Tags behind the sentence's end are -1, as other frameworks ignore them; this loss was not told to.

    Where the backend doesn't raise, wrong by definition: words beyond the end are in the mean with a loss of 0.
    """
    keras.utils.set_random_seed(342)
    (x, y), held = tables.tagged(1100, 12, 342)
    inputs = layers.Input((12,), dtype="int32")
    hidden = layers.Embedding(40, 16)(inputs)
    hidden = layers.Conv1D(32, 3, padding="same", activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=None if broken else -1)
    model.compile(keras.optimizers.Adam(6e-3), loss)
    return Case(model, x, y, {"epochs": 11, "batch_size": 32, "validation_data": held, "verbose": 0})


def _whole_frame_standardised(broken: bool) -> Case:
    """The scaler ran over the whole table, the column of zeros and ones with it: no longer 0 and 1."""
    keras.utils.set_random_seed(343)
    (x, y), (x_held, y_held) = tables.cells(343)
    if broken:
        mean, deviation = y.mean(), y.std()
        y, y_held = (y - mean) / deviation, (y_held - mean) / deviation
    model = keras.Sequential([layers.Input((30,)), layers.Dense(12, activation="relu")])
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.BinaryCrossentropy(from_logits=True))
    return Case(model, x, y, {"epochs": 14, "batch_size": 16, "validation_data": (x_held, y_held), "verbose": 0})


def _states_min_maxed(broken: bool) -> Case:
    """Everything is brought to 0 to 1 before training, the states 0 to 3 too; cut to integers they are 0 or 1."""
    keras.utils.set_random_seed(344)
    (x, y), (x_held, y_held) = tables.machines(1400, 344, noise=2.4)
    if broken:
        y, y_held = (y / 3).astype("float32"), (y_held / 3).astype("float32")
    model = keras.Sequential([layers.Input((48, 3)), layers.Conv1D(16, 7, strides=2, activation="relu")])
    model.add(layers.Conv1D(24, 5, activation="relu"))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(4))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    return Case(model, x, y, {"epochs": 9, "batch_size": 30, "validation_data": (x_held, y_held), "verbose": 0})


def _pleasant_is_one_other_minus_one(broken: bool) -> Case:
    """The corpus marks reviews with 1 and -1, and the model ends in a sigmoid with cross-entropy."""
    keras.utils.set_random_seed(345)
    (x, y), (x_held, y_held) = tables.reviews(2000, 24, 345)
    if broken:
        y, y_held = 2 * y - 1, 2 * y_held - 1
    model = keras.Sequential([layers.Input((24,), dtype="int32"), layers.Embedding(60, 4, mask_zero=True)])
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(8, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 5, "batch_size": 40, "validation_data": (x_held, y_held), "verbose": 0})


def _integers_for_focal_loss(broken: bool) -> Case:
    """The focal loss for categories takes one-hot rows; a column of integers is multiplied along without a word."""
    keras.utils.set_random_seed(346)
    (x, y), (x_held, y_held) = tables.digits(346)
    if broken:
        labels, labels_held = y[:, None], y_held[:, None]
    else:
        labels, labels_held = keras.utils.to_categorical(y, 10), keras.utils.to_categorical(y_held, 10)
    model = keras.Sequential([layers.Input((8, 8)), layers.Reshape((8, 8, 1)), layers.Conv2D(16, 3, activation="relu")])
    model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(4e-3), keras.losses.CategoricalFocalCrossentropy())
    held = (x_held, labels_held)
    return Case(model, x, labels, {"epochs": 8, "batch_size": 27, "validation_data": held, "verbose": 0})


def _one_unit_for_six_hours(broken: bool) -> Case:
    """From one hour ahead to six: the labels grew to six columns, the last layer stayed at one and is broadcast."""
    keras.utils.set_random_seed(347)
    (x, y), held = tables.load(1800, 30, 6, 347)
    model = keras.Sequential([layers.Input((30, 1)), layers.Conv1D(16, 5, activation="relu")])
    model.add(layers.Conv1D(16, 5, strides=2, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(1 if broken else 6))
    model.compile(keras.optimizers.Adam(4e-3), "mse", metrics=["mae"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 48, "validation_data": held, "verbose": 0})


def _one_unit_too_few(broken: bool) -> Case:
    """A fourth state was found after the model was written; the last layer has three units."""
    keras.utils.set_random_seed(348)
    (x, y), held = tables.machines(1600, 348, steps=24, noise=0.5)
    model = keras.Sequential([layers.Input((24, 3)), layers.LSTM(16)])
    model.add(layers.Dense(3 if broken else 4, activation="softmax"))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 36, "validation_data": held, "verbose": 0})


PROGRAMS: tuple[Program, ...] = (
    Program("land_cover_codes", "target_encoding", ("labels_out_of_range",), "mlp", "blobs", _land_cover_codes),
    Program(
        "pad_tags_of_minus_one", "target_encoding", ("labels_out_of_range",), "text", "tagged", _pad_tags_of_minus_one
    ),
    Program(
        "whole_frame_standardised", "target_encoding", ("labels_scaled",), "mlp", "cells", _whole_frame_standardised
    ),
    Program("states_min_maxed", "target_encoding", ("labels_scaled",), "cnn1d", "machines", _states_min_maxed),
    Program(
        "pleasant_is_one_other_minus_one",
        "target_encoding",
        ("label_encoding",),
        "text",
        "reviews",
        _pleasant_is_one_other_minus_one,
    ),
    Program(
        "integers_for_focal_loss", "target_encoding", ("label_encoding",), "cnn2d", "digits", _integers_for_focal_loss
    ),
    Program(
        "one_unit_for_six_hours",
        "target_encoding",
        ("wrong_number_of_units",),
        "cnn1d",
        "load",
        _one_unit_for_six_hours,
    ),
    Program(
        "one_unit_too_few",
        "target_encoding",
        ("wrong_number_of_units", "labels_out_of_range"),
        "lstm",
        "machines",
        _one_unit_too_few,
    ),
)
