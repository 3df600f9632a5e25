"""Programs whose layers can't learn what is asked, for the way they are put together."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]

Tensor = Any  # of whichever backend


def linear_layers(broken: bool) -> Case:
    """Three `Dense` layers without an activation are one linear layer, and two moons need a curve."""
    keras.utils.set_random_seed(51)
    rows = data.moons(1500, noise=0.1, seed=51)
    activation = None if broken else "relu"
    model = keras.Sequential([
        keras.Input((2,)),
        layers.Dense(32, activation=activation),
        layers.Dense(32, activation=activation),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def deep_sigmoid(broken: bool) -> Case:
    """Eight hidden layers of sigmoids, as in books of the nineties: hardly any gradient reaches the first ones."""
    keras.utils.set_random_seed(52)
    rows = data.digits(seed=52)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten()])
    for _ in range(8):
        model.add(layers.Dense(32, activation="sigmoid" if broken else "relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 15, "batch_size": 32, "validation_data": rows.held_out})


def one_number_code(broken: bool) -> Case:
    """An autoencoder whose code is one number: no digit can be told from it."""
    keras.utils.set_random_seed(53)
    rows = data.digits(seed=53)
    image = keras.Input((8, 8, 1))
    x = layers.Dense(64, activation="relu")(layers.Flatten()(image))
    code = layers.Dense(1 if broken else 16, name="code")(x)
    x = layers.Dense(64, activation="relu")(code)
    model = keras.Model(image, layers.Reshape((8, 8, 1))(layers.Dense(64)(x)))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return Case(model, rows.x, rows.x, {"epochs": 12, "batch_size": 32, "validation_data": (rows.x_val, rows.x_val)})


def narrow_neck(broken: bool) -> Case:
    """Ten classes behind a hidden layer of one ReLU unit, left over from a quick trial."""
    keras.utils.set_random_seed(54)
    rows = data.mnist(2200, seed=54)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(1 if broken else 32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.RMSprop(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 32, "validation_data": rows.held_out})


class Encoder:
    """A plain class that holds layers: Keras looks into models and layers, lists and dicts, and not into this."""

    def __init__(self) -> None:
        self.first, self.second = layers.Dense(8, activation="tanh"), layers.Dense(8, activation="tanh")
        self.first.build((None, 3))
        self.second.build((None, 8))


class WithEncoder(keras.Model):  # type: ignore[misc]
    """Encodes each moment, averages over time and classifies."""

    def __init__(self, tracked: bool) -> None:
        super().__init__()
        self.encoder = Encoder()
        if tracked:
            self.parts = [self.encoder.first, self.encoder.second]
        self.pool, self.head = layers.GlobalMaxPooling1D(), layers.Dense(4, activation="softmax")

    def call(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.encoder.second(self.encoder.first(x))))


def layers_in_a_plain_object(broken: bool) -> Case:
    """Half of the model lives in an object that is no layer: its weights are used and never trained."""
    keras.utils.set_random_seed(55)
    rng = np.random.default_rng(55)
    y = rng.integers(0, 4, 1400)
    x = rng.normal(0, 0.6, (1400, 12, 3))
    x[np.arange(1400), rng.integers(0, 12, 1400)] = np.array([[2, 2, 0], [-2, 2, 0], [0, -2, 2], [2, -1, -2.0]])[y]
    rows = data.split(x.astype("float32"), y, seed=55)
    model = WithEncoder(tracked=not broken)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def stopped_encoder(broken: bool) -> Case:
    """A `stop_gradient` behind the encoder, copied from a model that trained it elsewhere: it stays as it began."""
    keras.utils.set_random_seed(56)
    rows = data.reviews(2000, length=16, seed=56)
    text = keras.Input((16,), dtype="int32")
    x = layers.Embedding(120, 4)(text)
    x = layers.Conv1D(8, 3, activation="relu")(x)
    x = layers.GlobalMaxPooling1D()(x)
    if broken:
        x = layers.Lambda(ops.stop_gradient, output_shape=(8,))(x)
    x = layers.Dense(8, activation="relu")(x)
    model = keras.Model(text, layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(0.006), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 5, "batch_size": 32, "validation_data": rows.held_out})


class TwoSources(keras.Model):  # type: ignore[misc]
    """A price from a table and from a curve; what comes of the curve can be lost on the way."""

    def __init__(self, lost: bool) -> None:
        super().__init__()
        self.lost = lost
        self.table, self.curve = layers.Dense(16, activation="relu"), layers.Dense(16, activation="relu")
        self.flat, self.head = layers.Flatten(), layers.Dense(1)

    def call(self, inputs: dict[str, Tensor]) -> Tensor:
        table, curve = self.table(inputs["table"]), self.curve(self.flat(inputs["curve"]))
        return self.head(ops.concatenate([table, table if self.lost else curve], axis=-1))


def branch_left_out(broken: bool) -> Case:
    """Of two branches one is concatenated twice: a slip of the pen, and the other branch has no gradient."""
    keras.utils.set_random_seed(57)
    houses, waves = data.houses(1500, seed=57), data.waves(1500, steps=12, seed=57)
    model = TwoSources(lost=broken)
    model.compile(keras.optimizers.Adam(0.005), "mse")
    held_out = ({"table": houses.x_val, "curve": waves.x_val}, houses.y_val + 2 * waves.y_val)
    x = {"table": houses.x, "curve": waves.x}
    return Case(model, x, houses.y + 2 * waves.y, {"epochs": 12, "batch_size": 32, "validation_data": held_out})


KIND = "architecture"
PROGRAMS = (
    Program("linear_layers", KIND, ("missing_activation",), "mlp", "made table", linear_layers),
    Program("deep_sigmoid", KIND, ("vanishing_gradient",), "deep mlp", "digits", deep_sigmoid),
    Program("one_number_code", KIND, ("too_few_units",), "autoencoder", "digits", one_number_code),
    Program("narrow_neck", KIND, ("too_few_units",), "cnn-2d", "images", narrow_neck),
    Program("layers_in_a_plain_object", KIND, ("untracked_weights",), "subclassed", "series", layers_in_a_plain_object),
    Program("stopped_encoder", KIND, ("broken_graph",), "cnn-1d", "text", stopped_encoder),
    Program("branch_left_out", KIND, ("broken_graph",), "subclassed, two inputs", "series and table", branch_left_out),
)
