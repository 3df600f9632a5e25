"""Sound models whose training steps are too long, too short or point the wrong way, each with its repaired twin."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ..program import Case, Program
from ._series import Split, figures, houses, motion, numerals, pulse, reviews, strokes, tumours

__all__ = ["PROGRAMS"]

SPARSE = "sparse_categorical_crossentropy"


class Warmup(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """The schedule of the transformer paper: linear up for `warmup` steps, then down with the root of the step."""

    def __init__(self, factor: float, warmup: int) -> None:
        self.factor = factor
        self.warmup = warmup

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32") + 1.0
        return self.factor * ops.minimum(step**-0.5, step * self.warmup**-1.5)

    def get_config(self) -> dict[str, Any]:
        return {"factor": self.factor, "warmup": self.warmup}


def transformer(width: int = 16) -> keras.Model:
    """One block of attention over the words of a review."""
    inputs = keras.Input((24,), dtype="int32")
    words = layers.Dropout(0.4)(layers.Embedding(300, width)(inputs))
    looked = layers.MultiHeadAttention(2, width // 2)(words, words)
    hidden = layers.LayerNormalization()(layers.Add()([words, looked]))
    widened = layers.Dense(width, activation="relu")(hidden)
    hidden = layers.LayerNormalization()(layers.Add()([hidden, layers.Dropout(0.3)(widened)]))
    pooled = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(hidden))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(pooled))


def power_without_its_minus(broken: bool) -> Case:
    """The transformer schedule with the square root of the width, where it should be divided by it."""
    keras.utils.set_random_seed(301)
    x, y, held, held_labels = reviews()
    model = transformer(64)
    schedule = Warmup(0.3 * 64 ** (0.5 if broken else -0.5), 30)
    model.compile(keras.optimizers.Adam(schedule, beta_2=0.98), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 4, "batch_size": 50, "validation_data": (held, held_labels)})


def momentum_on_top(broken: bool) -> Case:
    """A convolutional net with SGD at 0.8 and momentum 0.95: the rate was tuned before the momentum was added."""
    keras.utils.set_random_seed(302)
    x, y, held, held_labels = strokes()
    model = keras.Sequential(
        [
            keras.Input((14, 14, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.8 if broken else 0.02, momentum=0.95)
    model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 60, "validation_data": (held, held_labels)})


def warmup_of_a_paper(broken: bool) -> Case:
    """4000 steps of warmup copied from the paper into a training of 200 steps."""
    keras.utils.set_random_seed(303)
    x, y, held, held_labels = reviews()
    model = transformer()
    model.compile(keras.optimizers.Adam(Warmup(0.02, 4000 if broken else 30)), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 50, "validation_data": (held, held_labels)})


def default_of_adadelta(broken: bool) -> Case:
    """Adadelta "needs no learning rate", but Keras multiplies its step by 0.001 unless told otherwise."""
    keras.utils.set_random_seed(304)
    x, y, held, held_labels = numerals()
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Conv2D(12, 3, activation="relu")(inputs)
    hidden = layers.Conv2D(16, 3, activation="relu")(hidden)
    outputs = layers.Dense(10, activation="softmax")(layers.Flatten()(hidden))
    model = keras.Model(inputs, outputs)
    optimizer = keras.optimizers.Adadelta() if broken else keras.optimizers.Adadelta(learning_rate=1.0)
    model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 32, "validation_data": (held, held_labels)})


def directions() -> Split:
    """Seven features of a house to the direction of a vector that depends on them."""
    x, _, held, _ = houses()
    mix = np.random.default_rng(9).standard_normal((10, 6)).astype("float32") / 3

    def turn(rows: Any) -> Any:
        bent = np.tanh(rows @ mix) + 0.3 * rows[:, :6] * rows[:, 1:7]
        return (bent / np.linalg.norm(bent, axis=1, keepdims=True)).astype("float32")

    return x, turn(x), held, turn(held)


def minus_of_a_minus(broken: bool) -> Case:
    """Minus cosine similarity as the loss, but Keras' function of that name has the minus already."""
    keras.utils.set_random_seed(305)
    x, y, held, held_labels = directions()

    def opposite(y_true: Any, y_pred: Any) -> Any:
        return -keras.losses.cosine_similarity(y_true, y_pred)

    def aligned(y_true: Any, y_pred: Any) -> Any:
        return 1.0 + keras.losses.cosine_similarity(y_true, y_pred)

    inputs = keras.Input((10,))
    hidden = layers.Dense(48, activation="swish")(layers.Dense(48, activation="swish")(inputs))
    model = keras.Model(inputs, layers.UnitNormalization()(layers.Dense(6)(hidden)))
    model.compile(keras.optimizers.Adam(3e-3), opposite if broken else aligned, metrics=["mae"])
    return Case(model, x, y, {"epochs": 14, "batch_size": 64, "validation_data": (held, held_labels)})


