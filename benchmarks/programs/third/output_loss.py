"""Put-aside programs whose last layer and loss don't go together."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import _tables as tables

__all__ = ["PROGRAMS"]


def _softmax_layer_before_logits_loss(broken: bool) -> Case:
    """A Softmax layer was added to read predictions as probabilities, and the loss still takes them for logits."""
    keras.utils.set_random_seed(301)
    (x, y), held = tables.digits(301)
    model = keras.Sequential([layers.Input((8, 8)), layers.Conv1D(32, 3, padding="same", activation="relu")])
    model.add(layers.Conv1D(32, 3, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(10))
    if broken:
        model.add(layers.Softmax())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": held, "verbose": 0})


class _Tagger(keras.Model):  # type: ignore[misc]
    """Scores of five topics; `squash` turns them into probabilities inside `call`."""

    def __init__(self, squash: bool) -> None:
        super().__init__()
        self.squash = squash
        self.hidden = layers.Dense(48, activation="gelu")
        self.norm = layers.LayerNormalization()
        self.scores = layers.Dense(5)

    def call(self, inputs: Any) -> Any:
        scores = self.scores(self.norm(self.hidden(inputs)))
        return ops.sigmoid(scores) if self.squash else scores


def _sigmoid_in_call_before_logits_loss(broken: bool) -> Case:
    """The subclassed model ends with ops.sigmoid in `call`, where nobody looks when compile says from_logits=True."""
    keras.utils.set_random_seed(302)
    (x, y), held = tables.topics(4000, 302, noise=1.2)
    model = _Tagger(squash=broken)
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return Case(model, x, y, {"epochs": 8, "batch_size": 48, "validation_data": held, "verbose": 0})


class _Position(layers.Layer):  # type: ignore[misc]
    """Adds a learnt vector for each timestep."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal", name="table")

    def call(self, inputs: Any) -> Any:
        return inputs + self.table


def _raw_scores_in_transformer(broken: bool) -> Case:
    """The head was copied from a framework whose cross-entropy takes scores; the loss by name takes probabilities."""
    keras.utils.set_random_seed(303)
    (x, y), held = tables.machines(2000, 303, steps=24, classes=6, noise=0.6)
    inputs = layers.Input((24, 3))
    hidden = _Position()(layers.Dense(24)(inputs))
    hidden = layers.LayerNormalization()(hidden + layers.MultiHeadAttention(2, 12)(hidden, hidden))
    hidden = layers.LayerNormalization()(hidden + layers.Dense(24)(layers.Dense(48, activation="relu")(hidden)))
    outputs = layers.Dense(6, activation=None if broken else "softmax")(layers.Flatten()(hidden))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 48, "validation_data": held, "verbose": 0})


def _one_head_without_softmax(broken: bool) -> Case:
    """Of two heads one got its activation forgotten: a bare Dense is right for the price and wrong for its band."""
    keras.utils.set_random_seed(304)
    (x, price), (x_held, price_held) = tables.houses(2400, 304)
    inputs = layers.Input((6,))
    hidden = layers.Dense(32, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(hidden)
    value = layers.Dense(1, name="value")(hidden)
    band = layers.Dense(4, activation=None if broken else "softmax", name="band")(hidden)
    model = keras.Model(inputs, {"value": value, "band": band})
    model.compile("adam", {"value": "mse", "band": "categorical_crossentropy"}, metrics={"band": ["accuracy"]})
    edges = np.quantile(price, [0.25, 0.5, 0.75])

    def targets(of: tables.Array) -> dict[str, tables.Array]:
        return {"value": (of[:, None] - 3) / 1.2, "band": keras.utils.to_categorical(np.digitize(of, edges), 4)}

    held = (x_held, targets(price_held))
    return Case(model, x, targets(price), {"epochs": 14, "batch_size": 32, "validation_data": held, "verbose": 0})


def _softmax_over_one_unit(broken: bool) -> Case:
    """A review is good or not, so one unit; softmax because it is a classifier: the answer is 1 for every review."""
    keras.utils.set_random_seed(305)
    (x, y), held = tables.reviews(1200, 14, 305)
    model = keras.Sequential([layers.Input((14,), dtype="int32"), layers.Embedding(60, 12, mask_zero=True)])
    model.add(layers.GRU(16))
    model.add(layers.Dense(1))
    model.add(layers.Activation("softmax" if broken else "sigmoid"))
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 32, "validation_data": held, "verbose": 0})


def _sigmoid_decoder_of_standardised(broken: bool) -> Case:
    """The decoder of every image tutorial ends in a sigmoid; here the table is standardised, half of it negative."""
    keras.utils.set_random_seed(306)
    (x, _), (x_held, _) = tables.cells(306)
    inputs = layers.Input((30,))
    code = layers.Dense(8, name="code")(layers.Dense(20, activation="elu")(inputs))
    outputs = layers.Dense(20, activation="elu")(code)
    outputs = layers.Dense(30, activation="sigmoid" if broken else None)(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(4e-3), "mse")
    return Case(model, x, x, {"epochs": 30, "batch_size": 32, "validation_data": (x_held, x_held), "verbose": 0})


