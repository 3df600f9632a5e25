"""Losses and models as people write them in the problems of part D: what goes wrong is in here on purpose."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers, ops

import truetap as tt
from truetap.rules.finding import Severity

Array = npt.NDArray[Any]

RNG = np.random.default_rng(8)
EIGHT = np.arange(8, dtype="float32")


def evaluated(model: Any, x: Any, y: Any, weight: Any = None, batch_size: int = 8) -> float:
    """The loss that Keras reports."""
    logs = model.evaluate(x, y, sample_weight=weight, batch_size=batch_size, verbose=0, return_dict=True)
    return float(logs["loss"])


def found(*args: Any, **kwargs: Any) -> dict[str, Severity]:
    """What `check_loss` names."""
    return {each.rule: each.severity for each in tt.check_loss(*args, **kwargs).findings}


def gives_back(shape: tuple[int, ...] = (1,), loss: Any = "mse", **compiled: Any) -> Any:
    """A model whose output is its input, and stays so while it is trained at rate 0."""
    last = layers.Dense(shape[-1], use_bias=False, kernel_initializer="identity", name="head")
    model = keras.Sequential([keras.Input(shape), last])
    model.compile(**({"optimizer": keras.optimizers.SGD(0.0), "loss": loss} | compiled))
    return model


# --- D02, D03: ranks, and scalars --------------------------------------------------------------------


@keras.saving.register_keras_serializable("truetap-tests")
class SquaredLoss(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


def squared(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def of_the_guide(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred))


# --- D05, D06: masks ---------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("truetap-tests")
class Doubled(layers.Layer):  # type: ignore[misc]
    """Says nothing of masks."""

    def call(self, x: Any) -> Any:
        return 2.0 * x / 2.0


def masking(steps: int, between: str = "nothing", loss: Any = "mae") -> Any:
    """Gives its steps back, with the mask of those that are 0 unless something between loses it."""
    inputs = keras.Input((steps, 1))
    hidden = layers.Masking()(inputs)
    if between == "arithmetic":
        hidden = hidden * 1.0
    elif between == "Add":
        hidden = layers.Add()([hidden, layers.Rescaling(0.0)(inputs)])
    elif between == "Flatten":
        hidden = layers.Flatten()(hidden)
    elif between == "Reshape":
        hidden = layers.Reshape((steps, 1))(hidden)
    elif between == "own layer":
        hidden = Doubled()(hidden)
    model = keras.Model(inputs, hidden)
    model.compile(loss=loss)
    return model


def where_x(y_true: Any, x: Any) -> Any:
    """The mask that got lost, from x itself."""
    return ops.any(ops.not_equal(x, 0.0), axis=-1)


# --- D07, D08: missing labels ------------------------------------------------------------------------


def masked_by_hand(y_true: Any, y_pred: Any) -> Any:
    mask = ops.cast(ops.not_equal(y_true, -1.0), y_pred.dtype)
    return ops.mean(ops.square(mask * (y_pred - y_true)), axis=-1)


def nan_by_product(y_true: Any, y_pred: Any) -> Any:
    mask = ops.cast(ops.logical_not(ops.isnan(y_true)), y_pred.dtype)
    return ops.mean(ops.square(mask * (y_pred - y_true)), axis=-1)


def nan_by_where(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.where(ops.isnan(y_true), 0.0, ops.square(y_pred - y_true)), axis=-1)


# --- D09 to D11: what else a loss needs --------------------------------------------------------------


def binomial(y_true: Any, y_pred: Any, *, x: Any) -> Any:
    """Successes in x["trials"], which are neither label nor output; y_pred is the log-odds."""
    log_p, log_q = -ops.softplus(-y_pred[:, 0]), -ops.softplus(y_pred[:, 0])
    return -(y_true[:, 0] * log_p + (x["trials"][:, 0] - y_true[:, 0]) * log_q)


def closing_over(trials: Array) -> Any:
    """The same with the array of the whole data: right only while rows stay where they are."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        return binomial(y_true, y_pred, x={"trials": ops.convert_to_tensor(trials)})

    return loss


def counts(loss: Any) -> Any:
    """Takes {"odds", "trials"}; gives the log-odds back."""
    inputs = {"odds": keras.Input((1,), name="odds"), "trials": keras.Input((1,), name="trials")}
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs["odds"]))
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss=loss)
    return model


def one_minus_r2(y_true: Any, y_pred: Any, *, sample_weight: Any) -> Any:
    """Each sample's part of the weighted 1 - R2, whose mean over the batch it is."""
    y, p = y_true[:, 0], y_pred[:, 0]
    w = ops.ones_like(y) if sample_weight is None else sample_weight
    center = ops.sum(w * y) / ops.sum(w)
    part = w * ops.square(y - p) / ops.sum(w * ops.square(y - center))
    return part * ops.cast(ops.size(y), y.dtype)


def angle(y_true: Any, y_pred: Any) -> Any:
    """A direction of two numbers, times a length of one: no sum over the outputs."""
    length, direction = y_pred
    return ops.sum(ops.square(length * direction - y_true[0] * y_true[1]), axis=-1)


# --- D16 to D18: no gradient, no batch axis, a metric ------------------------------------------------


def f1_of_rounded(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - ops.round(y_pred)), axis=-1)


def by_argmax(y_true: Any, y_pred: Any) -> Any:
    wrong = ops.not_equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
    return ops.cast(wrong, "float32")


def in_numpy(y_true: Any, y_pred: Any) -> Any:
    return ops.convert_to_tensor(np.mean((np.asarray(y_true) - ops.convert_to_numpy(y_pred)) ** 2, axis=-1))


def over_static_batch(y_true: Any, y_pred: Any) -> Any:
    return ops.sum(ops.square(y_true - y_pred), axis=-1) / y_pred.shape[0]


def of_batches_of_8(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.reshape(ops.square(y_true - y_pred), (8, -1)), axis=-1)


def my_accuracy(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.cast(ops.equal(y_true, ops.round(y_pred)), "float32"))


# --- D19: a step of one's own ------------------------------------------------------------------------


class DropsWeights(keras.Sequential):  # type: ignore[misc]
    """Unpacks the weights and never uses them; JAX gives its state ahead of the data."""

    def train_step(self, first: Any, second: Any = None) -> Any:
        *state, (x, y, _) = [first] if second is None else [first, second]
        return super().train_step(*state, (x, y))