def rate_below_zero(broken: bool) -> Case:
    """A line drawn down from the first rate, for seven epochs, in a training of twelve: it goes on below zero."""
    keras.utils.set_random_seed(306)
    x, y, held, held_labels = pulse()

    def line(epoch: int, rate: float) -> float:
        return 0.006 * (1 - (epoch + 1) / (7 if broken else 14))

    inputs = keras.Input((24, 1))
    hidden = layers.Dense(32, activation="tanh")(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(0.006), "mse", metrics=["mae"])
    callbacks = [keras.callbacks.LearningRateScheduler(line)]
    return Case(
        model, x, y, {"epochs": 12, "batch_size": 40, "callbacks": callbacks, "validation_data": (held, held_labels)}
    )


def growing_in_time(broken: bool) -> Case:
    """A SimpleRNN with ReLU and a wide recurrent matrix: the gradient grows with every step back in time."""
    keras.utils.set_random_seed(307)
    x, y, held, held_labels = pulse()
    kind: dict[str, Any] = {}
    if broken:
        kind = {"activation": "relu", "recurrent_initializer": keras.initializers.RandomNormal(stddev=0.32)}
    inputs = keras.Input((24, 1))
    model = keras.Model(inputs, layers.Dense(1)(layers.SimpleRNN(32, **kind)(inputs)))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.8), "mse", metrics=["mae"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 40, "validation_data": (held, held_labels)})


def sums_without_norm(broken: bool) -> Case:
    """Fourteen residual blocks and no normalisation in them: every block doubles what passes, and its gradient."""
    keras.utils.set_random_seed(308)
    x, y, held, held_labels = numerals()
    inputs = keras.Input((8, 8, 1))
    hidden = layers.Dense(40)(layers.Flatten()(inputs))
    for _ in range(14):
        entry = hidden if broken else layers.LayerNormalization()(hidden)
        step = layers.Dense(40, activation="relu", kernel_initializer="he_normal")(entry)
        hidden = layers.Add()([hidden, layers.Dense(40, kernel_initializer="he_normal")(step)])
    if not broken:
        hidden = layers.LayerNormalization()(hidden)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))
    model.compile(keras.optimizers.SGD(0.03), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 9, "batch_size": 60, "validation_data": (held, held_labels)})


def clipped_to_nothing(broken: bool) -> Case:
    """`global_clipnorm=1e-3`, meant to be safe, with SGD: no step is longer than 5e-5."""
    keras.utils.set_random_seed(309)
    x, y, held, held_labels = motion()
    inputs = keras.Input((32, 3))
    hidden = layers.Conv1D(16, 5, activation="relu")(inputs)
    hidden = layers.GlobalAveragePooling1D()(layers.Conv1D(24, 5, strides=2, activation="relu")(hidden))
    model = keras.Model(inputs, layers.Dense(5, activation="softmax")(hidden))
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True, global_clipnorm=1e-3 if broken else 1.0)
    model.compile(optimizer, SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 12, "batch_size": 50, "validation_data": (held, held_labels)})


def values_clipped(broken: bool) -> Case:
    """An LSTM forecaster with `clipvalue=1e-5`, a number meant for the loss."""
    keras.utils.set_random_seed(310)
    x, y, held, held_labels = pulse()
    model = keras.Sequential([keras.Input((24, 1)), layers.LSTM(20), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, clipvalue=1e-5 if broken else 0.5), "mse")
    return Case(model, x, y, {"epochs": 10, "batch_size": 40, "validation_data": (held, held_labels)})


