"""Programs whose targets are not encoded as the last layer and the loss expect them."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def stars_from_one(broken: bool) -> Case:
    """Films get 1 to 5 stars, the model has five units, and nobody took 1 off: class 5 has no unit, unit 0 no class."""
    keras.utils.set_random_seed(301)
    x, wear = data.scored()
    stars = 1 + np.digitize(wear[:, 0] + wear[:, 1], [-1.4, -0.5, 0.5, 1.4]).astype("int32")
    (x, stars), (x_val, stars_val) = data.split(x, stars if broken else stars - 1)
    inputs = layers.Input((10,))
    hidden = layers.Dense(48, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, stars, {"epochs": 9, "batch_size": 24, "validation_data": (x_val, stars_val)})


def whole_table_scaled(broken: bool) -> Case:
    """Columns are divided by their largest values, and the class column is among them: classes 0, 0.5 and 1."""
    keras.utils.set_random_seed(302)
    x, kind = data.wine()
    rows = np.concatenate([data.standardised(x), kind[:, None]], 1)
    if broken:
        rows[:, -1] = rows[:, -1] / rows[:, -1].max()
    (x, kind), held = data.split(rows[:, :-1], rows[:, -1])
    model = keras.Sequential(
        [layers.Input((13,)), layers.Dense(16, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    return Case(model, x, kind, {"epochs": 12, "batch_size": 8, "validation_data": held})


def minus_one_and_one(broken: bool) -> Case:
    """Labels of -1 and 1, as for a support vector machine, under sigmoid and binary cross-entropy."""
    keras.utils.set_random_seed(303)
    x, good = data.opinions()
    (x, good), held = data.split(x, 2 * good - 1 if broken else good)
    model = keras.Sequential(
        [
            layers.Input((40,), dtype="int32"),
            layers.Embedding(200, 12),
            layers.Conv1D(16, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), keras.losses.BinaryCrossentropy(), metrics=["accuracy"])
    return Case(model, x, good, {"epochs": 5, "batch_size": 32, "validation_data": held})


def tags_need_one_hot(broken: bool) -> Case:
    """Tags of words as integers, and categorical_crossentropy, which expects a vector for each word."""
    keras.utils.set_random_seed(304)
    rng = np.random.default_rng(30)
    words = rng.integers(1, 61, (900, 16)).astype("int32")
    tags = (words % 4 + (np.roll(words, 1, axis=1) > 45)) % 4
    (x, tags), held = data.split(words[:, 1:], tags[:, 1:])
    model = keras.Sequential(
        [
            layers.Input((15,), dtype="int32"),
            layers.Embedding(61, 24),
            layers.Bidirectional(layers.GRU(24, return_sequences=True)),
            layers.Dense(4, activation="softmax"),
        ]
    )
    loss = "categorical_crossentropy" if broken else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss)
    return Case(model, x, tags, {"epochs": 8, "batch_size": 32, "validation_data": held})


def three_wears_one_unit(broken: bool) -> Case:
    """Three targets, one unit: Keras broadcasts (N, 1) against (N, 3), and the model answers their middle."""
    keras.utils.set_random_seed(305)
    (x, wear), held = data.split(*data.scored())
    inputs = layers.Input((10,))
    hidden = layers.Dense(64, activation="gelu")(layers.LayerNormalization()(inputs))
    hidden = layers.Add()([layers.Dense(64)(inputs), layers.Dense(64, activation="gelu")(hidden)])
    model = keras.Model(inputs, layers.Dense(1 if broken else 3)(hidden))
    model.compile(keras.optimizers.Lion(0.001), "mse", metrics=["mae"])
    return Case(model, x, wear, {"epochs": 10, "batch_size": 30, "validation_data": held})


PROGRAMS = (
    Program("stars_from_one", "target_encoding", ("labels_out_of_range",), "functional MLP", "table", stars_from_one),
    Program("whole_table_scaled", "target_encoding", ("labels_scaled",), "MLP", "table", whole_table_scaled),
    Program("minus_one_and_one", "target_encoding", ("label_encoding",), "1-D CNN", "text", minus_one_and_one),
    Program("tags_need_one_hot", "target_encoding", ("label_encoding",), "GRU tagger", "text", tags_need_one_hot),
    Program(
        "three_wears_one_unit",
        "target_encoding",
        ("wrong_number_of_units",),
        "functional MLP",
        "table",
        three_wears_one_unit,
    ),
)
