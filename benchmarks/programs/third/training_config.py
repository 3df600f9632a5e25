"""Sound models that `compile` and `fit` are told the wrong thing about, each with its repaired twin."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from ..program import Case, Program
from ._series import events, figures, houses, motion, numerals, pulse, reviews, strokes, tumours

__all__ = ["PROGRAMS"]

SPARSE = "sparse_categorical_crossentropy"


def backbone_without_weights(broken: bool) -> Case:
    """A frozen backbone as in transfer learning, but with fresh weights: there is nothing to transfer."""
    keras.utils.set_random_seed(501)
    x, y, held, held_labels = figures()
    backbone = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(8, 5, padding="same", activation="relu"),
            layers.Conv2D(12, 3, strides=2, activation="relu"),
            layers.GlobalMaxPooling2D(),
        ],
        name="backbone",
    )
    backbone.trainable = not broken
    inputs = keras.Input((16, 16, 1))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(backbone(inputs)))
    model.compile(keras.optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 50, "validation_data": (held, held_labels)})


def vectors_never_loaded(broken: bool) -> Case:
    """`trainable=False` for word vectors from a file that was never read, so they are random and stay it."""
    keras.utils.set_random_seed(502)
    x, y, held, held_labels = reviews()
    inputs = keras.Input((24,), dtype="int32")
    words = layers.Dropout(0.2)(layers.Embedding(300, 8, trainable=not broken)(inputs))
    hidden = layers.Dense(16, activation="relu")(layers.GlobalAveragePooling1D()(words))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 50, "validation_data": (held, held_labels)})


def counts_as_weights(broken: bool) -> Case:
    """The class's share as its weight, and not the inverse of it: the rare class is made rarer still."""
    keras.utils.set_random_seed(503)
    x, y, held, held_labels = events()
    share = float(y.astype("float32").mean())
    weights = {0: 1 - share, 1: share} if broken else {0: 0.5 / (1 - share), 1: 0.5 / share}
    inputs = keras.Input((20, 2))
    hidden = layers.GlobalMaxPooling1D()(layers.Conv1D(8, 5, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(5e-3), "binary_crossentropy", weighted_metrics=["binary_accuracy"])
    return Case(
        model, x, y, {"epochs": 12, "batch_size": 40, "class_weight": weights, "validation_data": (held, held_labels)}
    )


def weights_upside_down(broken: bool) -> Case:
    """Sample weights from `np.bincount` of the labels, used as they are: the frequent class counts most."""
    keras.utils.set_random_seed(504)
    x, y, held, held_labels = events(rare=0.07)
    truth = y[:, 0].astype(int)
    counts = np.bincount(truth)
    weights = (counts if broken else 1 / counts)[truth]
    weights = (weights / weights.mean()).astype("float32")
    inputs = keras.Input((20, 2))
    state = layers.GRU(16)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(state))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(8e-3), loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)])
    fit = {"epochs": 10, "batch_size": 40, "sample_weight": weights, "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


def only_positives_weigh(broken: bool) -> Case:
    """`sample_weight=y`, where the weight of a row was taken for its being positive: negatives count nothing."""
    keras.utils.set_random_seed(505)
    x, y, held, held_labels = numerals()
    small, held_small = (
        np.less(y.astype(int), 3).astype("float32")[:, None],
        np.less(held_labels.astype(int), 3).astype("float32")[:, None],
    )
    weights = small[:, 0] if broken else 1 + small[:, 0]
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Dense(24, activation="relu")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))
    model.compile(keras.optimizers.Adam(4e-3), "binary_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 10, "batch_size": 40, "sample_weight": weights, "validation_data": (held, held_small)}
    return Case(model, x, small, fit)


def old_rows_fade(broken: bool) -> Case:
    """Old rows are to count less, and `0.9 ** age` in rows, not months, leaves forty of 1500 with a weight."""
    keras.utils.set_random_seed(506)
    x, y, held, held_labels = houses()
    age = np.arange(len(x))[::-1]
    weights = (0.9**age if broken else 0.9995**age).astype("float32")
    model = keras.Sequential(
        [keras.Input((10,)), layers.Dense(48, activation="swish"), layers.Dense(24, activation="swish")]
    )
    model.add(layers.Dense(1))
    model.compile(keras.optimizers.Adam(4e-3), "mse", weighted_metrics=["mae"])
    fit = {"epochs": 14, "batch_size": 50, "sample_weight": weights, "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


def equal_to_the_last_digit(broken: bool) -> Case:
    """`metrics=[keras.metrics.Accuracy()]` compares probabilities with labels for equality; wrong by definition."""
    keras.utils.set_random_seed(507)
    x, y, held, held_labels = motion()
    metric = keras.metrics.Accuracy() if broken else keras.metrics.CategoricalAccuracy()
    inputs = keras.Input((32, 3))
    state = layers.GRU(20)(layers.AveragePooling1D(2)(inputs))
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(state))
    model.compile(keras.optimizers.Adam(8e-3), "categorical_crossentropy", metrics=[metric])
    eye = np.eye(5, dtype="float32")
    return Case(
        model,
        x,
        eye[y.astype(int)],
        {"epochs": 8, "batch_size": 45, "validation_data": (held, eye[held_labels.astype(int)])},
    )


def accuracy_of_a_forecast(broken: bool) -> Case:
    """`metrics=["accuracy"]` on a forecast of real numbers; wrong by definition."""
    keras.utils.set_random_seed(508)
    x, y, held, held_labels = pulse()
    inputs = keras.Input((24, 1))
    hidden = layers.Conv1D(12, 5, activation="relu")(inputs)
    hidden = layers.Dense(16, activation="relu")(layers.Flatten()(hidden))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(4e-3), keras.losses.Huber(), metrics=["accuracy" if broken else "mae"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 40, "validation_data": (held, held_labels)})


