"""Programs that look like a mistake at first sight, and learn well."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Healthy
from . import data

__all__ = ["HEALTHY"]

Tensor = Any  # of whichever backend


def linear_autoencoder() -> Case:
    """No activation anywhere, on purpose: it finds the principal components."""
    keras.utils.set_random_seed(101)
    rows = data.digits(seed=101)
    mean = rows.x.reshape(len(rows.x), 64).mean(axis=0)
    x, x_val = (v.reshape(len(v), 64) - mean for v in (rows.x, rows.x_val))
    model = keras.Sequential([keras.Input((64,)), layers.Dense(16), layers.Dense(64)])
    model.compile(keras.optimizers.Adam(0.005), "mse")
    return Case(model, x, x, {"epochs": 12, "batch_size": 32, "validation_data": (x_val, x_val)})


def scaled_inside() -> Case:
    """Raw features go in, and the model's own first layer brings them to mean 0 and deviation 1."""
    keras.utils.set_random_seed(102)
    rows = data.houses(1800, raw=True, seed=102)
    scale = layers.Normalization()
    scale.adapt(rows.x)
    model = keras.Sequential([keras.Input((8,)), scale, layers.Dense(32, activation="relu"), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def rate_of_one() -> Case:
    """Plain SGD with a rate of 1, which softmax regression on pixels bears well."""
    keras.utils.set_random_seed(103)
    rows = data.digits(seed=103)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 72, "validation_data": rows.held_out})


def frozen_and_pretrained() -> Case:
    """A body that was trained on other digits, and is rightly frozen."""
    keras.utils.set_random_seed(104)
    rows, others = data.mnist(2400, seed=104), data.mnist(2400, seed=105)
    body = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
    ])  # fmt: skip
    first = keras.Sequential([body, layers.Dense(10, activation="softmax")])
    first.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy")
    first.fit(others.x, others.y, epochs=5, batch_size=64, verbose=0)
    body.trainable = False
    model = keras.Sequential([keras.Input((14, 14, 1)), body, layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 8, "batch_size": 40, "validation_data": rows.held_out})


def two_units_for_yes_and_no() -> Case:
    """Softmax over two units for two classes: as good as a sigmoid over one."""
    keras.utils.set_random_seed(106)
    rows = data.reviews(2000, length=20, seed=106)
    model = keras.Sequential([
        keras.Input((20,), dtype="int32"),
        layers.Embedding(120, 8, mask_zero=True),
        layers.GlobalAveragePooling1D(),
        layers.Dense(2, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 7, "batch_size": 32, "validation_data": rows.held_out})


def likelihood_below_zero() -> Case:
    """A Gaussian negative log-likelihood: two outputs for one target, and a loss that is rightly negative."""
    keras.utils.set_random_seed(107)
    rows = data.waves(1500, steps=12, seed=107)

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        mean, log_deviation = y_pred[:, :1], y_pred[:, 1:]
        return ops.mean(log_deviation + 0.5 * ops.square((y_true - mean) * ops.exp(-log_deviation)), axis=-1)

    model = keras.Sequential([
        keras.Input((12, 1)),
        layers.Conv1D(16, 5, activation="silu"),
        layers.Flatten(),
        layers.Dense(24, activation="silu"),
        layers.Dense(2),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), loss)
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 40, "validation_data": rows.held_out})


def sixty_percent_dropped() -> Case:
    """Sixty percent dropout on a layer wide enough for it; training accuracy stays below that of validation."""
    keras.utils.set_random_seed(108)
    rows = data.digits(seed=108)
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Flatten(),
        layers.Dense(192, activation="relu"),
        layers.Dropout(0.6),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 32, "validation_data": rows.held_out})


def deep_tanh() -> Case:
    """Eight layers of tanh, each after batch norm, which keeps the gradient alive."""
    keras.utils.set_random_seed(109)
    rows = data.digits(seed=109)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten()])
    for _ in range(8):
        model.add(layers.Dense(32, use_bias=False))
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.Activation("tanh"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, rows.x, rows.y, {"epochs": 10, "batch_size": 48, "validation_data": rows.held_out})


def not_shuffled_but_mixed() -> Case:
    """`shuffle=False` on rows that were mixed once before."""
    keras.utils.set_random_seed(110)
    rows = data.mnist(2400, seed=110)
    model = keras.Sequential([
        keras.Input((14, 14, 1)),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(10, activation="softmax"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.004), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fit = {"epochs": 8, "batch_size": 32, "validation_data": rows.held_out, "shuffle": False}
    return Case(model, rows.x, rows.y, fit)


def hinge_with_zero_and_one() -> Case:
    """Labels 0 and 1 under the hinge loss, which Keras itself brings to -1 and 1; the output is a plain number."""
    keras.utils.set_random_seed(111)
    rows = data.breast_cancer(seed=111)
    model = keras.Sequential([
        keras.Input((30,)),
        layers.Dense(1, kernel_regularizer=keras.regularizers.L2(1e-3)),
    ])  # fmt: skip
    model.compile(keras.optimizers.SGD(0.02), "hinge", metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)])
    held_out = (rows.x_val, rows.y_val[:, None].astype("float32"))
    y = rows.y[:, None].astype("float32")
    return Case(model, rows.x, y, {"epochs": 12, "batch_size": 24, "validation_data": held_out})


