"""For each rule of `tt.check_loss` a loss that fires it, and the batch on which it does.

The page of these rules shows the losses as they stand here.
"""

import keras
import numpy as np
from keras import ops

RNG = np.random.default_rng(0)
TRUE, PRED = RNG.normal(size=(8, 3)).astype("float32"), RNG.normal(size=(8, 3)).astype("float32")
COLUMN = PRED[:, :1]
YES = (RNG.random((8, 1)) > 0.5).astype("float32")
CHANCE = RNG.uniform(0.1, 0.9, (8, 1)).astype("float32")
STEPS = RNG.normal(size=(8, 5, 1)).astype("float32")
POSITIVE = RNG.uniform(0.5, 3, (8, 3)).astype("float32"), RNG.uniform(0.5, 3, (8, 3)).astype("float32")
HOLES = np.where(np.arange(24).reshape(8, 3) % 4 == 0, np.float32(-1), np.abs(TRUE) + 0.1)
GAPS = np.where(np.arange(24).reshape(8, 3) % 4 == 0, np.float32("nan"), TRUE)
IMAGES = (RNG.random((8, 4, 4, 1)) > 0.5).astype("float32"), RNG.uniform(0.1, 0.9, (8, 4, 4, 1)).astype("float32")


class PerElement(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.square(y_true - y_pred)


def forgets_return(y_true, y_pred):
    ops.mean(ops.square(y_true - y_pred), axis=-1)


def branches(y_true, y_pred):
    error = ops.mean(ops.square(y_true - y_pred), axis=-1)
    return error if ops.mean(error) > 1 else 2 * error


def picks_known(y_true, y_pred):
    errors = ops.square(y_true - y_pred)
    return ops.mean(errors[y_true != -1]) + 0 * errors[:, 0]


def needs_numpy(y_true, y_pred):
    if not hasattr(y_pred, "numpy"):  # which only values have that TensorFlow computes at once
        raise RuntimeError("no numpy here")
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


CALLS = [0]


def counts_its_calls(y_true, y_pred):
    CALLS[0] += 1
    return ops.mean(ops.square(y_true - y_pred), axis=-1) * float(CALLS[0])


def eight_rows(y_true, y_pred):
    return ops.mean(ops.reshape(ops.square(y_true - y_pred), (8, 3)), axis=-1)


def output_first(output, target):
    output = ops.clip(output, 1e-6, 1 - 1e-6)
    return -ops.mean(target * ops.log(output) + (1 - target) * ops.log(1 - output), axis=-1)


def static_batch(y_true, y_pred):
    return ops.sum(ops.square(y_true - y_pred), axis=-1) / y_pred.shape[0] * ops.shape(y_pred)[0]


def mean_of_all(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred))


def dice_of_batch(y_true, y_pred):
    return 1 - (2 * ops.sum(y_true * y_pred) + 1) / (ops.sum(y_true) + ops.sum(y_pred) + 1)


def of_each_element(y_true, y_pred):
    return ops.square(y_true - y_pred)


def absolute(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def in_half(y_true, y_pred):
    true, pred = ops.cast(y_true, "float16"), ops.cast(y_pred, "float16")
    return ops.mean(ops.square(true - pred), axis=-1)


def where_too_late(y_true, y_pred):
    return ops.mean(ops.where(ops.isnan(y_true), 0.0, ops.square(y_true - y_pred)), axis=-1)


@ops.custom_gradient
def square_without_way_back(value):
    def back(*args, upstream=None):
        raise NotImplementedError("no way back")

    return ops.square(value), back


def has_no_way_back(y_true, y_pred):
    return ops.mean(square_without_way_back(y_pred - y_true), axis=-1)


def rounded(y_true, y_pred):
    return ops.mean(ops.square(y_true - ops.round(y_pred)), axis=-1)


def whole_labels(y_true, y_pred):
    return ops.mean(ops.square(ops.cast(ops.cast(y_true, "int32"), "float32") - y_pred), axis=-1)


def times_mask(y_true, y_pred):
    return ops.mean(ops.cast(y_true != -1, "float32") * ops.square(y_true - y_pred), axis=-1)


@ops.custom_gradient
def square_with_another_gradient(value):
    def back(*args, upstream=None):
        return 3.0 * (args[0] if upstream is None else upstream)

    return ops.square(value), back


def own_gradient(y_true, y_pred):
    return ops.mean(square_with_another_gradient(y_pred - y_true), axis=-1)


def log_of_outputs(y_true, y_pred):
    return -ops.mean(y_true * ops.log(y_pred) + (1 - y_true) * ops.log(1 - y_pred), axis=-1)


def minus_squares(y_true, y_pred):
    return -ops.mean(ops.square(y_true - y_pred), axis=-1)


class LosesItsFactor(keras.losses.Loss):
    def __init__(self, factor=3.0, name=None, reduction="sum"):
        super().__init__(name=name, reduction=reduction)
        self.factor = factor  # and no get_config that has it

    def call(self, y_true, y_pred):
        return self.factor * ops.mean(ops.square(y_true - y_pred), axis=-1)


# a loss, labels, outputs, and weights where they matter
EXAMPLES = {
    "unaligned_ranks": (PerElement(), STEPS[..., 0], STEPS),
    "does_not_run": (forgets_return, TRUE, PRED),
    "value_in_python": (branches, TRUE, PRED),
    "dynamic_shape": (picks_known, HOLES, PRED),
    "does_not_trace": (needs_numpy, TRUE, PRED),
    "not_repeatable": (counts_its_calls, TRUE, PRED),
    "implicit_broadcast": (PerElement(), TRUE[:, 0], COLUMN),
    "partial_batch": (eight_rows, TRUE, PRED),
    "swapped_arguments": (output_first, YES, CHANCE),
    "unknown_batch": (static_batch, TRUE, PRED),
    "reduced_before_weights": (mean_of_all, TRUE, PRED),
    "batch_statistics": (dice_of_batch, *IMAGES),
    "weights_shape": (of_each_element, TRUE, PRED, np.ones(8)),
    "labels_rounded": (absolute, np.arange(8)[:, None] + 2**24, COLUMN),
    "float16_overflow": (in_half, TRUE, PRED),
    "not_finite": (where_too_late, GAPS, PRED),
    "gradient_raises": (has_no_way_back, TRUE, PRED),
    "no_gradient": (rounded, YES, CHANCE),
    "labels_truncated": (whole_labels, *POSITIVE),
    "mean_over_masked": (times_mask, HOLES, PRED),
    "wrong_gradient": (own_gradient, TRUE, PRED),
    "not_finite_at_border": (log_of_outputs, YES, CHANCE),
    "wrong_direction": (minus_squares, TRUE, PRED),
    "not_restored": (LosesItsFactor(factor=5.0), TRUE, PRED),
}
