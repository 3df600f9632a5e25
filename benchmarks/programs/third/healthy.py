"""Sound programs that look odd: what a rule says of them is a false alarm."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import initializers, layers, ops

from ..program import Case, Healthy
from ._series import Split, figures, motion, numerals, pulse, reviews, strokes, tumours
from .optimisation import directions

__all__ = ["HEALTHY"]

SPARSE = "sparse_categorical_crossentropy"


class Draw(layers.Layer):  # type: ignore[misc]
    """The draw of a variational autoencoder; the divergence from the normal distribution is added to the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, inputs: Any) -> Any:
        mean, spread = ops.split(inputs, 2, axis=-1)
        self.add_loss(5e-4 * ops.mean(ops.exp(spread) + mean**2 - 1 - spread))
        return mean + ops.exp(spread / 2) * keras.random.normal(ops.shape(mean), seed=self.seeds)


def variational() -> Case:
    """A variational autoencoder: noise in every mode, and a loss that is not all in `compile`."""
    keras.utils.set_random_seed(601)
    x, _, held, _ = numerals()
    x, held = x.reshape(-1, 64), held.reshape(-1, 64)
    inputs = keras.Input((64,))
    code = Draw()(layers.Dense(24)(layers.Dense(64, activation="relu")(inputs)))
    outputs = layers.Dense(64, activation="sigmoid")(layers.Dense(64, activation="relu")(code))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(4e-3), "mse")
    return Case(model, x, x, {"epochs": 20, "batch_size": 50, "validation_data": (held, held)})


def silent_residuals() -> Case:
    """The last map of each residual block starts at zero, so that the net starts as the identity."""
    keras.utils.set_random_seed(602)
    x, y, held, held_labels = motion()
    inputs = keras.Input((32, 3))
    hidden = layers.Conv1D(16, 5, strides=2, padding="same", activation="relu")(inputs)
    for _ in range(2):
        step = layers.Conv1D(16, 3, padding="same", activation="relu")(hidden)
        step = layers.Conv1D(16, 3, padding="same", kernel_initializer="zeros")(step)
        hidden = layers.Add()([hidden, step])
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(layers.GlobalMaxPooling1D()(hidden)))
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 75, "validation_data": (held, held_labels)})


def down_to_minus_one() -> Case:
    """Cosine similarity as the loss: it is negative, and falls to -1."""
    keras.utils.set_random_seed(603)
    x, y, held, held_labels = directions()
    inputs = keras.Input((10,))
    hidden = layers.Dense(40, activation="gelu")(layers.Dense(40, activation="gelu")(inputs))
    model = keras.Model(inputs, layers.UnitNormalization()(layers.Dense(6)(hidden)))
    model.compile(keras.optimizers.Adam(4e-3), keras.losses.CosineSimilarity())
    return Case(model, x, y, {"epochs": 12, "batch_size": 50, "validation_data": (held, held_labels)})


def listening_probe() -> Case:
    """A second output reads what the trunk knows through `stop_gradient`, so as not to change it."""
    keras.utils.set_random_seed(604)
    x, y, held, held_labels = numerals()
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(12, 3, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(layers.Flatten()(hidden))
    digit = layers.Dense(10, activation="softmax", name="digit")(hidden)
    probe = layers.Dense(2, activation="softmax", name="odd")(ops.stop_gradient(hidden))
    model = keras.Model(inputs, [digit, probe])
    model.compile(keras.optimizers.Adam(2e-3), [SPARSE, SPARSE])
    fit = {"epochs": 9, "batch_size": 32, "validation_data": (held, [held_labels, held_labels % 2])}
    return Case(model, x, [y, y % 2], fit)


def row_by_row() -> Case:
    """Batches of one, with layer normalisation, which doesn't mind."""
    keras.utils.set_random_seed(605)
    x, y, held, held_labels = tumours()
    model = keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(10, activation="relu"),
            layers.LayerNormalization(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.008), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 3, "batch_size": 1, "validation_data": (held, held_labels)})


def ratings(size: int = 4000) -> Split:
    """Pairs of a reader (40) and a book (30), and the rating: a product of four hidden tastes, and noise."""
    random = np.random.default_rng(17)
    who, what = random.integers(0, 40, size), random.integers(0, 30, size)
    taste, gift = random.standard_normal((40, 4)) / 2, random.standard_normal((30, 4))
    score = (taste[who] * gift[what]).sum(-1) + 0.2 * random.standard_normal(size)
    pairs, cut = np.stack([who, what], -1).astype("int32"), 3000
    return pairs[:cut], score[:cut, None].astype("float32"), pairs[cut:], score[cut:, None].astype("float32")


