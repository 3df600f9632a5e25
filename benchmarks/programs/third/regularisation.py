"""Dropout, penalties and normalisation that do harm, each with its repaired twin."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, regularizers

from ..program import Case, Program
from ._series import figures, houses, motion, numerals, pulse, reviews, strokes, tumours

__all__ = ["PROGRAMS"]

SPARSE = "sparse_categorical_crossentropy"


def share_to_keep(broken: bool) -> Case:
    """0.95 was the share to keep in TensorFlow 1; in Keras it is the share to drop."""
    keras.utils.set_random_seed(401)
    x, y, held, held_labels = strokes()
    share = 0.95 if broken else 0.05
    stack: list[Any] = [keras.Input((14, 14, 1)), layers.Flatten()]
    for units in (64, 48):
        stack += [layers.Dense(units, activation="relu"), layers.Dropout(share)]
    model = keras.Sequential([*stack, layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(1e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 50, "validation_data": (held, held_labels)})


def channels_dropped(broken: bool) -> Case:
    """SpatialDropout drops whole channels: at 0.9, twice, hardly one of eight is left."""
    keras.utils.set_random_seed(402)
    x, y, held, held_labels = reviews()
    share = 0.9 if broken else 0.2
    inputs = keras.Input((24,), dtype="int32")
    words = layers.SpatialDropout1D(share)(layers.Embedding(300, 12)(inputs))
    hidden = layers.SpatialDropout1D(share)(layers.Conv1D(8, 3, activation="relu")(words))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(hidden)))
    model.compile(keras.optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 7, "batch_size": 48, "validation_data": (held, held_labels)})


def absolute_penalty(broken: bool) -> Case:
    """L1 of 0.1 on the kernels of convolutions: the cheapest thing is to have no weights."""
    keras.utils.set_random_seed(403)
    x, y, held, held_labels = figures()
    penalty = regularizers.L1(0.1 if broken else 1e-5)
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Conv2D(12, 5, strides=2, padding="same", activation="relu", kernel_regularizer=penalty)(inputs)
    hidden = layers.Conv2D(24, 3, activation="relu", kernel_regularizer=penalty)(hidden)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.GlobalMaxPooling2D()(hidden)))
    model.compile(keras.optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 50, "validation_data": (held, held_labels)})


def decay_in_the_optimizer(broken: bool) -> Case:
    """AdamW with a weight decay of 20, taken from a text that doesn't multiply it by the rate."""
    keras.utils.set_random_seed(404)
    x, y, held, held_labels = houses()
    inputs = keras.Input((10,))
    hidden = layers.Dense(48, activation="swish")(layers.Dense(48, activation="swish")(inputs))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.AdamW(4e-3, weight_decay=20.0 if broken else 0.004), "mse", metrics=["mae"])
    return Case(model, x, y, {"epochs": 14, "batch_size": 60, "validation_data": (held, held_labels)})


def penalised_memory(broken: bool) -> Case:
    """A penalty of 1 on every matrix of an LSTM forecaster, "to be on the safe side"."""
    keras.utils.set_random_seed(405)
    x, y, held, held_labels = pulse()
    size = 1.0 if broken else 1e-6
    memory = layers.LSTM(16, kernel_regularizer=regularizers.L2(size), recurrent_regularizer=regularizers.L2(size))
    model = keras.Sequential([keras.Input((24, 1)), memory, layers.Dense(1, kernel_regularizer=regularizers.L2(size))])
    model.compile(keras.optimizers.Adam(8e-3), "mse")
    return Case(model, x, y, {"epochs": 10, "batch_size": 40, "validation_data": (held, held_labels)})


