"""Programs whose model can't compute or can't learn what it should."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


class Regressor(keras.Model):  # type: ignore[misc]
    """Two hidden layers; the activation made in `__init__` is applied, or forgotten, in `call`."""

    def __init__(self, forgetful: bool) -> None:
        super().__init__()
        self.wide, self.narrow, self.last = layers.Dense(64), layers.Dense(32), layers.Dense(3)
        self.activation, self.forgetful = layers.LeakyReLU(0.1), forgetful

    def call(self, x: Any) -> Any:
        x = self.wide(x) if self.forgetful else self.activation(self.wide(x))
        x = self.narrow(x) if self.forgetful else self.activation(self.narrow(x))
        return self.last(x)


def activation_never_called(broken: bool) -> Case:
    """The activation is made in `__init__` and never called in `call`: three linear layers are one."""
    keras.utils.set_random_seed(601)
    (x, wear), held = data.split(*data.scored())
    model = Regressor(forgetful=broken)
    model.compile(keras.optimizers.Adam(0.005), "mse", metrics=["mae"])
    return Case(model, x, wear, {"epochs": 12, "batch_size": 24, "validation_data": held})


def spiral_in_straight_lines(broken: bool) -> Case:
    """`activation=None` was handed down from a settings file to every hidden layer: no line parts a spiral."""
    keras.utils.set_random_seed(602)
    (x, arm), held = data.split(*data.spirals())
    active = None if broken else "relu"
    inputs = layers.Input((2,))
    hidden = layers.Dense(64, activation=active)(inputs)
    for _ in range(2):
        hidden = layers.Dense(64, activation=active)(hidden)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    return Case(
        model, x, arm[:, None], {"epochs": 15, "batch_size": 24, "validation_data": (held[0], held[1][:, None])}
    )


def deep_sigmoid_convolutions(broken: bool) -> Case:
    """Ten convolutions, each with a sigmoid: what comes back to the first is a quarter to the tenth."""
    keras.utils.set_random_seed(603)
    (x, kind), held = data.split(*data.waves())
    hidden = inputs = layers.Input((64, 1))
    for depth in range(10):
        strides = 2 if depth in (0, 2, 4) else 1
        form = {"activation": "sigmoid"} if broken else {"activation": "relu", "kernel_initializer": "he_normal"}
        hidden = layers.Conv1D(12, 5, strides=strides, padding="same", **form)(hidden)
    pooled = layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax")(pooled))
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 10, "batch_size": 30, "validation_data": held})


def one_number_for_eight_topics(broken: bool) -> Case:
    """A layer of one unit, left from a yes-or-no model, sits between the text and eight topics."""
    keras.utils.set_random_seed(604)
    (x, topic), held = data.split(*data.documents())
    model = keras.Sequential(
        [
            layers.Input((24,), dtype="int32"),
            layers.Embedding(300, 24),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1 if broken else 24, activation="tanh"),
            layers.Dense(8, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, topic, {"epochs": 10, "batch_size": 30, "validation_data": held})


def code_of_one(broken: bool) -> Case:
    """The code of an autoencoder of digits has one number, as ten kinds of digits seemed to need no more."""
    keras.utils.set_random_seed(605)
    x, digit = data.digits()
    (x, _), (x_val, _) = data.split(x, digit)
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(12, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(1 if broken else 20),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="sigmoid"),
            layers.Reshape((8, 8, 1)),
        ]
    )
    model.compile(keras.optimizers.Adam(0.004), "binary_crossentropy", metrics=["mse"])
    return Case(model, x, x, {"epochs": 12, "batch_size": 24, "validation_data": (x_val, x_val)})


class Tower:
    """Layers in a plain Python object, which Keras doesn't look into."""

    def __init__(self) -> None:
        self.hidden, self.code = layers.Dense(24, activation="relu"), layers.Dense(5)
        self.hidden.build((None, 64))
        self.code.build((None, 24))

    def __call__(self, x: Any) -> Any:
        return self.code(self.hidden(x))


