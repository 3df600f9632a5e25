"""Losses that are wrong, each in one way, and the batch on which it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

Array = npt.NDArray[Any]

N = 8
_RNG = np.random.default_rng(7)


def _softmax(values: Array) -> Array:
    shares = np.exp(values) / np.exp(values).sum(-1, keepdims=True)
    return np.asarray(shares, np.float32)


REAL = (_RNG.normal(size=(N, 3)).astype("float32"), _RNG.normal(size=(N, 3)).astype("float32"))
COLUMN = (_RNG.normal(size=(N, 1)).astype("float32"), _RNG.normal(size=(N, 1)).astype("float32"))
FLAT = (COLUMN[0][:, 0], COLUMN[1])
STEPS = (_RNG.normal(size=(N, N)).astype("float32"), _RNG.normal(size=(N, N, 1)).astype("float32"))
UNEVEN = (_RNG.normal(size=(N, 5)).astype("float32"), _RNG.normal(size=(N, 5, 1)).astype("float32"))
POSITIVE = (_RNG.uniform(0.1, 3, (N, 3)).astype("float32"), _RNG.uniform(0.1, 3, (N, 3)).astype("float32"))
INDEX = np.asarray([0, 1, 2, 3, 3, 1, 0, 2])
LOGITS = (2 * _RNG.normal(size=(N, 4))).astype("float32")
SHARES = _softmax(LOGITS)
SOFT = _softmax(_RNG.normal(size=(N, 4)))
ONE_HOT = np.eye(4, dtype="float32")[INDEX]
BINARY = (
    np.asarray([[0], [1], [1], [0], [1], [0], [0], [1]], "float32"),
    _RNG.uniform(0.1, 0.9, (N, 1)).astype("float32"),
)
SIGNS = (2 * BINARY[0] - 1, COLUMN[1])
IMAGES = (
    (_RNG.uniform(size=(N, 4, 4, 1)) > 0.5).astype("float32"),
    _RNG.uniform(0.1, 0.9, (N, 4, 4, 1)).astype("float32"),
)
PADDED = np.where(np.arange(6) < np.arange(1, N + 1)[:, None] % 5 + 1, _RNG.integers(1, 4, (N, 6)), 0)
SEQUENCE = _softmax(_RNG.normal(size=(N, 6, 4)))
HOLES = np.where(_RNG.uniform(size=(N, 3)) < 0.4, -1, _RNG.uniform(0.2, 2, (N, 3))).astype("float32")
MISSING = np.where(_RNG.uniform(size=(N, 3)) < 0.4, np.nan, REAL[0]).astype("float32")


SERIES = _RNG.normal(size=(N, 6, 1)).astype("float32")
TAKEN = np.concatenate([_RNG.normal(size=(N, 6, 1)), _RNG.uniform(size=(N, 6, 1)) < 0.5], axis=-1).astype("float32")


@dataclass(frozen=True)
class Broken:
    """A loss, its batch, the rule that has to name it, and a word that the finding must hold."""

    rule: str
    loss: Any
    y_true: Array
    y_pred: Array
    word: str = ""
    sample_weight: Any = None
    severity: str = field(default="")


TABLE: dict[str, Broken] = {}


def broken(rule: str, batch: tuple[Array, Array], word: str = "", **more: Any) -> Callable[[Any], Any]:
    """Puts a loss (or a class of losses, made without arguments) into the table."""

    def put(loss: Any) -> Any:
        TABLE[f"{rule}-{loss.__name__}"] = Broken(rule, loss, *batch, word, **more)
        return loss

    return put


# ------------------------------------------------------------------------------------------ shapes
@broken("implicit_broadcast", FLAT, "Keras aligns ranks for functions, not in a Loss")
class SquaredOfFlatLabels(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


@broken("implicit_broadcast", STEPS)
class AbsoluteOfSteps(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.abs(y_true - y_pred)


@broken("implicit_broadcast", (COLUMN[0], COLUMN[1][:, 0]))
class OutputsWithoutAxis(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.square(y_true - y_pred)


@broken("implicit_broadcast", FLAT)
def squeezes_only_outputs(y_true: Any, y_pred: Any) -> Any:
    return ops.square(y_true - y_pred[:, 0])


@broken("unaligned_ranks", UNEVEN, "(n, 5, 1)")
class StepsThatDontBroadcast(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_true - y_pred), axis=-1)


@broken("does_not_run", REAL, "returns a tensor")
def forgets_return(y_true: Any, y_pred: Any) -> None:
    ops.mean(ops.square(y_true - y_pred), axis=-1)


@broken("does_not_run", (INDEX, SHARES))
def indices_against_shares(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(ops.reshape(y_true, (-1, 3)) - y_pred), axis=-1)


# --------------------------------------------------------------------------------------- reduction
@broken("reduced_before_weights", REAL, "too; alone")
def mean_of_all(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred))


@broken("reduced_before_weights", REAL, "weight 1 on sample", sample_weight=np.ones(N), severity="error")
def mean_of_all_with_weights(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.abs(y_true - y_pred))


@broken("reduced_before_weights", REAL)
def sum_of_all(y_true: Any, y_pred: Any) -> Any:
    return ops.sum(ops.square(y_true - y_pred))


@broken("reduced_before_weights", REAL)
def mean_over_batch_axis(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), axis=0)


@broken("reduced_before_weights", (ONE_HOT, SHARES))
def scalar_crossentropy(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(keras.losses.categorical_crossentropy(y_true, y_pred))


@broken("reduced_before_weights", IMAGES, "too; alone", sample_weight=np.ones(N), severity="error")
def weighted_dice_of_batch(y_true: Any, y_pred: Any) -> Any:
    return dice_of_batch(y_true, y_pred)


@broken("batch_statistics", IMAGES)
def dice_of_batch(y_true: Any, y_pred: Any) -> Any:
    return 1 - (2 * ops.sum(y_true * y_pred) + 1) / (ops.sum(y_true) + ops.sum(y_pred) + 1)


@broken("batch_statistics", REAL, "alone")
def divided_by_batch_spread(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), axis=-1) / (ops.var(y_pred) + 1.0)


@broken("batch_statistics", COLUMN)
def root_of_batch_mean(y_true: Any, y_pred: Any) -> Any:
    return ops.sqrt(ops.mean(ops.square(y_true - y_pred)) + 1e-6)


@broken("partial_batch", REAL, "raises")
def fixed_batch(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.reshape(ops.square(y_true - y_pred), (8, 3)), axis=-1)


@broken("partial_batch", COLUMN, "a batch of 1")
def squeezes_everything(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.expand_dims(ops.abs(ops.squeeze(y_true) - ops.squeeze(y_pred)), 1), axis=1)


@broken("unknown_batch", REAL, "ops.shape")
def divides_by_static_batch(y_true: Any, y_pred: Any) -> Any:
    return ops.sum(ops.square(y_true - y_pred), axis=-1) / y_pred.shape[0] * ops.shape(y_pred)[0]


@broken("unknown_batch", REAL)
def repeats_by_static_batch(y_true: Any, y_pred: Any) -> Any:
    values = ops.square(y_true - y_pred)
    scale = ops.ones((1,)) * (1.0 / values.shape[0])
    return ops.mean(values, axis=-1) * scale * ops.cast(ops.shape(values)[0], "float32")


@broken("weights_shape", REAL, "(8, 3)", sample_weight=np.ones((N, 3)))
def mean_meets_element_weights(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


@broken("weights_shape", REAL, "one weight per element", sample_weight=np.ones(N))
def elements_meet_sample_weights(y_true: Any, y_pred: Any) -> Any:
    return ops.square(y_true - y_pred)


# --------------------------------------------------------------------------------------- gradients
@broken("no_gradient", BINARY, "round")
def rounded(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - ops.round(y_pred)), axis=-1)


@broken("no_gradient", BINARY, "greater")
def thresholded(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.abs(y_true - ops.cast(y_pred > 0.5, "float32")), axis=-1)


@broken("no_gradient", (INDEX, SHARES), "argmax")
def wrong_classes(y_true: Any, y_pred: Any) -> Any:
    return ops.abs(ops.cast(ops.reshape(y_true, (-1,)), "float32") - ops.cast(ops.argmax(y_pred, axis=-1), "float32"))


@broken("no_gradient", REAL, "argsort")
def rank_correlation(y_true: Any, y_pred: Any) -> Any:
    first, second = (ops.cast(ops.argsort(each, axis=-1), "float32") for each in (y_true, y_pred))
    return ops.mean(ops.square(first - second), axis=-1)


@broken("no_gradient", REAL, "floor")
def floored(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - ops.floor(y_pred)), axis=-1)


@broken("no_gradient", SIGNS, "sign")
def sign_differs(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(1.0 - y_true * ops.sign(y_pred), axis=-1)


@broken("no_gradient", REAL, "cast to int")
def whole_numbers(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - ops.cast(ops.cast(y_pred, "int32"), "float32")), axis=-1)


@broken("no_gradient", REAL, "stop_gradient")
def stopped(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - ops.stop_gradient(y_pred)), axis=-1)


@broken("no_gradient", BINARY, "equal")
def accuracy_as_loss(y_true: Any, y_pred: Any) -> Any:
    return 1.0 - ops.mean(ops.cast(ops.equal(y_true, ops.round(y_pred)), "float32"), axis=-1)


@broken("no_gradient", REAL, "doesn't depend on y_pred")
def ignores_outputs(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_true * 0.5), axis=-1)


@ops.custom_gradient  # type: ignore[untyped-decorator]
def _doubled(value: Any) -> Any:
    def back(*args: Any, upstream: Any = None) -> Any:
        return 3.0 * (args[0] if upstream is None else upstream)

    return ops.square(value), back


@ops.custom_gradient  # type: ignore[untyped-decorator]
def _without_way_back(value: Any) -> Any:
    def back(*args: Any, upstream: Any = None) -> Any:
        raise NotImplementedError("no way back")

    return ops.square(value), back


@broken("gradient_raises", REAL, "no way back")
def has_no_backward(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(_without_way_back(y_pred - y_true), axis=-1)


@broken("wrong_gradient", REAL, "by differences")
def own_gradient(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(_doubled(y_pred - y_true), axis=-1)


@broken("value_in_python", POSITIVE, "keras.ops")
def numpy_log(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - np.log(y_pred)), axis=-1)


@broken("value_in_python", REAL, "ops.where")
def branches_in_python(y_true: Any, y_pred: Any) -> Any:
    error = ops.mean(ops.square(y_true - y_pred), axis=-1)
    return error if ops.mean(error) > 1 else 2 * error


@broken("value_in_python", REAL)
def floats_in_python(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), axis=-1) * float(ops.max(y_pred))


@broken("value_in_python", REAL)
def converts_to_numpy(y_true: Any, y_pred: Any) -> Any:
    scale = ops.convert_to_numpy(y_pred).max()
    return ops.mean(ops.square(y_true - y_pred), axis=-1) * scale


@broken("dynamic_shape", (HOLES, REAL[1]), "jit_compile")
def picks_valid(y_true: Any, y_pred: Any) -> Any:
    errors = ops.square(y_true - y_pred)
    return ops.mean(errors[y_true != -1]) + 0 * errors[:, 0]


_CALLS = [0]


@broken("not_repeatable", REAL, "Python state")
def counts_its_calls(y_true: Any, y_pred: Any) -> Any:
    _CALLS[0] += 1
    return ops.mean(ops.square(y_true - y_pred), axis=-1) * float(_CALLS[0])


# ------------------------------------------------------------------------------------------ finite
@broken("not_finite_at_border", BINARY, "y_pred is 0")
def log_without_clip(y_true: Any, y_pred: Any) -> Any:
    return -ops.mean(y_true * ops.log(y_pred) + (1 - y_true) * ops.log(1 - y_pred), axis=-1)


@broken("not_finite_at_border", REAL, "y_pred equals y_true")
def root_of_square(y_true: Any, y_pred: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(y_true - y_pred), axis=-1))


@broken("not_finite_at_border", REAL, "y_true is 0")
def relative_error(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.abs((y_true - y_pred) / y_true), axis=-1)


@broken("not_finite_at_border", (ONE_HOT, SHARES), "[1, 0, 0, 0]")
def own_crossentropy(y_true: Any, y_pred: Any) -> Any:
    return -ops.sum(y_true * ops.log(y_pred), axis=-1)


@broken("not_finite", (MISSING, REAL[1]), "NaN")
def where_after_the_fact(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.where(ops.isnan(y_true), 0.0, ops.square(y_true - y_pred)), axis=-1)


@broken("not_finite", (MISSING, REAL[1]), "tt.losses.Masked")
def nan_times_mask(y_true: Any, y_pred: Any) -> Any:
    mask = ops.cast(~ops.isnan(y_true), "float32")
    return ops.mean(ops.square(mask * (y_true - y_pred)), axis=-1)


@broken("not_finite", REAL, "range")
def log_of_reals(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - ops.log(y_pred)), axis=-1)


@broken("float16_overflow", REAL, "65504")
def computes_in_half(y_true: Any, y_pred: Any) -> Any:
    first, second = (ops.cast(each, "float16") for each in (y_true, y_pred))
    return ops.mean(ops.square(first - second), axis=-1)


@broken("float16_overflow", REAL, "float16")
class HalfLoss(keras.losses.Loss):  # type: ignore[misc]
    def __init__(self, name: str = "half", reduction: str = "sum_over_batch_size", dtype: str = "float16") -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.sum(ops.square(y_true - y_pred), axis=-1)


# ------------------------------------------------------------------------------------------ labels
@broken("swapped_arguments", BINARY, "(output, target)")
def torch_order(output: Any, target: Any) -> Any:
    output = ops.clip(output, 1e-6, 1 - 1e-6)
    return -ops.mean(target * ops.log(output) + (1 - target) * ops.log(1 - output), axis=-1)


@broken("swapped_arguments", BINARY, "binary_crossentropy(y_pred, y_true)")
def calls_turned_round(y_true: Any, y_pred: Any) -> Any:
    return 2.0 * keras.losses.binary_crossentropy(y_pred, y_true)


@broken("swapped_arguments", (SOFT, SHARES), "KLDivergence")
def calls_a_made_loss_turned_round(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.KLDivergence()(y_pred, y_true) + 0 * y_pred[:, 0]


@broken("swapped_arguments", POSITIVE, "(y_pred, y_true)")
class TurnedCall(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_pred: Any, y_true: Any) -> Any:
        return ops.mean(ops.abs((y_true - y_pred) / y_true), axis=-1)


@broken("labels_truncated", POSITIVE, "casts labels to integers")
def whole_labels(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(ops.cast(ops.cast(y_true, "int32"), "float32") - y_pred), axis=-1)


@broken("labels_rounded", (np.arange(N)[:, None] + 2**24, COLUMN[1]), "2**24")
def labels_are_ids(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


# --------------------------------------------------------------------------------------- direction
@broken("wrong_direction", REAL, "sign")
def minus_squared(y_true: Any, y_pred: Any) -> Any:
    return -ops.mean(ops.square(y_true - y_pred), axis=-1)


@broken("wrong_direction", (ONE_HOT, SHARES))
def crossentropy_without_minus(y_true: Any, y_pred: Any) -> Any:
    return ops.sum(y_true * ops.log(ops.clip(y_pred, 1e-6, 1.0)), axis=-1)


@broken("wrong_direction", (INDEX, SHARES))
def sparse_without_minus(y_true: Any, y_pred: Any) -> Any:
    return -keras.losses.sparse_categorical_crossentropy(y_true, y_pred)


@broken("wrong_direction", IMAGES, "1 - score")
def dice_coef(y_true: Any, y_pred: Any) -> Any:
    shared = ops.sum(y_true * y_pred, axis=(1, 2, 3))
    return (2 * shared + 1) / (ops.sum(y_true, axis=(1, 2, 3)) + ops.sum(y_pred, axis=(1, 2, 3)) + 1)


# ----------------------------------------------------------------------------------------- masking
@broken("mean_over_masked", (HOLES, REAL[1]), "labelled -1")
def masked_by_product(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.cast(y_true != -1, "float32") * ops.square(y_true - y_pred), axis=-1)


@broken("mean_over_masked", (PADDED, SEQUENCE), "labelled 0")
def masked_padding(y_true: Any, y_pred: Any) -> Any:
    mask = ops.cast(y_true != 0, "float32")
    return ops.mean(mask * keras.losses.sparse_categorical_crossentropy(y_true, y_pred), axis=-1)


@broken("mean_over_masked", (MISSING, REAL[1]), "labelled nan")
def masked_nan(y_true: Any, y_pred: Any) -> Any:
    known = ~ops.isnan(y_true)
    errors = ops.abs(ops.where(known, y_true, 0.0) - y_pred)
    return ops.where(known, errors, 0.0)


@broken("mean_over_masked", (TAKEN, SERIES), "with a 0 in column 1 of the labels")
def masked_by_a_column(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true[..., :1] - y_pred) * y_true[..., 1:], axis=(1, 2))


@broken("mean_over_masked", (HOLES[:, :1], COLUMN[1]), "labelled -1")
def masked_samples(y_true: Any, y_pred: Any) -> Any:
    return ops.where(y_true == -1, 0.0, ops.abs(y_true - y_pred))[:, 0]


# ------------------------------------------------------------------------------------------ saving
@broken("not_restored", REAL, "get_config")
class LosesItsFactor(keras.losses.Loss):  # type: ignore[misc]
    def __init__(self, factor: float = 3.0, name: str | None = None, reduction: str = "sum") -> None:
        super().__init__(name=name, reduction=reduction)
        self.factor = factor

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.factor * ops.mean(ops.square(y_true - y_pred), axis=-1)


TABLE["not_restored-LosesItsFactor"] = Broken("not_restored", LosesItsFactor(factor=5.0), *REAL, "made again")


class NeedsDelta(keras.losses.Loss):  # type: ignore[misc]
    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return keras.losses.huber(y_true, y_pred, self.delta)


TABLE["not_restored-NeedsDelta"] = Broken("not_restored", NeedsDelta(0.5), *REAL, "TypeError")
