"""Programs that look like mistakes and are none: each learns well as it stands."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Healthy
from . import data

__all__ = ["HEALTHY"]


def clipped_under_adam() -> Case:
    """A clipnorm of 0.001 under Adam, which divides by the size of gradients anyway: steps are as long as before."""
    keras.utils.set_random_seed(1101)
    (x, kind), held = data.split(*data.motions())
    model = keras.Sequential(
        [layers.Input((40, 6)), layers.Conv1D(16, 5, activation="relu"), layers.Flatten(), layers.Dense(4)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.001, clipnorm=0.001), loss, metrics=["accuracy"])
    return Case(model, x, kind, {"epochs": 8, "batch_size": 30, "validation_data": held})


def words_beyond_the_end_weigh_nothing() -> Case:
    """Half of all sample weights are 0: they are those of places after a sentence's end, one weight a word."""
    keras.utils.set_random_seed(1102)
    x, tags, there = data.sentences()
    inputs = layers.Input((20,), dtype="int32")
    words = layers.Embedding(61, 24)(inputs)
    hidden = layers.Conv1D(48, 3, padding="causal", activation="relu")(words)
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    fit: dict[str, Any] = {"epochs": 12, "batch_size": 30, "sample_weight": there[:700]}
    return Case(model, x[:700], tags[:700], {**fit, "validation_data": (x[700:], tags[700:], there[700:])})


def residual_from_nothing() -> Case:
    """The last scale of each residual block starts at 0, so that the block starts as the identity."""
    keras.utils.set_random_seed(1103)
    (x, digit), held = data.split(*data.digits())
    inputs = layers.Input((8, 8, 1))
    hidden = layers.Conv2D(12, 3, padding="same", activation="relu")(inputs)
    for _ in range(2):
        inner = layers.Conv2D(12, 3, padding="same", use_bias=False)(hidden)
        inner = layers.BatchNormalization(gamma_initializer="zeros", momentum=0.9)(inner)
        hidden = layers.Activation("relu")(layers.Add()([hidden, inner]))
    pooled = layers.Flatten()(layers.MaxPooling2D(2)(hidden))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(pooled))
    model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 7, "batch_size": 32, "validation_data": held})


