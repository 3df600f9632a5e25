"""Programs whose last activation and loss don't belong together, or not to the task."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def pixels_softmax_twice(broken: bool) -> Case:
    """Softmax on each pixel, then a Reshape, and a loss copied from elsewhere with `from_logits=True`."""
    keras.utils.set_random_seed(101)
    (x, mask), (x_val, mask_val) = data.split(*data.scenes())
    inputs = layers.Input((16, 16, 1))
    fine = layers.Conv2D(12, 3, padding="same", activation="relu")(inputs)
    coarse = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(fine))
    both = layers.Concatenate()([fine, layers.UpSampling2D()(coarse)])
    pixel = layers.Conv2D(3, 1, activation="softmax")(both)
    model = keras.Model(inputs, layers.Reshape((256, 3))(pixel))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=broken)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    flat, flat_val = mask.reshape(-1, 256), mask_val.reshape(-1, 256)
    return Case(model, x, flat, {"epochs": 10, "batch_size": 16, "validation_data": (x_val, flat_val)})


def topic_without_softmax(broken: bool) -> Case:
    """Of two heads one ends in Dense with no softmax, and its loss is the string, which expects probabilities."""
    keras.utils.set_random_seed(102)
    x, topic = data.documents()
    urgent = np.isin(topic, (1, 4, 6)).astype("float32")
    (x, topic), (x_val, topic_val) = data.split(x, np.stack([topic, urgent], 1))
    inputs = layers.Input((24,), dtype="int32")
    pooled = layers.GlobalAveragePooling1D()(layers.Embedding(300, 24)(inputs))
    shared = layers.Dense(32, activation="relu")(pooled)
    heads = {
        "topic": layers.Dense(8, activation=None if broken else "softmax", name="topic")(shared),
        "urgent": layers.Dense(1, activation="sigmoid", name="urgent")(shared),
    }
    model = keras.Model(inputs, heads)
    losses = {"topic": "sparse_categorical_crossentropy", "urgent": "binary_crossentropy"}
    model.compile(keras.optimizers.Adam(0.004), losses)
    y, y_val = ({"topic": t[:, 0].astype("int32"), "urgent": t[:, 1:]} for t in (topic, topic_val))
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": (x_val, y_val)})


class Judge(keras.Model):  # type: ignore[misc]
    """Reads a review with a GRU and ends, in its `call`, in softmax or sigmoid of one number."""

    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.softmax = softmax
        self.words, self.read, self.score = layers.Embedding(200, 16, mask_zero=True), layers.GRU(16), layers.Dense(1)

    def call(self, x: Any) -> Any:
        words = self.words(x)
        score = self.score(self.read(words, mask=self.words.compute_mask(x)))
        return ops.softmax(score, axis=-1) if self.softmax else ops.sigmoid(score)


def softmax_of_one_in_call(broken: bool) -> Case:
    """`ops.softmax` over the single number of a yes-or-no model: 1 for every review, whatever was read."""
    keras.utils.set_random_seed(103)
    (x, good), held = data.split(*data.opinions(length=24))
    model = Judge(softmax=broken)
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["binary_accuracy"])
    return Case(model, x, good, {"epochs": 5, "batch_size": 32, "validation_data": held})


def sigmoid_over_standardised(broken: bool) -> Case:
    """An autoencoder with the sigmoid of a tutorial on pictures, over a standardised table, beyond 0 and 1."""
    keras.utils.set_random_seed(104)
    x, y = data.cancer()
    (x, _), (x_val, _) = data.split(x, y)
    model = keras.Sequential(
        [
            layers.Input((30,)),
            layers.Dense(24, activation="elu"),
            layers.Dense(8),
            layers.Dense(24, activation="elu"),
            layers.Dense(30, activation="sigmoid" if broken else None),
        ]
    )
    model.compile(keras.optimizers.Nadam(0.004), "mse")
    return Case(model, x, x, {"epochs": 15, "batch_size": 16, "validation_data": (x_val, x_val)})


def relu_on_change(broken: bool) -> Case:
    """ReLU on the last layer of a forecast of changes, because demand can't be negative; changes can."""
    keras.utils.set_random_seed(105)
    x, y = data.load_curve()
    change = data.standardised(y - x[:, -1])
    order = np.random.default_rng(0).permutation(len(x))
    (x, change), held = data.split(x[order], change[order])
    model = keras.Sequential(
        [
            layers.Input((24, 1)),
            layers.Conv1D(16, 5, activation="relu"),
            layers.Conv1D(16, 5, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(16, activation="tanh"),
            layers.Dense(1, activation="relu" if broken else "linear"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "mae")
    return Case(model, x, change, {"epochs": 10, "batch_size": 32, "validation_data": held})


def tags_in_competition(broken: bool) -> Case:
    """Softmax, as there are more than two names, over labels of which several hold, with binary_crossentropy."""
    keras.utils.set_random_seed(106)
    (x, y), held = data.split(*data.tickets())
    inputs = layers.Input((16,))
    hidden = layers.Dense(48, activation="gelu")(inputs)
    hidden = layers.Dense(24, activation="gelu")(hidden)
    outputs = layers.Dense(5)(hidden)
    outputs = layers.Softmax()(outputs) if broken else layers.Activation("sigmoid")(outputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.AdamW(0.004), "binary_crossentropy", metrics=["binary_accuracy"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 40, "validation_data": held})


def huber_on_topics(broken: bool) -> Case:
    """The number of a topic is regressed with a Huber loss: topics 2 and 3 are no nearer to each other than 2 and 7."""
    keras.utils.set_random_seed(107)
    (x, topic), held = data.split(*data.documents())
    model = keras.Sequential(
        [
            layers.Input((24,), dtype="int32"),
            layers.Embedding(300, 20),
            layers.SeparableConv1D(24, 3, activation="relu"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1) if broken else layers.Dense(8, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.RMSprop(0.004), "huber" if broken else "sparse_categorical_crossentropy")
    return Case(model, x, topic, {"epochs": 10, "batch_size": 25, "validation_data": held})


PROGRAMS = (
    Program(
        "pixels_softmax_twice",
        "output_loss",
        ("probabilities_as_logits",),
        "segmentation",
        "images",
        pixels_softmax_twice,
    ),
    Program(
        "topic_without_softmax",
        "output_loss",
        ("logits_as_probabilities",),
        "two heads over embedding",
        "text",
        topic_without_softmax,
    ),
    Program(
        "softmax_of_one_in_call",
        "output_loss",
        ("softmax_on_one_unit",),
        "subclassed GRU",
        "text",
        softmax_of_one_in_call,
    ),
    Program(
        "sigmoid_over_standardised",
        "output_loss",
        ("output_range",),
        "autoencoder",
        "table",
        sigmoid_over_standardised,
    ),
    Program("relu_on_change", "output_loss", ("output_range",), "1-D CNN", "series", relu_on_change),
    Program(
        "tags_in_competition",
        "output_loss",
        ("loss_activation_mismatch",),
        "functional MLP",
        "table",
        tags_in_competition,
    ),
    Program("huber_on_topics", "output_loss", ("loss_unsuited_to_task",), "1-D CNN", "text", huber_on_topics),
)