def two_at_a_time(broken: bool) -> Case:
    """Batches of two for want of memory, and batch normalisation after each layer."""
    keras.utils.set_random_seed(406)
    x, y, held, held_labels = numerals()
    x, y = x[:480], y[:480]
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Flatten()(inputs)
    for _ in range(3):
        hidden = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Dense(32, use_bias=False)(hidden)))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(1e-3), SPARSE, metrics=["accuracy"])
    fit = {"epochs": 3 if broken else 18, "batch_size": 2 if broken else 20, "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


def one_at_a_time(broken: bool) -> Case:
    """`batch_size=1`, as a stream would come: normalised by itself, a single row is always zero."""
    keras.utils.set_random_seed(407)
    x, y, held, held_labels = tumours()
    model = keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(12),
            layers.BatchNormalization(momentum=0.8),
            layers.Activation("relu"),
            layers.Dropout(0.1),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.05), "binary_crossentropy", metrics=["binary_accuracy"])
    fit = {"epochs": 3 if broken else 12, "batch_size": 1 if broken else 16, "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


class Listener(keras.Model):  # type: ignore[misc]
    """Convolutions over a sensor, and a dropout that may be told to stay on."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always
        self.body = keras.Sequential(
            [
                layers.Conv1D(16, 5, strides=2, activation="relu"),
                layers.Conv1D(24, 5, activation="relu"),
                layers.GlobalAveragePooling1D(),
            ]
        )
        self.thin = layers.Dropout(0.6)
        self.head = layers.Dense(5, activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.head(self.thin(self.body(inputs), training=True if self.always else training))


def dropped_when_asked(broken: bool) -> Case:
    """`self.dropout(x, training=True)` left over from Monte Carlo dropout: predictions are thinned out as well."""
    keras.utils.set_random_seed(408)
    x, y, held, held_labels = motion()
    model = Listener(broken)
    model.compile(keras.optimizers.Adam(6e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 50, "validation_data": (held, held_labels)})


class Noisy(layers.Layer):  # type: ignore[misc]
    """A hand-written dropout; `deaf` doesn't look at the mode."""

    def __init__(self, deaf: bool) -> None:
        super().__init__()
        self.deaf = deaf
        self.seeds = keras.random.SeedGenerator(5)

    def call(self, inputs: Any, training: bool = False) -> Any:
        return keras.random.dropout(inputs, 0.5, seed=self.seeds) if training or self.deaf else inputs


def deaf_layer(broken: bool) -> Case:
    """A hand-written dropout that takes no notice of `training`."""
    keras.utils.set_random_seed(409)
    x, y, held, held_labels = numerals()
    inputs = keras.Input((8, 8, 1))
    hidden = Noisy(deaf=broken)(layers.Dense(96, activation="relu")(layers.Flatten()(inputs)))
    hidden = Noisy(deaf=broken)(layers.Dense(48, activation="relu")(hidden))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 12, "batch_size": 32, "validation_data": (held, held_labels)})


class Tower(keras.Model):  # type: ignore[misc]
    """Eight narrow tanh layers, each after a batch normalisation that may be told to rest."""

    def __init__(self, rest: bool) -> None:
        super().__init__()
        self.rest = rest
        self.flat = layers.Flatten()
        self.maps = [
            layers.Dense(40, kernel_initializer=keras.initializers.RandomNormal(stddev=0.05)) for _ in range(8)
        ]
        self.norms = [layers.BatchNormalization(momentum=0.9) for _ in range(8)]
        self.head = layers.Dense(10, activation="softmax")

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden = self.flat(inputs)
        for dense, norm in zip(self.maps, self.norms, strict=True):
            hidden = keras.ops.tanh(norm(dense(hidden), training=False if self.rest else training))
        return self.head(hidden)


def statistics_at_rest(broken: bool) -> Case:
    """`self.norm(x, training=False)`, copied from a text on fine-tuning, in a net that is trained from scratch."""
    keras.utils.set_random_seed(410)
    x, y, held, held_labels = strokes()
    model = Tower(broken)
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 100, "validation_data": (held, held_labels)})


KIND = "regularisation"
PROGRAMS: tuple[Program, ...] = (
    Program("share_to_keep", KIND, ("dropout_too_high",), "mlp", "mnist", share_to_keep),
    Program("channels_dropped", KIND, ("dropout_too_high",), "cnn1d", "text", channels_dropped),
    Program("absolute_penalty", KIND, ("penalty_too_strong",), "cnn2d", "images", absolute_penalty),
    Program("decay_in_the_optimizer", KIND, ("penalty_too_strong",), "mlp", "table", decay_in_the_optimizer),
    Program("penalised_memory", KIND, ("penalty_too_strong",), "lstm", "series", penalised_memory),
    Program("two_at_a_time", KIND, ("tiny_batches_under_batch_norm",), "mlp", "digits", two_at_a_time),
    Program("one_at_a_time", KIND, ("tiny_batches_under_batch_norm",), "mlp", "table", one_at_a_time),
    Program("dropped_when_asked", KIND, ("training_flag_ignored",), "subclassed", "series", dropped_when_asked),
    Program("deaf_layer", KIND, ("training_flag_ignored",), "functional", "digits", deaf_layer),
    Program("statistics_at_rest", KIND, ("training_flag_ignored",), "subclassed", "mnist", statistics_at_rest),
)