def epochs_for_steps(broken: bool) -> Case:
    """CosineDecay over `epochs` steps: schedules count batches, so the rate is zero after half an epoch."""
    keras.utils.set_random_seed(311)
    x, y, held, held_labels = figures()
    epochs, batch = 8, 45
    length = epochs if broken else epochs * (len(x) // batch)
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Conv2D(12, 5, strides=2, padding="same", activation="relu")(inputs)
    hidden = layers.GlobalMaxPooling2D()(layers.Conv2D(24, 3, activation="relu")(hidden))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(hidden))
    schedule = keras.optimizers.schedules.CosineDecay(6e-3, length)
    model.compile(keras.optimizers.Adam(schedule), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": epochs, "batch_size": batch, "validation_data": (held, held_labels)})


def decay_upon_decay(broken: bool) -> Case:
    """`rate * 0.3 ** epoch` of the rate as it is now, not of the first one: cuts upon cuts."""
    keras.utils.set_random_seed(312)
    x, y, held, held_labels = houses()

    def decay(epoch: int, rate: float) -> float:
        return rate * 0.3**epoch if broken else 0.006 * 0.9**epoch

    inputs = keras.Input((10,))
    hidden = layers.Dense(64, activation="relu")(inputs)
    hidden = layers.Dense(32, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.SGD(0.006, momentum=0.9), "mse")
    callbacks = [keras.callbacks.LearningRateScheduler(decay)]
    return Case(
        model, x, y, {"epochs": 20, "batch_size": 30, "callbacks": callbacks, "validation_data": (held, held_labels)}
    )


def likelihood_not_negated(broken: bool) -> Case:
    """The mean log-likelihood of a Bernoulli, written by hand and minimised: the minus is missing."""
    keras.utils.set_random_seed(313)
    x, y, held, held_labels = tumours()

    def likelihood(y_true: Any, y_pred: Any) -> Any:
        p = ops.clip(y_pred, 1e-6, 1 - 1e-6)
        value = y_true * ops.log(p) + (1 - y_true) * ops.log(1 - p)
        return ops.mean(value if broken else -value, axis=-1)

    model = keras.Sequential(
        [keras.Input((30,)), layers.Dense(8, activation="relu"), layers.Dense(1, activation="sigmoid")]
    )
    model.compile(keras.optimizers.Adam(4e-3), likelihood, metrics=["binary_accuracy"])
    return Case(model, x, y, {"epochs": 12, "batch_size": 20, "validation_data": (held, held_labels)})


KIND = "optimisation"
PROGRAMS: tuple[Program, ...] = (
    Program(
        "power_without_its_minus", KIND, ("learning_rate_too_high",), "transformer", "text", power_without_its_minus
    ),
    Program("momentum_on_top", KIND, ("learning_rate_too_high",), "cnn2d", "mnist", momentum_on_top),
    Program("warmup_of_a_paper", KIND, ("learning_rate_too_low",), "transformer", "text", warmup_of_a_paper),
    Program("default_of_adadelta", KIND, ("learning_rate_too_low",), "cnn2d", "digits", default_of_adadelta),
    Program("minus_of_a_minus", KIND, ("negative_learning_rate",), "mlp", "table", minus_of_a_minus),
    Program("rate_below_zero", KIND, ("negative_learning_rate",), "mlp", "series", rate_below_zero),
    Program("likelihood_not_negated", KIND, ("negative_learning_rate",), "mlp", "table", likelihood_not_negated),
    Program("growing_in_time", KIND, ("exploding_gradient",), "rnn", "series", growing_in_time),
    Program("sums_without_norm", KIND, ("exploding_gradient",), "functional", "digits", sums_without_norm),
    Program("clipped_to_nothing", KIND, ("clipping_too_tight",), "cnn1d", "series", clipped_to_nothing),
    Program("values_clipped", KIND, ("clipping_too_tight",), "lstm", "series", values_clipped),
    Program("epochs_for_steps", KIND, ("schedule_dies",), "cnn2d", "images", epochs_for_steps),
    Program("decay_upon_decay", KIND, ("schedule_dies",), "mlp", "table", decay_upon_decay),
)
