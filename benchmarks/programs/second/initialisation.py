"""Programs that start from weights from which nothing good can come."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def factors_of_zero(broken: bool) -> Case:
    """Users and films both start at 0: each is the other's gradient, so their product stays 0 for ever."""
    keras.utils.set_random_seed(701)
    user, film, liked = data.ratings()
    start = "zeros" if broken else keras.initializers.RandomNormal(stddev=0.3)
    one, other = layers.Input((), dtype="int32"), layers.Input((), dtype="int32")
    users = layers.Embedding(60, 6, embeddings_initializer=start)(one)
    films = layers.Embedding(40, 6, embeddings_initializer=start)(other)
    bias = layers.Add()([layers.Embedding(60, 1)(one), layers.Embedding(40, 1)(other)])
    model = keras.Model([one, other], layers.Add()([layers.Dot(axes=1)([users, films]), bias]))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    held = ([user[4000:], film[4000:]], liked[4000:, None])
    fit = {"epochs": 10, "batch_size": 50, "validation_data": held}
    return Case(model, [user[:4000], film[:4000]], liked[:4000, None], fit)


class Projection(layers.Layer):  # type: ignore[misc]
    """A dense layer of one's own."""

    def __init__(self, units: int, start: Any) -> None:
        super().__init__()
        self.units, self.start = units, start

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), initializer=self.start, name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        return ops.tanh(ops.matmul(x, self.kernel) + self.bias)


def own_layer_all_alike(broken: bool) -> Case:
    """A layer of one's own starts every weight at 0.05: its units are copies of each other, before and after."""
    keras.utils.set_random_seed(702)
    (x, arm), held = data.split(*data.spirals())
    start = keras.initializers.Constant(0.05) if broken else "he_normal"
    shape = [layers.Input((2,)), layers.Rescaling(2.0), Projection(48, start), Projection(48, start)]
    model = keras.Sequential([*shape, layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Case(
        model, x, arm[:, None], {"epochs": 15, "batch_size": 24, "validation_data": (held[0], held[1][:, None])}
    )


def prior_on_every_layer(broken: bool) -> Case:
    """The bias of -log(0.99 / 0.01), meant for a detector's last layer, is given to all: ReLU never fires."""
    keras.utils.set_random_seed(703)
    (x, mask), (x_val, mask_val) = data.split(*data.scenes())
    wanted, wanted_val = ((m == 1).astype("float32")[..., None] for m in (mask, mask_val))
    prior = keras.initializers.Constant(-np.log(0.99 / 0.01))
    hidden: dict[str, Any] = {"padding": "same", "activation": "relu"}
    if broken:
        hidden["bias_initializer"] = prior
    model = keras.Sequential(
        [
            layers.Input((16, 16, 1)),
            layers.Conv2D(12, 3, **hidden),
            layers.Conv2D(12, 5, **hidden),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid", bias_initializer=prior),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "binary_crossentropy")
    return Case(model, x, wanted, {"epochs": 10, "batch_size": 20, "validation_data": (x_val, wanted_val)})


def tanh_at_its_ends(broken: bool) -> Case:
    """Normal weights of deviation 1 over 784 pixels: tanh stands at -1 or 1 for every picture."""
    keras.utils.set_random_seed(704)
    (x, digit), held = data.split(*data.mnist(4000))
    start = keras.initializers.RandomNormal(stddev=1.0) if broken else "glorot_uniform"
    shape: list[Any] = [layers.Input((28, 28, 1)), layers.Flatten()]
    for units in (64, 64, 32):
        shape.append(layers.Dense(units, activation="tanh", kernel_initializer=start))
    model = keras.Sequential([*shape, layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 5, "batch_size": 32, "validation_data": held})


def drawn_between_minus_one_and_one(broken: bool) -> Case:
    """All kernels are drawn from -1..1, as in a course's NumPy network: outputs in the thousands, and such a loss."""
    keras.utils.set_random_seed(705)
    (x, digit), held = data.split(*data.digits())
    start = keras.initializers.RandomUniform(-1.0, 1.0) if broken else "he_uniform"
    inputs = layers.Input((8, 8, 1))
    hidden = layers.Conv2D(16, 3, activation="relu", kernel_initializer=start)(inputs)
    hidden = layers.Conv2D(24, 3, activation="relu", kernel_initializer=start)(hidden)
    hidden = layers.Dense(48, activation="relu", kernel_initializer=start)(layers.Flatten()(hidden))
    hidden = layers.Dense(48, activation="relu", kernel_initializer=start)(hidden)
    model = keras.Model(inputs, layers.Dense(10, kernel_initializer=start)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.0008), loss, metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 8, "batch_size": 32, "validation_data": held})


PROGRAMS = (
    Program("factors_of_zero", "initialisation", ("zero_initialisation",), "embedding", "ratings", factors_of_zero),
    Program(
        "own_layer_all_alike", "initialisation", ("zero_initialisation",), "own layer", "table", own_layer_all_alike
    ),
    Program("prior_on_every_layer", "initialisation", ("dead_relu",), "segmentation", "images", prior_on_every_layer),
    Program(
        "tanh_at_its_ends",
        "initialisation",
        ("saturated_units", "initial_weights_too_large"),
        "MLP",
        "images",
        tanh_at_its_ends,
    ),
    Program(
        "drawn_between_minus_one_and_one",
        "initialisation",
        ("initial_weights_too_large",),
        "CNN",
        "images",
        drawn_between_minus_one_and_one,
    ),
)
