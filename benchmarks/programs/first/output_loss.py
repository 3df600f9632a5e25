"""Programs whose last activation, loss and task don't fit together.

On TensorFlow, Keras finds the logits behind a softmax or sigmoid and hides the first two mistakes, unless an
operation comes between the activation and the loss. It does in these programs: they are as wrong on every backend.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def averaged_towers(broken: bool) -> Case:
    """The loss takes the mean of two softmaxes for logits: `from_logits=True` stayed from the model with one tower."""
    keras.utils.set_random_seed(1)
    rows = data.digits()
    image = keras.Input((8, 8, 1))
    towers = []
    for size in (2, 3):
        x = layers.Conv2D(12, size, activation="relu")(image)
        x = layers.Flatten()(layers.MaxPooling2D()(x))
        towers.append(layers.Dense(10, activation="softmax")(x))
    model = keras.Model(image, layers.Average()(towers))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=broken)
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss, metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


class Pair(keras.Model):  # type: ignore[misc]
    """Says how alike two halves of a row are, as a clipped probability."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = layers.Dense(32, activation="gelu")
        self.score = layers.Dense(1)

    def call(self, x: Any) -> Any:
        return ops.clip(ops.sigmoid(self.score(self.hidden(x))), 1e-6, 1 - 1e-6)


def clipped_probability(broken: bool) -> Case:
    """The model already returns a (clipped) probability, and the loss puts a sigmoid over it once more."""
    keras.utils.set_random_seed(2)
    rows = data.moons(1200, noise=0.2, seed=2)
    model = Pair()
    loss = keras.losses.BinaryCrossentropy(from_logits=broken)
    model.compile(keras.optimizers.RMSprop(0.02), loss, metrics=["accuracy"])
    held_out = (rows.x_val, rows.y_val[:, None])
    return Case(model, rows.x, rows.y[:, None], {"epochs": 15, "batch_size": 48, "validation_data": held_out})


def linear_wine(broken: bool) -> Case:
    """`Dense(3)` as in a tutorial that sets from_logits=True, and the loss by its name, which does not."""
    keras.utils.set_random_seed(3)
    rows = data.wine()
    model = keras.Sequential([keras.Input((13,)), layers.Dense(16, activation="relu"), layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy" if broken else loss, metrics=["accuracy"]
    )
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 12, "validation_data": rows.held_out})


def linear_motion(broken: bool) -> Case:
    """Still or moving, told by a plain `Dense(1)` under `binary_crossentropy`: the sigmoid was forgotten."""
    keras.utils.set_random_seed(4)
    rows = data.motion(1300, classes=2, seed=4)
    model = keras.Sequential([
        keras.Input((32, 3)),
        layers.Conv1D(12, 7, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(1, activation=None if broken else "sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.03, momentum=0.9), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 32, "validation_data": rows.held_out})


def softmax_over_one(broken: bool) -> Case:
    """Softmax on the one unit of a binary classifier, carried over from one with many classes: it always says 1."""
    keras.utils.set_random_seed(5)
    rows = data.reviews(1600, length=16, seed=5)
    text = keras.Input((16,), dtype="int32")
    x = layers.Embedding(120, 8, mask_zero=True)(text)
    x = layers.Bidirectional(layers.GRU(8))(x)
    model = keras.Model(text, layers.Dense(1, activation="softmax" if broken else "sigmoid")(x))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 4, "batch_size": 40, "validation_data": rows.held_out})


def sigmoid_on_diabetes(broken: bool) -> Case:
    """A regression that kept the sigmoid of a classifier: its targets run from 25 to 346."""
    keras.utils.set_random_seed(6)
    rows = data.diabetes()
    model = keras.Sequential([
        keras.Input((10,)),
        layers.Dense(8, activation="relu"),
        layers.Dense(1, activation="sigmoid" if broken else None, bias_initializer=keras.initializers.Constant(100)),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.05), "mae", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 15, "batch_size": 32, "validation_data": rows.held_out})


def tanh_forecast(broken: bool) -> Case:
    """A forecast through tanh, as the recurrent layer uses it, of a series that swings between -3 and 3."""
    keras.utils.set_random_seed(7)
    rows = data.waves(1200, steps=16, scale=2.0, seed=7)
    model = keras.Sequential([
        keras.Input((16, 1)),
        layers.LSTM(16),
        layers.Dense(1, activation="tanh" if broken else None),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 48, "validation_data": rows.held_out})


def softmax_tags(broken: bool) -> Case:
    """Several topics hold at once, each judged by binary cross-entropy; softmax makes them compete."""
    keras.utils.set_random_seed(8)
    rows = data.topics(seed=8)
    text = keras.Input((20,), dtype="int32")
    x = layers.Embedding(121, 16)(text)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 8)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(16)(layers.Dense(24, activation="gelu")(x)))
    x = layers.GlobalMaxPooling1D()(x)
    model = keras.Model(text, layers.Dense(6, activation="softmax" if broken else "sigmoid")(x))
    model.compile(keras.optimizers.Nadam(0.004), "binary_crossentropy", metrics=["binary_accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 6, "batch_size": 24, "validation_data": rows.held_out})


def digits_as_numbers(broken: bool) -> Case:
    """Ten kinds of digit learnt as one number with squared error, as if a 9 were nearer to an 8 than to a 4."""
    keras.utils.set_random_seed(9)
    rows = data.mnist(2400)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(1) if broken else layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), "mse" if broken else "sparse_categorical_crossentropy")
    return Case(model, rows.x, rows.y, {"epochs": 7, "batch_size": 32, "validation_data": rows.held_out})


def class_loss_on_prices(broken: bool) -> Case:
    """Categorical cross-entropy on a price: over one output it is constant, and nothing is learnt."""
    keras.utils.set_random_seed(10)
    rows = data.houses(1500, seed=10)
    model = keras.Sequential([
        keras.Input((8,)),
        layers.Dense(32, activation="relu"),
        layers.Dense(16, activation="relu"),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.004), "categorical_crossentropy" if broken else "mse", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


KIND = "output_loss"
PROGRAMS = (
    Program("averaged_towers", KIND, ("probabilities_as_logits",), "cnn-2d", "digits", averaged_towers),
    Program("clipped_probability", KIND, ("probabilities_as_logits",), "subclassed", "made table", clipped_probability),
    Program("linear_wine", KIND, ("logits_as_probabilities",), "mlp", "table", linear_wine),
    Program("linear_motion", KIND, ("logits_as_probabilities",), "cnn-1d", "series", linear_motion),
    Program("softmax_over_one", KIND, ("softmax_on_one_unit",), "gru", "text", softmax_over_one),
    Program("sigmoid_on_diabetes", KIND, ("output_range",), "mlp", "table", sigmoid_on_diabetes),
    Program("tanh_forecast", KIND, ("output_range",), "lstm", "series", tanh_forecast),
    Program("softmax_tags", KIND, ("loss_activation_mismatch",), "transformer", "text", softmax_tags),
    Program("digits_as_numbers", KIND, ("loss_unsuited_to_task",), "cnn-2d", "images", digits_as_numbers),
    Program("class_loss_on_prices", KIND, ("loss_unsuited_to_task",), "mlp", "made table", class_loss_on_prices),
)