def last_layer_from_zero() -> Case:
    """The last kernel starts at 0, so that the first answer is the mean; what is below is drawn as usual."""
    keras.utils.set_random_seed(1104)
    x, price = data.homes()
    (x, price), held = data.split(data.standardised(x), price[:, None])
    start = keras.initializers.Constant(float(price.mean()))
    model = keras.Sequential(
        [
            layers.Input((6,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(1, kernel_initializer="zeros", bias_initializer=start),
        ]
    )
    model.compile(keras.optimizers.Adam(0.004), "mae", metrics=["mse"])
    return Case(model, x, price, {"epochs": 12, "batch_size": 30, "validation_data": held})


def rates_by_exponential() -> Case:
    """A regression whose last activation is `exponential`, and whose loss goes below 0: Poisson counts."""
    keras.utils.set_random_seed(1105)
    (x, calls), held = data.split(*data.counts())
    model = keras.Sequential(
        [layers.Input((5,)), layers.Dense(24, activation="tanh"), layers.Dense(1, activation="exponential")]
    )
    model.compile(keras.optimizers.Adam(0.005), "poisson", metrics=["mae"])
    fit = {"epochs": 12, "batch_size": 40, "validation_data": (held[0], held[1][:, None])}
    return Case(model, x, calls[:, None], fit)


def warmed_up_and_down() -> Case:
    """The rate starts at 0, rises for two epochs, and ends at 0: just when training ends."""
    keras.utils.set_random_seed(1106)
    (x, topic), held = data.split(*data.documents())
    inputs = layers.Input((24,), dtype="int32")
    words = layers.Embedding(300, 16)(inputs)
    seen = layers.LayerNormalization()(words + layers.MultiHeadAttention(2, 8)(words, words))
    pooled = layers.GlobalAveragePooling1D()(seen)
    model = keras.Model(inputs, layers.Dense(8, activation="softmax")(pooled))
    steps = 6 * 50
    rate = keras.optimizers.schedules.CosineDecay(0.0, steps - 100, warmup_target=0.01, warmup_steps=100)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, topic, {"epochs": 6, "batch_size": 30, "validation_data": held})


class Binary(layers.Layer):  # type: ignore[misc]
    """Rounds to 0 or 1 and hands the gradient on as if it had not."""

    def call(self, x: Any) -> Any:
        soft = ops.sigmoid(x)
        return soft + ops.stop_gradient(ops.cast(soft > 0.5, x.dtype) - soft)


def rounded_straight_through() -> Case:
    """A code of bits, rounded, with `stop_gradient` around the rounding only: the gradient goes straight through."""
    keras.utils.set_random_seed(1107)
    x, digit = data.digits()
    (x, _), (x_val, _) = data.split(x.reshape(-1, 64), digit)
    inputs = layers.Input((64,))
    bits = Binary()(layers.Dense(48)(inputs))
    model = keras.Model(inputs, layers.Dense(64)(layers.Dense(64, activation="relu")(bits)))
    model.compile(keras.optimizers.Adam(0.004), "mse")
    return Case(model, x, x, {"epochs": 12, "batch_size": 24, "validation_data": (x_val, x_val)})


def more_words_than_are_used() -> Case:
    """An embedding of 2,000 rows of which 300 occur: the others get no gradient, and nobody needs them."""
    keras.utils.set_random_seed(1108)
    (x, topic), held = data.split(*data.documents())
    model = keras.Sequential(
        [
            layers.Input((24,), dtype="int32"),
            layers.Embedding(2000, 16),
            layers.GlobalAveragePooling1D(),
            layers.Dense(8, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, topic, {"epochs": 8, "batch_size": 40, "validation_data": held})


def dense_in_two_factors() -> Case:
    """Two dense layers with nothing between: a large matrix kept as a product of two thin ones."""
    keras.utils.set_random_seed(1109)
    (x, digit), held = data.split(*data.mnist(5000))
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Flatten(),
            layers.Dense(24, use_bias=False),
            layers.Dense(96, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, digit, {"epochs": 4, "batch_size": 32, "validation_data": held})


def shares_by_sigmoid() -> Case:
    """A regression under sigmoid and binary cross-entropy: its targets are shares between 0 and 1."""
    keras.utils.set_random_seed(1110)
    x, wear = data.scored()
    (x, share), held = data.split(x, (1 / (1 + np.exp(-1.5 * wear))).astype("float32"))
    model = keras.Sequential(
        [
            layers.Input((10,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(32, activation="relu"),
            layers.Dense(3, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "binary_crossentropy", metrics=["mae"])
    return Case(model, x, share, {"epochs": 15, "batch_size": 30, "validation_data": held})


def two_rows_a_batch() -> Case:
    """Batches of two rows, with layer normalisation, which asks nothing of a batch."""
    keras.utils.set_random_seed(1111)
    (x, kind), held = data.split(*data.cancer())
    model = keras.Sequential(
        [
            layers.Input((30,)),
            layers.Dense(16),
            layers.LayerNormalization(),
            layers.Activation("relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.01), "binary_crossentropy", metrics=["accuracy"])
    return Case(model, x, kind[:, None], {"epochs": 4, "batch_size": 2, "validation_data": (held[0], held[1][:, None])})


def mixed_pictures() -> Case:
    """Labels are fractions: two pictures are laid over each other, and so are their one-hot labels (mixup)."""
    keras.utils.set_random_seed(1112)
    (x, digit), (x_val, digit_val) = data.split(*data.digits())
    one_hot = np.eye(10, dtype="float32")
    rng = np.random.default_rng(110)
    other, share = rng.permutation(len(x)), rng.beta(0.3, 0.3, (len(x), 1)).astype("float32")
    y = share * one_hot[digit] + (1 - share) * one_hot[digit[other]]
    x = share[..., None, None] * x + (1 - share[..., None, None]) * x[other]
    model = keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(48, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.002), "categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 12, "batch_size": 30, "validation_data": (x_val, one_hot[digit_val])})


def one_in_ten_and_found() -> Case:
    """One row in ten is positive, no weights are given, and the model finds them all the same."""
    keras.utils.set_random_seed(1113)
    rng = np.random.default_rng(111)
    x = rng.normal(0, 1, (3200, 8)).astype("float32")
    fault = (x[:, 0] + x[:, 1] ** 2 > 2.45).astype("int32")
    (x, fault), held = data.split(x, fault)
    model = keras.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return Case(model, x, fault, {"epochs": 12, "batch_size": 30, "validation_data": held})


class Tied(layers.Layer):  # type: ignore[misc]
    """Decodes with the transposed kernel of the layer that encodes."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def call(self, code: Any) -> Any:
        return ops.matmul(code, ops.transpose(self.encoder.kernel))


def decoder_without_weights() -> Case:
    """The decoder has no weight of its own: it takes the encoder's, transposed."""
    keras.utils.set_random_seed(1114)
    x, y = data.cancer()
    (x, _), (x_val, _) = data.split(x, y)
    encoder = layers.Dense(10)
    inputs = layers.Input((30,))
    code = encoder(inputs)
    model = keras.Model(inputs, Tied(encoder)(code))
    model.compile(keras.optimizers.Adam(0.003), "mse")
    return Case(model, x, x, {"epochs": 12, "batch_size": 16, "validation_data": (x_val, x_val)})


def features_drawn_and_kept() -> Case:
    """Frozen weights of deviation 3, as wanted: random Fourier features under a trained head."""
    keras.utils.set_random_seed(1115)
    (x, arm), held = data.split(*data.spirals())
    wide = keras.initializers.RandomNormal(stddev=3.0)
    features = layers.Dense(128, activation=ops.sin, kernel_initializer=wide, trainable=False)
    model = keras.Sequential([layers.Input((2,)), features, layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.02), "binary_crossentropy", metrics=["accuracy"])
    return Case(
        model, x, arm[:, None], {"epochs": 10, "batch_size": 24, "validation_data": (held[0], held[1][:, None])}
    )


def small_second_loss() -> Case:
    """Of two losses one is ten times the other, and the weights 1 and 0.1 say so: both heads learn."""
    keras.utils.set_random_seed(1116)
    x, wear = data.scored()
    (x, wear), (x_val, wear_val) = data.split(x, wear)
    inputs = layers.Input((10,))
    shared = layers.Dense(64, activation="relu")(inputs)
    shared = layers.Dense(32, activation="relu")(shared)
    figure = layers.Dense(1, name="figure")(shared)
    high = layers.Dense(1, activation="sigmoid", name="high")(shared)
    model = keras.Model(inputs, {"figure": figure, "high": high})
    losses, weights = {"figure": "mse", "high": "binary_crossentropy"}, {"figure": 0.1, "high": 1.0}
    model.compile(keras.optimizers.Adam(0.005), losses, loss_weights=weights)
    y, y_val = ({"figure": 3 * w[:, 2:], "high": (w[:, :1] > 0).astype("float32")} for w in (wear, wear_val))
    return Case(model, x, y, {"epochs": 10, "batch_size": 30, "validation_data": (x_val, y_val)})


HEALTHY = (
    Healthy("clipped_under_adam", "1-D CNN", "series", clipped_under_adam),
    Healthy("words_beyond_the_end_weigh_nothing", "1-D CNN tagger", "text", words_beyond_the_end_weigh_nothing),
    Healthy("residual_from_nothing", "residual CNN", "images", residual_from_nothing),
    Healthy("last_layer_from_zero", "MLP", "table", last_layer_from_zero),
    Healthy("rates_by_exponential", "MLP", "table", rates_by_exponential),
    Healthy("warmed_up_and_down", "transformer", "text", warmed_up_and_down),
    Healthy("rounded_straight_through", "autoencoder", "images", rounded_straight_through),
    Healthy("more_words_than_are_used", "embedding", "text", more_words_than_are_used),
    Healthy("dense_in_two_factors", "MLP", "images", dense_in_two_factors),
    Healthy("shares_by_sigmoid", "MLP", "table", shares_by_sigmoid),
    Healthy("two_rows_a_batch", "MLP", "table", two_rows_a_batch),
    Healthy("mixed_pictures", "CNN", "images", mixed_pictures),
    Healthy("one_in_ten_and_found", "MLP", "table", one_in_ten_and_found),
    Healthy("decoder_without_weights", "autoencoder", "table", decoder_without_weights),
    Healthy("features_drawn_and_kept", "own features", "table", features_drawn_and_kept),
    Healthy("small_second_loss", "two heads", "table", small_second_loss),
)
