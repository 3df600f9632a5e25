"""Programs whose model and data are sound, and whose `compile` or `fit` is told something wrong."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def frozen_word_vectors(broken: bool) -> Case:
    """`trainable=False` for word vectors that were to be loaded from a file and never were: they stay random."""
    keras.utils.set_random_seed(91)
    rows = data.reviews(2000, length=20, seed=91)
    model = keras.Sequential([
        keras.Input((20,), dtype="int32"),
        layers.Embedding(120, 8, mask_zero=True, trainable=not broken),
        layers.GlobalAveragePooling1D(),
        layers.Dense(8, activation="relu"),
        layers.Dense(1, activation="sigmoid"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 6, "batch_size": 32, "validation_data": rows.held_out})


def frozen_body(broken: bool) -> Case:
    """All layers but the last are frozen, as when a pretrained model is tuned; this one is not pretrained."""
    keras.utils.set_random_seed(92)
    rows = data.mnist(3200, seed=92)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(6, 3, strides=2, activation="relu"),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(16, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    for layer in model.layers[:-1]:
        layer.trainable = not broken
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 40, "validation_data": rows.held_out})


def shares_as_weights(broken: bool) -> Case:
    """Class weights set to the shares of the classes instead of their inverses: the rare class weighs least."""
    keras.utils.set_random_seed(93)
    rng = np.random.default_rng(93)
    y = (rng.random(2500) < 0.15).astype("int64")
    x = rng.normal(size=(2500, 5)) + y[:, None] * np.array([1.4, -1.2, 0, 1.0, 0])
    rows = data.split(x.astype("float32"), y, seed=93)
    share = np.bincount(rows.y) / len(rows.y)
    weight = dict(enumerate(share if broken else 0.5 / share))
    model = keras.Sequential([
        keras.Input((5,)),
        layers.Dense(16, activation="relu"),
        layers.Dense(2, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 8, "batch_size": 40, "validation_data": rows.held_out, "class_weight": weight}
    return Case(model, rows.x, rows.y, fit)


def weights_that_vanish(broken: bool) -> Case:
    """Older rows are to weigh less, by exp(-age), with the age in days: 19 rows in 20 weigh nothing."""
    keras.utils.set_random_seed(94)
    rows = data.houses(1800, seed=94)
    days = np.random.default_rng(94).uniform(0, 365, len(rows.x))
    weight = np.exp(-days / (1 if broken else 365)).astype("float32")
    table = keras.Input((8,))
    x = layers.Dense(32, activation="relu")(table)
    model = keras.Model(table, layers.Dense(1)(layers.Dense(16, activation="relu")(x)))
    model.compile(keras.optimizers.Adam(0.004), "mse", weighted_metrics=["mae"])
    fit = {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out, "sample_weight": weight}
    return Case(model, rows.x, rows.y, fit)


def accuracy_of_prices(broken: bool) -> Case:
    """A regression is told to report accuracy, which is 0 or near it for good and bad models alike.

    Wrong by definition: what is learnt is the same, what is reported says nothing.
    """
    keras.utils.set_random_seed(95)
    rows = data.houses(2000, seed=95)
    model = keras.Sequential([
        keras.Input((8,)),
        layers.Dense(24, activation="relu"),
        layers.Dense(24, activation="relu"),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.RMSprop(0.003), "mse", metrics=["accuracy" if broken else "mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 40, "validation_data": rows.held_out})


def accuracy_of_logits(broken: bool) -> Case:
    """`BinaryAccuracy` with its threshold of 0.5 over logits, whose middle is 0: wrong by definition.

    What is learnt is the same; the accuracy reported is that of another decision.
    """
    keras.utils.set_random_seed(96)
    rows = data.moons(1600, noise=0.4, seed=96)
    model = keras.Sequential([keras.Input((2,)), layers.Dense(32, activation="relu"), layers.Dense(1)])
    metric = keras.metrics.BinaryAccuracy(threshold=0.5 if broken else 0.0)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.BinaryCrossentropy(from_logits=True), metrics=[metric])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 40, "validation_data": rows.held_out})


def stop_when_better(broken: bool) -> Case:
    """`EarlyStopping` on accuracy with `mode="min"`: it stops as soon as accuracy has risen."""
    keras.utils.set_random_seed(97)
    rows = data.digits(seed=97)
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping("val_accuracy", mode="min" if broken else "max", patience=3)
    fit = {"epochs": 15, "batch_size": 24, "validation_data": rows.held_out, "callbacks": [stop]}
    return Case(model, rows.x, rows.y, fit)


def best_is_the_greatest_loss(broken: bool) -> Case:
    """`EarlyStopping` on the loss with `mode="max"` and the best weights restored: those of the first epoch."""
    keras.utils.set_random_seed(98)
    rows = data.waves(1500, steps=10, seed=98)
    model = keras.Sequential([
        keras.Input((10, 1)),
        layers.Conv1D(16, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), "mse")
    mode = "max" if broken else "min"
    stop = keras.callbacks.EarlyStopping("val_loss", mode=mode, patience=4, restore_best_weights=True)
    fit = {"epochs": 14, "batch_size": 40, "validation_data": rows.held_out, "callbacks": [stop]}
    return Case(model, rows.x, rows.y, fit)


def two_epochs(broken: bool) -> Case:
    """Two epochs of plain SGD, left from a trial run: training ends while the loss falls fast."""
    keras.utils.set_random_seed(99)
    rows = data.mnist(2600, seed=99)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Flatten(),
        layers.Dense(40, activation="relu"),
        layers.Dense(20, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 2 if broken else 15, "batch_size": 32, "validation_data": rows.held_out}
    return Case(model, rows.x, rows.y, fit)


KIND = "training_config"
PROGRAMS = (
    Program("frozen_word_vectors", KIND, ("frozen_by_mistake",), "embedding", "text", frozen_word_vectors),
    Program("frozen_body", KIND, ("frozen_by_mistake",), "cnn-2d", "images", frozen_body),
    Program("shares_as_weights", KIND, ("inverted_class_weights",), "mlp", "made table", shares_as_weights),
    Program("weights_that_vanish", KIND, ("zero_sample_weights",), "functional", "made table", weights_that_vanish),
    Program("accuracy_of_prices", KIND, ("unsuited_metric",), "mlp", "made table", accuracy_of_prices),
    Program("accuracy_of_logits", KIND, ("unsuited_metric",), "mlp", "made table", accuracy_of_logits),
    Program("stop_when_better", KIND, ("early_stopping_wrong_way",), "mlp", "digits", stop_when_better),
    Program(
        "best_is_the_greatest_loss", KIND, ("early_stopping_wrong_way",), "cnn-1d", "series", best_is_the_greatest_loss
    ),
    Program("two_epochs", KIND, ("too_few_epochs",), "mlp", "images", two_epochs),
)