def smoothed_labels() -> Case:
    """Label smoothing: the loss can't fall to 0, and levels off well above it."""
    keras.utils.set_random_seed(112)
    rows = data.motion(1400, classes=4, seed=112)
    y, y_val = (keras.utils.to_categorical(v, 4) for v in (rows.y, rows.y_val))
    model = keras.Sequential([
        keras.Input((32, 3)),
        layers.Conv1D(16, 5, strides=2, activation="relu"),
        layers.GlobalMaxPooling1D(),
        layers.Dense(4),
    ])  # fmt: skip
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    return Case(model, rows.x, y, {"epochs": 8, "batch_size": 32, "validation_data": (rows.x_val, y_val)})


class Rounded(layers.Layer):  # type: ignore[misc]
    """Rounds in the forward pass and hands the gradient straight through."""

    def call(self, x: Tensor) -> Tensor:
        return x + ops.stop_gradient(ops.round(x) - x)


def straight_through() -> Case:
    """A code of bits: `round` and `stop_gradient` in the middle of the model, with the gradient led around them."""
    keras.utils.set_random_seed(113)
    rows = data.digits(seed=113)
    image = keras.Input((8, 8, 1))
    x = layers.Dense(64, activation="relu")(layers.Flatten()(image))
    bits = Rounded()(layers.Dense(32, activation="sigmoid")(x))
    model = keras.Model(image, layers.Reshape((8, 8, 1))(layers.Dense(64)(layers.Dense(64, activation="relu")(bits))))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return Case(model, rows.x, rows.x, {"epochs": 14, "batch_size": 32, "validation_data": (rows.x_val, rows.x_val)})


def branches_from_zero() -> Case:
    """The last kernel of each residual branch begins at 0, so that the model begins as the identity."""
    keras.utils.set_random_seed(114)
    rows = data.houses(1800, seed=114)
    table = keras.Input((8,))
    x = layers.Dense(24)(table)
    for _ in range(2):
        branch = layers.Dense(32, activation="relu")(x)
        x = layers.Add()([x, layers.Dense(24, kernel_initializer="zeros")(branch)])
    model = keras.Model(table, layers.Dense(1)(x))
    model.compile(keras.optimizers.Adam(0.003), "mse", metrics=["mae"])
    return Case(model, rows.x, rows.y, {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out})


def some_rows_without_weight() -> Case:
    """A third of the rows have no target yet and rightly weigh 0."""
    keras.utils.set_random_seed(115)
    rows = data.counts(2200, seed=115)
    known = np.random.default_rng(115).random(len(rows.y)) < 0.67
    y = np.where(known[:, None], rows.y, 0).astype("float32")
    model = keras.Sequential([
        keras.Input((6,)),
        layers.Dense(24, activation="tanh"),
        layers.Dense(1, activation="exponential"),
    ])  # fmt: skip
    model.compile(keras.optimizers.Adam(0.005), "poisson")
    weight = known.astype("float32")
    fit = {"epochs": 12, "batch_size": 32, "validation_data": rows.held_out, "sample_weight": weight}
    return Case(model, rows.x, y, fit)


def crossentropy_of_pixels() -> Case:
    """Binary cross-entropy on grey pixels, which are neither 0 nor 1: the loss levels off far above 0."""
    keras.utils.set_random_seed(116)
    rows = data.digits(seed=116)
    image = keras.Input((8, 8, 1))
    code = layers.Dense(16, activation="relu")(layers.Dense(64, activation="relu")(layers.Flatten()(image)))
    out = layers.Dense(64, activation="sigmoid")(layers.Dense(64, activation="relu")(code))
    model = keras.Model(image, layers.Reshape((8, 8, 1))(out))
    model.compile(keras.optimizers.Nadam(0.002), "binary_crossentropy")
    return Case(model, rows.x, rows.x, {"epochs": 14, "batch_size": 32, "validation_data": (rows.x_val, rows.x_val)})


HEALTHY = (
    Healthy("linear_autoencoder", "autoencoder", "digits", linear_autoencoder),
    Healthy("scaled_inside", "mlp", "made table", scaled_inside),
    Healthy("rate_of_one", "linear", "digits", rate_of_one),
    Healthy("frozen_and_pretrained", "cnn-2d, nested", "images", frozen_and_pretrained),
    Healthy("two_units_for_yes_and_no", "embedding", "text", two_units_for_yes_and_no),
    Healthy("likelihood_below_zero", "cnn-1d", "series", likelihood_below_zero),
    Healthy("sixty_percent_dropped", "mlp", "digits", sixty_percent_dropped),
    Healthy("deep_tanh", "deep mlp", "digits", deep_tanh),
    Healthy("not_shuffled_but_mixed", "cnn-2d", "images", not_shuffled_but_mixed),
    Healthy("hinge_with_zero_and_one", "linear", "table", hinge_with_zero_and_one),
    Healthy("smoothed_labels", "cnn-1d", "series", smoothed_labels),
    Healthy("straight_through", "autoencoder", "digits", straight_through),
    Healthy("branches_from_zero", "functional, residual", "made table", branches_from_zero),
    Healthy("some_rows_without_weight", "mlp", "counts", some_rows_without_weight),
    Healthy("crossentropy_of_pixels", "autoencoder", "digits", crossentropy_of_pixels),
)
