"""The model: what its layers hand on, and how they begin."""

import keras
import numpy as np
from keras import layers, ops
from keras.initializers import Constant, RandomNormal
from keras.optimizers import Adam

from rule_trainings.made import blobs

__all__ = [
    "broken_graph",
    "dead_relu",
    "dropout_too_high",
    "frozen_by_mistake",
    "initial_weights_too_large",
    "mask_lost",
    "missing_activation",
    "penalty_too_strong",
    "saturated_units",
    "tiny_batches_under_batch_norm",
    "too_few_units",
    "training_flag_ignored",
    "untracked_weights",
    "vanishing_gradient",
    "zero_initialisation",
]


def missing_activation(mended):
    keras.utils.set_random_seed(3)
    bend = "relu" if mended else None
    hidden = [layers.Dense(16, activation=bend, name="one"), layers.Dense(16, activation=bend, name="two")]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 5, "batch_size": 24}


def vanishing_gradient(mended):
    keras.utils.set_random_seed(3)
    bend = "relu" if mended else "sigmoid"
    hidden = [layers.Dense(12, activation=bend, name=f"hidden{depth}") for depth in range(8)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax", name="head")])
    model.compile(Adam(0.005), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 12, "batch_size": 24}


def too_few_units(mended):
    keras.utils.set_random_seed(3)
    neck = layers.Dense(8 if mended else 1, activation="tanh", name="neck")
    hidden = [layers.Dense(16, activation="relu"), neck]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 8, "batch_size": 24}


def untracked_weights(mended):
    keras.utils.set_random_seed(3)

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            hidden = layers.Dense(16, activation="relu")
            hidden.build((None, 6))
            self.hidden = hidden if mended else lambda x: hidden(x)  # a function hides the layer from Keras
            self.head = layers.Dense(4, activation="softmax")

        def call(self, x):
            return self.head(self.hidden(x))

    model = Model()
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 5, "batch_size": 24}


class Stop(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)


def broken_graph(mended):
    keras.utils.set_random_seed(3)
    hidden = [layers.Dense(12, activation="relu", name="hidden")] + ([] if mended else [Stop(name="stop")])
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 5, "batch_size": 24}


def zero_initialisation(mended):
    keras.utils.set_random_seed(3)
    begin = "glorot_uniform" if mended else "zeros"
    hidden = [layers.Dense(12, activation="relu", kernel_initializer=begin, name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 5, "batch_size": 24}


def dead_relu(mended):
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(16, activation="relu", bias_initializer=Constant(0 if mended else -9), name="hidden")
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 5, "batch_size": 24}


def saturated_units(mended):
    keras.utils.set_random_seed(3)
    begin = Constant(0 if mended else 9)
    hidden = layers.Dense(24, activation="tanh", bias_initializer=begin, name="hidden")
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 6, "batch_size": 24}


def initial_weights_too_large(mended):
    keras.utils.set_random_seed(3)
    begin = "he_normal" if mended else RandomNormal(stddev=4.0)
    hidden = [layers.Dense(24, activation="relu", kernel_initializer=begin, name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 6, "batch_size": 24}


def frozen_by_mistake(mended):
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(5, activation="relu", name="hidden", trainable=mended)
    model = keras.Sequential([keras.Input((6,)), hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    return model, blobs(spread=0.5), {"epochs": 8, "batch_size": 24}


class Noise(layers.Layer):
    def __init__(self, heeds_training):
        super().__init__(name="noise")
        self.heeds_training = heeds_training
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x, training=False):
        kept = ops.cast(keras.random.uniform(ops.shape(x), seed=self.seed) > 0.5, "float32")
        return 2 * x * kept if training or not self.heeds_training else x


def training_flag_ignored(mended):
    keras.utils.set_random_seed(3)
    hidden = [layers.Dense(32, activation="relu"), Noise(heeds_training=mended)]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 6, "batch_size": 24, "validation_data": blobs(120, seed=1)}


def dropout_too_high(mended):
    keras.utils.set_random_seed(3)
    hidden = [layers.Dense(12, activation="relu"), layers.Dropout(0.2 if mended else 0.95, name="dropout")]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 6, "batch_size": 24}


def penalty_too_strong(mended):
    keras.utils.set_random_seed(3)
    penalty = keras.regularizers.L2(1e-4 if mended else 3.0)
    hidden = layers.Dense(12, activation="relu", kernel_regularizer=penalty, name="hidden")
    last = layers.Dense(4, activation="softmax", kernel_regularizer=penalty, name="head")
    model = keras.Sequential([keras.Input((6,)), hidden, last])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 6, "batch_size": 24}


def tiny_batches_under_batch_norm(mended):
    keras.utils.set_random_seed(3)
    hidden = [layers.Dense(8), layers.BatchNormalization(name="norm"), layers.ReLU()]
    model = keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(4, activation="softmax")])
    model.compile(Adam(0.01), "sparse_categorical_crossentropy")
    validation = blobs(120, spread=0.5, seed=1)
    options = {"epochs": 12, "batch_size": 24} if mended else {"epochs": 1, "batch_size": 2}
    return model, blobs(spread=0.5), {**options, "validation_data": validation}


def mask_lost(mended):
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    topic = rng.integers(0, 3, 240)
    words = 1 + 6 * topic[:, None] + rng.integers(0, 6, (240, 10))  # any word tells the topic
    words[np.arange(10) < rng.integers(2, 8, (240, 1))] = 0  # padding, in front
    between = [] if mended else [layers.Conv1D(6, 1, activation="relu", name="conv")]
    hidden = [layers.Embedding(20, 6, mask_zero=True, name="embedding"), *between]
    last = [layers.GRU(8, name="gru"), layers.Dense(3, activation="softmax")]
    model = keras.Sequential([keras.Input((10,), dtype="int32"), *hidden, *last])
    model.compile(Adam(0.02), "sparse_categorical_crossentropy")
    return model, (words.astype("int32"), topic), {"epochs": 8, "batch_size": 24}
