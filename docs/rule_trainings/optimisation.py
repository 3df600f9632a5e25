"""Optimisation: how far each step goes, and in which direction."""

import keras
import numpy as np
from keras import layers, ops
from keras.initializers import Orthogonal, RandomNormal
from keras.optimizers import SGD, Adam
from keras.optimizers.schedules import ExponentialDecay

from rule_trainings.made import amounts, blobs

__all__ = [
    "clipping_too_tight",
    "exploding_gradient",
    "gradient_not_finite",
    "learning_rate_too_high",
    "learning_rate_too_low",
    "negative_learning_rate",
    "schedule_dies",
]


def regressor(optimizer, loss="mse"):
    """A hidden layer and a number, compiled."""
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(16, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((4,)), hidden, layers.Dense(1, name="head")])
    model.compile(optimizer, loss)
    return model


def learning_rate_too_high(mended):
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(16, activation="tanh", name="hidden")
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02 if mended else 5.0), "sparse_categorical_crossentropy")
    return model, blobs(spread=0.5), {"epochs": 6, "batch_size": 24}


def learning_rate_too_low(mended):
    return regressor(Adam(0.02 if mended else 1e-6)), amounts(), {"epochs": 8, "batch_size": 24}


def minus_squares(y_true, y_pred):
    return -ops.mean(ops.square(y_true - y_pred), axis=-1)


def squares(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def negative_learning_rate(mended):
    return regressor(Adam(0.02), squares if mended else minus_squares), amounts(), {"epochs": 8, "batch_size": 24}


def clipping_too_tight(mended):
    optimizer = SGD(0.05, clipnorm=1.0 if mended else 1e-3)
    return regressor(optimizer), amounts(), {"epochs": 8, "batch_size": 24}


def schedule_dies(mended):
    schedule = ExponentialDecay(0.02, decay_steps=100 if mended else 1, decay_rate=0.7)
    return regressor(SGD(schedule)), amounts(), {"epochs": 8, "batch_size": 24}


def exploding_gradient(mended):
    keras.utils.set_random_seed(3)
    begin = Orthogonal(seed=0) if mended else RandomNormal(stddev=1.0, seed=0)
    series = np.random.default_rng(0).normal(size=(240, 30, 2)).astype("float32")
    memory = layers.SimpleRNN(16, recurrent_initializer=begin, name="memory")
    model = keras.Sequential([keras.Input((30, 2)), memory, layers.Dense(1)])
    model.compile(Adam(0.01), "mse")
    return model, (series, series[:, -3:, 0].sum(axis=1, keepdims=True)), {"epochs": 12, "batch_size": 24}


class Distance(layers.Layer):
    def __init__(self, least):
        super().__init__(name="distance")
        self.least = least

    def call(self, x, decoded):
        squares = ops.sum(ops.square(x - decoded), axis=-1)
        self.add_loss(ops.mean(ops.sqrt(squares + self.least)))
        return decoded


def gradient_not_finite(mended):
    keras.utils.set_random_seed(3)
    x, _ = blobs()
    x[::10] = 0  # empty rows, which the model gives back exactly
    inputs = keras.Input((6,))
    decoded = layers.Dense(6)(layers.Dense(3, activation="relu")(inputs))
    model = keras.Model(inputs, Distance(1e-6 if mended else 0.0)(inputs, decoded))
    model.compile(Adam(0.05))
    return model, (x, None), {"epochs": 20, "batch_size": 24}
