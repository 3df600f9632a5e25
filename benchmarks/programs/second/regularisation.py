"""Programs that are kept from learning by what should keep them from overfitting."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from ..program import Case, Program
from . import data

__all__ = ["PROGRAMS"]


def kept_not_dropped(broken: bool) -> Case:
    """A share to keep, as in older code, is given where a share to drop is meant: 0.95 twice over a review."""
    keras.utils.set_random_seed(901)
    (x, good), held = data.split(*data.opinions())
    rate = 0.95 if broken else 0.05
    model = keras.Sequential(
        [
            layers.Input((40,), dtype="int32"),
            layers.Embedding(200, 12),
            layers.SpatialDropout1D(rate),
            layers.GlobalAveragePooling1D(),
            layers.Dense(16, activation="relu"),
            layers.Dropout(rate),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["accuracy"])
    return Case(
        model, x, good[:, None], {"epochs": 8, "batch_size": 30, "validation_data": (held[0], held[1][:, None])}
    )


def sparse_code_of_zeros(broken: bool) -> Case:
    """The L1 on the code of a sparse autoencoder is 0.1 where 0.00001 is used: the cheapest code is no code."""
    keras.utils.set_random_seed(902)
    x, digit = data.digits()
    (x, _), (x_val, _) = data.split(x.reshape(-1, 64), digit)
    sparse = keras.regularizers.L1(0.1 if broken else 1e-5)
    inputs = layers.Input((64,))
    code = layers.Dense(32, activation="relu", activity_regularizer=sparse)(inputs)
    model = keras.Model(inputs, layers.Dense(64, activation="sigmoid")(code))
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Case(model, x, x, {"epochs": 15, "batch_size": 32, "validation_data": (x_val, x_val)})


def weights_cost_more_than_errors(broken: bool) -> Case:
    """An L2 of 0.5 on every kernel of a GRU and its head: the smallest loss is had with no weights."""
    keras.utils.set_random_seed(903)
    (x, kind), held = data.split(*data.motions())
    cost: dict[str, Any] = {"kernel_regularizer": keras.regularizers.L2(0.5 if broken else 1e-5)}
    model = keras.Sequential(
        [
            layers.Input((40, 6)),
            layers.Conv1D(12, 5, strides=2, activation="relu", **cost),
            layers.GRU(16, **cost),
            layers.Dense(4, activation="softmax", **cost),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 8, "batch_size": 30, "validation_data": held})


def pairs_under_batch_norm(broken: bool) -> Case:
    """Two rows a batch, for want of memory, under batch normalisation: of every pair one is +1 and the other -1."""
    keras.utils.set_random_seed(904)
    x, kind = data.wine()
    (x, kind), held = data.split(data.standardised(x), kind)
    model = keras.Sequential([layers.Input((13,))])
    for units in (24, 12):
        model.add(layers.Dense(units))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Activation("relu"))
    model.add(layers.Dense(3, activation="softmax"))
    model.compile(keras.optimizers.Adam(0.008), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 8, "batch_size": 2 if broken else 13, "validation_data": held})


class WordDrop(layers.Layer):  # type: ignore[misc]
    """Drops whole words; in prediction too, unless told of it."""

    def __init__(self, rate: float, heeds: bool) -> None:
        super().__init__()
        self.rate, self.heeds, self.seeds = rate, heeds, keras.random.SeedGenerator(90)

    def call(self, x: Any, training: bool = False) -> Any:
        if self.heeds and not training:
            return x
        kept = keras.random.uniform(keras.ops.shape(x)[:2], seed=self.seeds) > self.rate
        return x * keras.ops.cast(kept, x.dtype)[..., None] / (1 - self.rate)


def words_dropped_in_prediction(broken: bool) -> Case:
    """A dropout layer of one's own doesn't heed `training`: six words in ten go missing when it counts."""
    keras.utils.set_random_seed(905)
    (x, topic), held = data.split(*data.documents())
    inputs = layers.Input((24,), dtype="int32")
    words = WordDrop(0.6, heeds=not broken)(layers.Embedding(300, 32)(inputs))
    pooled = layers.GlobalAveragePooling1D()(words)
    model = keras.Model(inputs, layers.Dense(8, activation="softmax")(pooled))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, topic, {"epochs": 10, "batch_size": 30, "validation_data": held})


class Dropping(keras.Model):  # type: ignore[misc]
    """Dropout between dense layers: as the mode says, or always."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.always = always
        self.hidden = [layers.Dense(units, activation="relu") for units in (96, 64)]
        self.drop, self.last = layers.Dropout(0.3), layers.Dense(3)

    def call(self, x: Any, training: bool = False) -> Any:
        for dense in self.hidden:
            x = self.drop(dense(x), training=True if self.always else training)
        return self.last(x)


def dropout_always_on(broken: bool) -> Case:
    """`training=True`, of a trial of Monte Carlo dropout, stayed in the code: a third is dropped in prediction."""
    keras.utils.set_random_seed(906)
    (x, wear), held = data.split(*data.scored())
    model = Dropping(always=broken)
    model.compile(keras.optimizers.Adam(0.004), "mse")
    return Case(model, x, wear, {"epochs": 12, "batch_size": 24, "validation_data": held})


PROGRAMS = (
    Program("kept_not_dropped", "regularisation", ("dropout_too_high",), "embedding", "text", kept_not_dropped),
    Program(
        "sparse_code_of_zeros",
        "regularisation",
        ("penalty_too_strong",),
        "autoencoder",
        "images",
        sparse_code_of_zeros,
    ),
    Program(
        "weights_cost_more_than_errors",
        "regularisation",
        ("penalty_too_strong",),
        "CNN and GRU",
        "series",
        weights_cost_more_than_errors,
    ),
    Program(
        "pairs_under_batch_norm",
        "regularisation",
        ("tiny_batches_under_batch_norm",),
        "MLP",
        "table",
        pairs_under_batch_norm,
    ),
    Program(
        "words_dropped_in_prediction",
        "regularisation",
        ("training_flag_ignored",),
        "embedding, own layer",
        "text",
        words_dropped_in_prediction,
    ),
    Program(
        "dropout_always_on",
        "regularisation",
        ("training_flag_ignored",),
        "subclassed MLP",
        "table",
        dropout_always_on,
    ),
)