def no_activation_anywhere() -> Case:
    """A matrix factorisation: embeddings and their product, and no activation at all."""
    keras.utils.set_random_seed(606)
    x, y, held, held_labels = ratings()
    reader, book = keras.Input((), dtype="int32"), keras.Input((), dtype="int32")
    start = initializers.RandomNormal(stddev=0.3)
    factors = [layers.Embedding(n, 4, start)(i) for n, i in ((40, reader), (30, book))]
    model = keras.Model([reader, book], layers.Dot(axes=-1)(factors))
    model.compile(keras.optimizers.Adam(2e-2), "mse")
    validation = ([held[:, 0], held[:, 1]], held_labels)
    return Case(model, [x[:, 0], x[:, 1]], y, {"epochs": 8, "batch_size": 60, "validation_data": validation})


def from_zero_to_zero() -> Case:
    """A rate that starts at zero, rises for thirty steps and is zero again on the last one."""
    keras.utils.set_random_seed(607)
    x, y, held, held_labels = figures()
    steps = 8 * (len(x) // 50)
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - 30, warmup_target=6e-3, warmup_steps=30)
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Conv2D(12, 5, strides=2, padding="same", activation="relu")(inputs)
    hidden = layers.GlobalMaxPooling2D()(layers.Conv2D(20, 3, activation="relu")(hidden))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(rate), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 50, "validation_data": (held, held_labels)})


def clipped_but_adam() -> Case:
    """`global_clipnorm=0.01` cuts every gradient, and Adam, which divides by their size, makes up for it."""
    keras.utils.set_random_seed(608)
    x, y, held, held_labels = pulse()
    model = keras.Sequential([keras.Input((24, 1)), layers.GRU(16), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(6e-3, global_clipnorm=0.01), "mse", metrics=["mae"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 40, "validation_data": (held, held_labels)})


class Waves(layers.Layer):  # type: ignore[misc]
    """Random Fourier features (Rahimi and Recht, 2007): the cosine of large random maps, never trained."""

    def __init__(self) -> None:
        super().__init__(trainable=False)
        self.lift = layers.Dense(
            400,
            kernel_initializer=initializers.RandomNormal(stddev=0.15, seed=1),
            bias_initializer=initializers.RandomUniform(0, 6.283, seed=2),
        )

    def build(self, shape: Any) -> None:
        self.lift.build(shape)

    def call(self, inputs: Any) -> Any:
        return ops.cos(self.lift(inputs)) * (2 / 400) ** 0.5


def random_on_purpose() -> Case:
    """A linear classifier on frozen random features, which stands for a kernel machine."""
    keras.utils.set_random_seed(609)
    x, y, held, held_labels = strokes()
    inputs = keras.Input((14, 14, 1))
    hidden = Waves()(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(6e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 60, "validation_data": (held, held_labels)})


def mostly_padding() -> Case:
    """Short texts in rows of 48: two thirds are padding, and masked."""
    keras.utils.set_random_seed(610)
    x, y, held, held_labels = reviews()
    random = np.random.default_rng(8)

    def padded(rows: Any) -> Any:
        keep = np.arange(24)[None] < random.integers(14, 20, (len(rows), 1))
        return np.pad(rows * keep, ((0, 0), (0, 24))).astype("int32")

    inputs = keras.Input((48,), dtype="int32")
    words = layers.Dropout(0.3)(layers.Embedding(300, 12, mask_zero=True)(inputs))
    hidden = layers.Dense(16, activation="relu")(layers.GlobalAveragePooling1D()(words))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, padded(x), y, {"epochs": 8, "batch_size": 50, "validation_data": (padded(held), held_labels)})


HEALTHY: tuple[Healthy, ...] = (
    Healthy("variational", "autoencoder", "digits", variational),
    Healthy("silent_residuals", "cnn1d", "series", silent_residuals),
    Healthy("down_to_minus_one", "mlp", "table", down_to_minus_one),
    Healthy("listening_probe", "two outputs", "digits", listening_probe),
    Healthy("row_by_row", "mlp", "table", row_by_row),
    Healthy("no_activation_anywhere", "embedding", "ratings", no_activation_anywhere),
    Healthy("from_zero_to_zero", "cnn2d", "images", from_zero_to_zero),
    Healthy("clipped_but_adam", "gru", "series", clipped_but_adam),
    Healthy("random_on_purpose", "functional", "mnist", random_on_purpose),
    Healthy("mostly_padding", "embedding", "text", mostly_padding),
)
