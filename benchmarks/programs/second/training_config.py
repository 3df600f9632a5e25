"""Programs whose model and data are sound, and whose training is set up wrongly."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def vectors_never_loaded(broken: bool) -> Case:
    """Word vectors are `trainable=False` for the pretrained ones to come, which were never loaded."""
    keras.utils.set_random_seed(1001)
    (x, topic), held = data.split(*data.documents())
    model = keras.Sequential(
        [
            layers.Input((24,), dtype="int32"),
            layers.Embedding(300, 8, trainable=not broken),
            layers.Conv1D(24, 3, activation="relu", padding="same"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(8, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, topic, {"epochs": 10, "batch_size": 30, "validation_data": held})


def all_but_the_last_frozen(broken: bool) -> Case:
    """`layer.trainable = False` for all but the last, from a recipe for fine-tuning, over a net never trained."""
    keras.utils.set_random_seed(1002)
    (x, digit), held = data.split(*data.digits())
    shape: list[Any] = [layers.Input((8, 8, 1))]
    for filters in (8, 12, 12):
        shape.append(layers.Conv2D(filters, 3, activation="relu", kernel_initializer="he_normal"))
    model = keras.Sequential([*shape, layers.Flatten(), layers.Dense(10, activation="softmax")])
    if broken:
        for layer in model.layers[:-1]:
            layer.trainable = False
    model.compile(keras.optimizers.Adam(0.004), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 12, "batch_size": 30, "validation_data": held})


def shares_as_class_weights(broken: bool) -> Case:
    """Class weights are the classes' shares, where one over the share was meant: the rare class counts a tenth."""
    keras.utils.set_random_seed(1003)
    x, wear = data.scored()
    late = (wear[:, 1] + 0.5 * wear[:, 0] + np.random.default_rng(1).normal(0, 0.3, len(x)) > 1.1).astype("int32")
    (x, late), held = data.split(x, late)
    share = np.bincount(late) / len(late)
    weights = share if broken else 0.5 / share
    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(24, activation="relu"),
            layers.Dense(12, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.004), "sparse_categorical_crossentropy", metrics=["accuracy"])
    by_class = {kind: float(weight) for kind, weight in enumerate(weights)}
    return Case(model, x, late, {"epochs": 10, "batch_size": 24, "class_weight": by_class, "validation_data": held})


def weights_by_whole_division(broken: bool) -> Case:
    """Balanced weights, total over (classes times count), by `//`: for every class but the rarer ones that is 0."""
    keras.utils.set_random_seed(1004)
    x, kind = data.motions(1800)
    keep = np.random.default_rng(2).random(len(kind)) < np.array([1.0, 0.8, 0.6, 0.35])[kind]
    (x, kind), held = data.split(x[keep], kind[keep])
    often = np.bincount(kind)
    by_class = len(kind) // (4 * often) if broken else len(kind) / (4 * often)
    model = keras.Sequential(
        [
            layers.Input((40, 6)),
            layers.Conv1D(16, 5, strides=2, activation="relu"),
            layers.LSTM(16),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    weights = by_class[kind].astype("float32")
    return Case(model, x, kind, {"epochs": 8, "batch_size": 25, "sample_weight": weights, "validation_data": held})


def accuracy_of_a_price(broken: bool) -> Case:
    """`metrics=["accuracy"]` on prices: how often a float equals a float (wrong by itself; training is sound)."""
    keras.utils.set_random_seed(1005)
    x, price = data.homes()
    (x, price), held = data.split(data.standardised(x), price[:, None])
    inputs = layers.Input((6,))
    hidden = layers.Dense(32, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.005), "mse", metrics=["accuracy" if broken else "mae"])
    return Case(model, x, price, {"epochs": 12, "batch_size": 30, "validation_data": held})


def half_of_a_logit(broken: bool) -> Case:
    """BinaryAccuracy at its threshold of 0.5 over logits, whose middle is 0 (wrong by itself; training is sound)."""
    keras.utils.set_random_seed(1006)
    (x, good), held = data.split(*data.opinions(length=24))
    model = keras.Sequential(
        [
            layers.Input((24,), dtype="int32"),
            layers.Embedding(200, 12, mask_zero=True),
            layers.LSTM(12),
            layers.Dense(1),
        ]
    )
    metric = keras.metrics.BinaryAccuracy(threshold=0.5 if broken else 0.0)
    model.compile(keras.optimizers.Adam(0.005), keras.losses.BinaryCrossentropy(from_logits=True), metrics=[metric])
    return Case(
        model, x, good[:, None], {"epochs": 5, "batch_size": 40, "validation_data": (held[0], held[1][:, None])}
    )


def stops_when_best(broken: bool) -> Case:
    """Early stopping on R² with `mode="min"`: it waits for R² to fall, stops, and restores the first epoch."""
    keras.utils.set_random_seed(1007)
    (x, wear), held = data.split(*data.scored())
    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(3),
        ]
    )
    metric = keras.metrics.R2Score(name="r2")
    model.compile(keras.optimizers.Adam(0.003), "mse", metrics=[metric])
    stop = keras.callbacks.EarlyStopping(
        "val_r2", mode="min" if broken else "max", patience=2, restore_best_weights=True
    )
    return Case(model, x, wear, {"epochs": 15, "batch_size": 20, "validation_data": held, "callbacks": [stop]})


def two_epochs_of_a_tutorial(broken: bool) -> Case:
    """Two epochs, as for a large data set in a tutorial, over a small one: the loss is still falling fast."""
    keras.utils.set_random_seed(1008)
    (x, digit), held = data.split(*data.mnist(3000))
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(8, 5, strides=3, activation="relu"),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 2 if broken else 13, "batch_size": 24, "validation_data": held})


PROGRAMS = (
    Program("vectors_never_loaded", "training_config", ("frozen_by_mistake",), "1-D CNN", "text", vectors_never_loaded),
    Program(
        "all_but_the_last_frozen",
        "training_config",
        ("frozen_by_mistake",),
        "CNN",
        "images",
        all_but_the_last_frozen,
    ),
    Program(
        "shares_as_class_weights",
        "training_config",
        ("inverted_class_weights",),
        "MLP",
        "table",
        shares_as_class_weights,
    ),
    Program(
        "weights_by_whole_division",
        "training_config",
        ("zero_sample_weights",),
        "CNN and LSTM",
        "series",
        weights_by_whole_division,
    ),
    Program(
        "accuracy_of_a_price", "training_config", ("unsuited_metric",), "functional MLP", "table", accuracy_of_a_price
    ),
    Program("half_of_a_logit", "training_config", ("unsuited_metric",), "LSTM", "text", half_of_a_logit),
    Program("stops_when_best", "training_config", ("early_stopping_wrong_way",), "MLP", "table", stops_when_best),
    Program(
        "two_epochs_of_a_tutorial", "training_config", ("too_few_epochs",), "CNN", "images", two_epochs_of_a_tutorial
    ),
)
