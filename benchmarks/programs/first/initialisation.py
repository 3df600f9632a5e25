"""Programs that begin from weights from which little can be learnt."""

from __future__ import annotations

import keras
from keras import initializers, layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def all_zero(broken: bool) -> Case:
    """Kernels that begin at 0, "to start from nothing": hidden units stay 0, and only the last bias learns."""
    keras.utils.set_random_seed(61)
    rows = data.breast_cancer(seed=61)
    start = "zeros" if broken else "glorot_uniform"
    model = keras.Sequential([
        keras.Input((30,)),
        layers.Dense(12, activation="relu", kernel_initializer=start),
        layers.Dense(6, activation="relu", kernel_initializer=start),
        layers.Dense(1, activation="sigmoid", kernel_initializer=start),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 24, "validation_data": rows.held_out})


def all_equal(broken: bool) -> Case:
    """Every weight of the hidden layer begins as 0.1: its units stay copies of each other, one unit in effect."""
    keras.utils.set_random_seed(62)
    rows = data.digits(seed=62)
    start = initializers.Constant(0.1) if broken else initializers.GlorotUniform()
    end = initializers.Constant(0.1) if broken else initializers.GlorotUniform()
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Flatten(),
        layers.Dense(32, activation="tanh", kernel_initializer=start),
        layers.Dense(10, activation="softmax", kernel_initializer=end),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def below_zero(broken: bool) -> Case:
    """Filters drawn around -0.15 and pixels that are never negative: most ReLU units don't fire for any image."""
    keras.utils.set_random_seed(63)
    rows = data.mnist(2600, seed=63)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Flatten(),
        layers.Dense(48, activation="relu", kernel_initializer=initializers.RandomNormal(-0.15 if broken else 0, 0.08)),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.RMSprop(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 48, "validation_data": rows.held_out})


def bias_of_minus_ten(broken: bool) -> Case:
    """A bias of -10 meant for the rare-class output stands on the first ReLU layer too, and it is dead."""
    keras.utils.set_random_seed(64)
    rows = data.houses(1600, seed=64)
    bias = initializers.Constant(-10.0 if broken else 0.0)
    table = keras.Input((8,))
    x = layers.Dense(24, activation="relu", bias_initializer=bias)(table)
    x = layers.Dense(24, activation="relu")(x)
    model = keras.Model(table, layers.Dense(1)(x))
    model.compile(keras.optimizers.Adam(0.004), "mse", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def saturated_tanh(broken: bool) -> Case:
    """Weights of deviation 3 under tanh: nearly all units sit at -1 or 1 and hardly move from there."""
    keras.utils.set_random_seed(65)
    rows = data.digits(seed=65)
    start = initializers.RandomNormal(stddev=3.0) if broken else "glorot_normal"
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Flatten(),
        layers.Dense(32, activation="tanh", kernel_initializer=start),
        layers.Dense(32, activation="tanh", kernel_initializer=start),
        layers.Dense(32, activation="tanh", kernel_initializer=start),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def normal_of_deviation_one(broken: bool) -> Case:
    """Weights from `RandomNormal(stddev=1)`, as `tf.random_normal` of old drew them: logits in the hundreds."""
    keras.utils.set_random_seed(66)
    rows = data.mnist(2600, seed=66)
    start = initializers.RandomNormal(stddev=1.0) if broken else "he_normal"
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Flatten(),
        layers.Dense(64, activation="relu", kernel_initializer=start),
        layers.Dense(64, activation="relu", kernel_initializer=start),
        layers.Dense(10, kernel_initializer=initializers.RandomNormal(stddev=1.0) if broken else "glorot_uniform"),
    ])  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.0015), loss, metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 7, "batch_size": 48, "validation_data": rows.held_out})


KIND = "initialisation"
PROGRAMS = (
    Program("all_zero", KIND, ("zero_initialisation",), "mlp", "table", all_zero),
    Program("all_equal", KIND, ("zero_initialisation",), "mlp", "digits", all_equal),
    Program("below_zero", KIND, ("dead_relu",), "mlp", "images", below_zero),
    Program("bias_of_minus_ten", KIND, ("dead_relu",), "functional", "made table", bias_of_minus_ten),
    Program("saturated_tanh", KIND, ("saturated_units", "initial_weights_too_large"), "mlp", "digits", saturated_tanh),
    Program("normal_of_deviation_one", KIND, ("initial_weights_too_large",), "mlp", "images", normal_of_deviation_one),
)