class Reader(keras.Model):  # type: ignore[misc]
    """Reads a digit through a tower, whose layers it may have made its own."""

    def __init__(self, tracked: bool) -> None:
        super().__init__()
        self.tower = Tower()
        self.parts = [self.tower.hidden, self.tower.code] if tracked else []
        self.head = [layers.Dense(24, activation="relu"), layers.Dense(10, activation="softmax")]

    def call(self, x: Any) -> Any:
        return self.head[1](self.head[0](self.tower(ops.reshape(x, (-1, 64)))))


def tower_in_a_plain_object(broken: bool) -> Case:
    """Layers live in an object that is no Layer: the model doesn't know them, and they stay as drawn."""
    keras.utils.set_random_seed(606)
    (x, digit), held = data.split(*data.digits())
    model = Reader(tracked=not broken)
    model.compile(keras.optimizers.Adam(0.006), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 10, "batch_size": 32, "validation_data": held})


class Both(keras.Model):  # type: ignore[misc]
    """Reads a series and a few figures; joins what it made of them, or takes the figures twice."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.twice = twice
        self.read = layers.GRU(16)
        self.figures, self.last = layers.Dense(16, activation="relu"), layers.Dense(4, activation="softmax")

    def call(self, inputs: Any) -> Any:
        series, figures = self.read(inputs["series"]), self.figures(inputs["figures"])
        return self.last(ops.concatenate([figures if self.twice else series, figures], axis=-1))


def figures_taken_twice(broken: bool) -> Case:
    """A slip in `concatenate([...])` takes one branch twice: what reads the series gets no gradient."""
    keras.utils.set_random_seed(607)
    x, kind = data.motions()
    figures = np.stack([x.mean((1, 2)), x.std((1, 2)), x[..., 0].std(1)], 1)
    figures = data.standardised(figures)
    y, y_val = kind[:900], kind[900:]
    model = Both(twice=broken)
    model.compile(keras.optimizers.Adam(0.006), "sparse_categorical_crossentropy", metrics=["accuracy"])
    held = ({"series": x[900:, ::2], "figures": figures[900:]}, y_val)
    fit = {"epochs": 8, "batch_size": 24, "validation_data": held}
    return Case(model, {"series": x[:900, ::2], "figures": figures[:900]}, y, fit)


def stopped_at_the_encoder(broken: bool) -> Case:
    """A `stop_gradient`, put in while the head was tried out over a fixed encoder, was forgotten there."""
    keras.utils.set_random_seed(608)
    (x, topic), held = data.split(*data.documents())
    inputs = layers.Input((24,), dtype="int32")
    words = layers.Embedding(300, 12)(inputs)
    seen = layers.Add()([words, layers.MultiHeadAttention(2, 6)(words, words)])
    code = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(seen))
    head = layers.Dense(24, activation="relu")(ops.stop_gradient(code) if broken else code)
    model = keras.Model(inputs, layers.Dense(8, activation="softmax")(head))
    model.compile(keras.optimizers.Adam(0.004), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, topic, {"epochs": 8, "batch_size": 30, "validation_data": held})


PROGRAMS = (
    Program(
        "activation_never_called",
        "architecture",
        ("missing_activation",),
        "subclassed MLP",
        "table",
        activation_never_called,
    ),
    Program(
        "spiral_in_straight_lines",
        "architecture",
        ("missing_activation",),
        "functional MLP",
        "table",
        spiral_in_straight_lines,
    ),
    Program(
        "deep_sigmoid_convolutions",
        "architecture",
        ("vanishing_gradient",),
        "1-D CNN",
        "series",
        deep_sigmoid_convolutions,
    ),
    Program(
        "one_number_for_eight_topics",
        "architecture",
        ("too_few_units",),
        "embedding",
        "text",
        one_number_for_eight_topics,
    ),
    Program("code_of_one", "architecture", ("too_few_units",), "autoencoder", "images", code_of_one),
    Program(
        "tower_in_a_plain_object",
        "architecture",
        ("untracked_weights",),
        "subclassed MLP",
        "images",
        tower_in_a_plain_object,
    ),
    Program(
        "figures_taken_twice",
        "architecture",
        ("broken_graph",),
        "subclassed, two inputs",
        "series",
        figures_taken_twice,
    ),
    Program("stopped_at_the_encoder", "architecture", ("broken_graph",), "transformer", "text", stopped_at_the_encoder),
)
