"""Programs in which what should hold back overfitting holds back learning, or works in the wrong mode."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, regularizers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]

Tensor = Any  # of whichever backend


def share_to_keep(broken: bool) -> Case:
    """`Dropout(0.95)` where 95% were to be kept, as in TensorFlow 1: one unit in twenty is left."""
    keras.utils.set_random_seed(81)
    rows = data.digits(seed=81)
    rate = 0.95 if broken else 0.05
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Flatten(),
        layers.Dense(40, activation="relu"),
        layers.Dropout(rate),
        layers.Dense(24, activation="relu"),
        layers.Dropout(rate),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def penalty_of_one(broken: bool) -> Case:
    """`L2(1.0)` on every kernel: the penalty outweighs the loss, and the weights go to 0."""
    keras.utils.set_random_seed(82)
    rows = data.mnist(2400, seed=82)
    penalty = regularizers.L2(1.0 if broken else 1e-4)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu", kernel_regularizer=penalty),
        layers.Flatten(),
        layers.Dense(32, activation="relu", kernel_regularizer=penalty),
        layers.Dense(10, activation="softmax", kernel_regularizer=penalty),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 7, "batch_size": 40, "validation_data": rows.held_out})


def sparse_prices(broken: bool) -> Case:
    """An L1 penalty of 0.3 for "a sparse model" of prices around 2: nearly all weights are driven to nothing."""
    keras.utils.set_random_seed(83)
    rows = data.houses(1800, seed=83)
    penalty = regularizers.L1(0.3 if broken else 1e-5)
    table = keras.Input((8,))
    x = layers.Dense(32, activation="silu", kernel_regularizer=penalty)(table)
    x = layers.Dense(16, activation="silu", kernel_regularizer=penalty)(x)
    model = keras.Model(table, layers.Dense(1, kernel_regularizer=penalty)(x))
    model.compile(keras.optimizers.AdamW(0.005), "mse", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def pairs_under_batch_norm(broken: bool) -> Case:
    """`batch_size=2` for want of memory, and batch norm after every layer: of two rows it leaves only the order."""
    keras.utils.set_random_seed(84)
    rows = data.breast_cancer(seed=84)
    model = keras.Sequential([
        keras.Input((30,)),
        layers.Dense(16, use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("relu"),
        layers.Dense(8, use_bias=False),
        layers.BatchNormalization(momentum=0.9),
        layers.Activation("relu"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 6, "batch_size": 2 if broken else 24, "validation_data": rows.held_out}
    return Case(model, rows.x[:320], rows.y[:320], fit)


class AlwaysDropping(keras.Model):  # type: ignore[misc]
    """A classifier of texts; the flag it hands to dropout is the caller's, or always True."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always
        self.words, self.mean = layers.Embedding(121, 16), layers.GlobalAveragePooling1D()
        self.drop, self.head = layers.Dropout(0.4), layers.Dense(6, activation="sigmoid")

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return self.head(self.drop(self.mean(self.words(x)), training=self.always or training))


def dropout_never_off(broken: bool) -> Case:
    """`training=True` hard-wired, from an example on uncertainty: predictions are drawn by lot."""
    keras.utils.set_random_seed(85)
    rows = data.topics(1800, seed=85)
    model = AlwaysDropping(always=broken)
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["binary_accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 32, "validation_data": rows.held_out})


class OwnStatistics(layers.Layer):  # type: ignore[misc]
    """Dense, batch norm and ReLU; batch norm in inference mode, or as `fit` says."""

    def __init__(self, units: int, inference: bool) -> None:
        super().__init__()
        self.inference = inference
        self.dense = layers.Dense(units, kernel_initializer=keras.initializers.VarianceScaling(0.02))
        self.norm = layers.BatchNormalization(momentum=0.9)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        return keras.ops.relu(self.norm(self.dense(x), training=training and not self.inference))


def batch_norm_never_on(broken: bool) -> Case:
    """A block passes `training=False` to its batch norm: it never normalises by the batch, nor learns statistics."""
    keras.utils.set_random_seed(86)
    rows = data.digits(seed=86)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten()])
    for units in (48, 32, 32, 24):
        model.add(OwnStatistics(units, inference=broken))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 40, "validation_data": rows.held_out})


KIND = "regularisation"
PROGRAMS = (
    Program("share_to_keep", KIND, ("dropout_too_high",), "mlp", "digits", share_to_keep),
    Program("penalty_of_one", KIND, ("penalty_too_strong",), "cnn-2d", "images", penalty_of_one),
    Program("sparse_prices", KIND, ("penalty_too_strong",), "functional", "made table", sparse_prices),
    Program(
        "pairs_under_batch_norm",
        KIND,
        ("tiny_batches_under_batch_norm",),
        "mlp, batch norm",
        "table",
        pairs_under_batch_norm,
    ),
    Program("dropout_never_off", KIND, ("training_flag_ignored",), "subclassed", "text", dropout_never_off),
    Program("batch_norm_never_on", KIND, ("training_flag_ignored",), "own layers", "digits", batch_norm_never_on),
)