def half_of_a_logit(broken: bool) -> Case:
    """Hits counted above 0.5, and the output is a logit; wrong by definition."""
    keras.utils.set_random_seed(509)
    x, y, held, held_labels = tumours()
    at = 0.5 if broken else 0.0
    metrics = [keras.metrics.BinaryAccuracy(name="hits", threshold=at)]
    inputs = keras.Input((30,))
    hidden = layers.Dropout(0.2)(layers.Dense(10, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, metrics=metrics)
    return Case(model, x, y, {"epochs": 14, "batch_size": 25, "validation_data": (held, held_labels)})


def smallest_accuracy(broken: bool) -> Case:
    """`EarlyStopping("val_accuracy", mode="min")`, copied from a callback on the loss, and the worst weights kept."""
    keras.utils.set_random_seed(510)
    x, y, held, held_labels = strokes()
    stop = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="min" if broken else "max", patience=3, restore_best_weights=True
    )
    inputs = keras.Input((14, 14, 1))
    hidden = layers.Conv2D(8, 3, strides=2, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(layers.Flatten()(hidden))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(1e-3), SPARSE, metrics=["accuracy"])
    fit = {"epochs": 9, "batch_size": 60, "callbacks": [stop], "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


def largest_error(broken: bool) -> Case:
    """Stopping on the mean absolute error with `mode="max"`: training ends as soon as it starts to work."""
    keras.utils.set_random_seed(511)
    x, y, held, held_labels = pulse()
    stop = keras.callbacks.EarlyStopping(monitor="val_mae", mode="max" if broken else "min", patience=3)
    model = keras.Sequential([keras.Input((24, 1)), layers.LSTM(12), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(3e-3), "mse", metrics=["mae"])
    fit = {"epochs": 14, "batch_size": 50, "callbacks": [stop], "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


def epochs_forgotten(broken: bool) -> Case:
    """`fit` without `epochs`: one pass over the rows."""
    keras.utils.set_random_seed(512)
    x, y, held, held_labels = reviews()
    inputs = keras.Input((24,), dtype="int32")
    words = layers.Dropout(0.25)(layers.Embedding(300, 16)(inputs))
    hidden = layers.GlobalMaxPooling1D()(layers.Conv1D(16, 3, activation="relu")(words))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Dropout(0.25)(hidden)))
    model.compile(keras.optimizers.Adam(3e-3), SPARSE, metrics=["accuracy"])
    more: dict[str, Any] = {} if broken else {"epochs": 8}
    return Case(model, x, y, {"batch_size": 50, "validation_data": (held, held_labels), **more})


def trial_run(broken: bool) -> Case:
    """`epochs=3` left over from a trial run."""
    keras.utils.set_random_seed(513)
    x, y, held, held_labels = houses()
    inputs = keras.Input((10,))
    hidden = layers.Dense(32, activation="relu")(layers.Dense(32, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(1e-3), "mse", metrics=["mae"])
    fit: dict[str, Any] = {"epochs": 3 if broken else 22, "batch_size": 40, "validation_data": (held, held_labels)}
    return Case(model, x, y, fit)


KIND = "training_config"
PROGRAMS: tuple[Program, ...] = (
    Program("backbone_without_weights", KIND, ("frozen_by_mistake",), "cnn2d", "images", backbone_without_weights),
    Program("vectors_never_loaded", KIND, ("frozen_by_mistake",), "embedding", "text", vectors_never_loaded),
    Program("counts_as_weights", KIND, ("inverted_class_weights",), "cnn1d", "series", counts_as_weights),
    Program("weights_upside_down", KIND, ("inverted_class_weights",), "gru", "series", weights_upside_down),
    Program("only_positives_weigh", KIND, ("zero_sample_weights",), "mlp", "digits", only_positives_weigh),
    Program("old_rows_fade", KIND, ("zero_sample_weights",), "mlp", "table", old_rows_fade),
    Program("equal_to_the_last_digit", KIND, ("unsuited_metric",), "gru", "series", equal_to_the_last_digit),
    Program("accuracy_of_a_forecast", KIND, ("unsuited_metric",), "cnn1d", "series", accuracy_of_a_forecast),
    Program("half_of_a_logit", KIND, ("unsuited_metric",), "mlp", "table", half_of_a_logit),
    Program("smallest_accuracy", KIND, ("early_stopping_wrong_way",), "cnn2d", "mnist", smallest_accuracy),
    Program("largest_error", KIND, ("early_stopping_wrong_way",), "lstm", "series", largest_error),
    Program("epochs_forgotten", KIND, ("too_few_epochs",), "cnn1d", "text", epochs_forgotten),
    Program("trial_run", KIND, ("too_few_epochs",), "mlp", "table", trial_run),
)
