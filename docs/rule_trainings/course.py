"""The course of training: what came of it, and when it ended."""

import keras
from keras import layers, ops
from keras.callbacks import EarlyStopping
from keras.optimizers import SGD, Adam

from rule_trainings.made import blobs

__all__ = [
    "collapsed_predictions",
    "early_stopping_wrong_way",
    "loss_not_falling",
    "overfitting",
    "too_few_epochs",
]


def network(optimizer, *first, units=16, begin="glorot_uniform"):
    """Layers before a softmax over four classes, compiled."""
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(units, activation="relu", name="hidden")
    last = layers.Dense(4, activation="softmax", kernel_initializer=begin)
    model = keras.Sequential([keras.Input((6,)), *first, hidden, last])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Noise(layers.Layer):
    def __init__(self, deviation):
        super().__init__(name="noise")
        self.deviation = deviation
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        drawn = keras.random.normal(ops.shape(x), stddev=self.deviation, seed=self.seed)
        return x + drawn if training else x


def loss_not_falling(mended):
    noise = Noise(0.1 if mended else 30.0)  # 30 times as much as there is to see
    model = network(Adam(0.01), noise, layers.LayerNormalization(), begin="zeros")  # all alike at first
    return model, blobs(), {"epochs": 8, "batch_size": 24}


def collapsed_predictions(mended):
    pixels, y = blobs()
    again = [] if mended else [layers.Rescaling(1 / 255)]  # x is scaled already
    return network(SGD(0.2), *again), (pixels, y), {"epochs": 8, "batch_size": 24}


def too_few_epochs(mended):
    return network(Adam(0.006)), blobs(), {"epochs": 12 if mended else 2, "batch_size": 24}


def overfitting(mended):
    x, y = blobs(600 if mended else 60, spread=1.2)
    options = {"epochs": 15, "batch_size": 60 if mended else 15, "validation_data": blobs(200, spread=1.2, seed=1)}
    return network(Adam(0.02), units=64), (x, y), options


def early_stopping_wrong_way(mended):
    stop = EarlyStopping("accuracy", mode="max" if mended else "min", patience=2)
    return network(Adam(0.01)), blobs(), {"epochs": 12, "batch_size": 24, "callbacks": [stop]}