def _relu_forecast(broken: bool) -> Case:
    """A load can't be negative, so the forecast ends in a ReLU, and the series was standardised before."""
    keras.utils.set_random_seed(307)
    (x, y), held = tables.load(1600, 24, 3, 307)
    model = keras.Sequential([layers.Input((24, 1)), layers.LSTM(24)])
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(3, activation="relu" if broken else "linear"))
    model.compile(keras.optimizers.Adam(2e-3), keras.losses.Huber(), metrics=["mae"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 32, "validation_data": held, "verbose": 0})


def _softmax_for_many_topics(broken: bool) -> Case:
    """Several topics can be true at once; softmax lets them share 1, and each is scored as a yes or no of its own."""
    keras.utils.set_random_seed(308)
    (x, y), held = tables.topics(3200, 308)
    model = keras.Sequential([layers.Input((20,)), layers.Dense(40, activation="swish")])
    model.add(layers.Dense(5, activation="softmax" if broken else "sigmoid"))
    model.compile(keras.optimizers.AdamW(5e-3), "binary_crossentropy", metrics=["binary_accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 40, "validation_data": held, "verbose": 0})


def _sigmoid_with_categorical(broken: bool) -> Case:
    """The topics have sigmoids as they should, and the loss is the categorical one, since topics are categories."""
    keras.utils.set_random_seed(309)
    (x, y), held = tables.topics(3000, 309, noise=0.6, share=0.2)
    inputs = layers.Input((20,))
    left = layers.Dense(32, activation="tanh")(inputs)
    both = layers.Concatenate()([left, inputs])
    model = keras.Model(inputs, layers.Dense(5, activation="sigmoid")(layers.Dense(32, activation="relu")(both)))
    model.compile("nadam", "categorical_crossentropy" if broken else "binary_crossentropy")
    return Case(model, x, y, {"epochs": 10, "batch_size": 24, "validation_data": held, "verbose": 0})


def _absolute_error_on_digits(broken: bool) -> Case:
    """The class is a number, so it is regressed: an 8 is then nearer to a 9 than to a 3."""
    keras.utils.set_random_seed(310)
    (x, y), (x_held, y_held) = tables.digits(310)
    model = keras.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(16, 3, activation="relu")])
    model.add(layers.Conv2D(24, 3, activation="relu"))
    model.add(layers.Flatten())
    model.add(layers.Dense(1) if broken else layers.Dense(10, activation="softmax"))
    model.compile("adam", "mae" if broken else "sparse_categorical_crossentropy")
    held = (x_held[..., None], y_held)
    return Case(model, x[..., None], y, {"epochs": 11, "batch_size": 32, "validation_data": held, "verbose": 0})


def _cross_entropy_on_prices(broken: bool) -> Case:
    """The compile line comes from a classifier; on standardised prices its loss has no floor."""
    keras.utils.set_random_seed(311)
    (x, price), (x_held, price_held) = tables.houses(2000, 311)
    y, y_held = (price - price.mean()) / price.std(), (price_held - price.mean()) / price.std()
    model = keras.Sequential([layers.Input((6,)), layers.Dense(40, activation="relu")])
    model.add(layers.Dense(20, activation="relu"))
    model.add(layers.Dense(1))
    loss = keras.losses.BinaryCrossentropy(from_logits=True) if broken else keras.losses.MeanSquaredError()
    model.compile(keras.optimizers.Adam(2e-3), loss)
    held = (x_held, y_held.astype(np.float32))
    return Case(model, x, y.astype(np.float32), {"epochs": 12, "batch_size": 25, "validation_data": held, "verbose": 0})


PROGRAMS: tuple[Program, ...] = (
    Program(
        "softmax_layer_before_logits_loss",
        "output_loss",
        ("probabilities_as_logits",),
        "cnn1d",
        "digits",
        _softmax_layer_before_logits_loss,
    ),
    Program(
        "sigmoid_in_call_before_logits_loss",
        "output_loss",
        ("probabilities_as_logits",),
        "subclassed",
        "topics",
        _sigmoid_in_call_before_logits_loss,
    ),
    Program(
        "raw_scores_in_transformer",
        "output_loss",
        ("logits_as_probabilities",),
        "transformer",
        "machines",
        _raw_scores_in_transformer,
    ),
    Program(
        "one_head_without_softmax",
        "output_loss",
        ("logits_as_probabilities",),
        "several outputs",
        "houses",
        _one_head_without_softmax,
    ),
    Program("softmax_over_one_unit", "output_loss", ("softmax_on_one_unit",), "gru", "reviews", _softmax_over_one_unit),
    Program(
        "sigmoid_decoder_of_standardised",
        "output_loss",
        ("output_range",),
        "autoencoder",
        "cells",
        _sigmoid_decoder_of_standardised,
    ),
    Program("relu_forecast", "output_loss", ("output_range",), "lstm", "load", _relu_forecast),
    Program(
        "softmax_for_many_topics",
        "output_loss",
        ("loss_activation_mismatch",),
        "mlp",
        "topics",
        _softmax_for_many_topics,
    ),
    Program(
        "sigmoid_with_categorical",
        "output_loss",
        ("loss_activation_mismatch",),
        "functional",
        "topics",
        _sigmoid_with_categorical,
    ),
    Program(
        "absolute_error_on_digits",
        "output_loss",
        ("loss_unsuited_to_task",),
        "cnn2d",
        "digits",
        _absolute_error_on_digits,
    ),
    Program(
        "cross_entropy_on_prices", "output_loss", ("loss_unsuited_to_task",), "mlp", "houses", _cross_entropy_on_prices
    ),
)
