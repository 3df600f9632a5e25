"""The loss: what the last layer gives, and what the loss and the metrics make of it."""

import keras
import numpy as np
from keras import layers, ops
from keras.optimizers import Adam

from rule_trainings.made import amounts, blobs, yes_no

__all__ = [
    "implicit_broadcast",
    "log_or_root_of_zero",
    "logits_as_probabilities",
    "loss_activation_mismatch",
    "loss_unsuited_to_task",
    "mean_over_masked",
    "no_gradient_through_loss",
    "output_range",
    "probabilities_as_logits",
    "reduced_before_weights",
    "softmax_on_one_unit",
    "swapped_arguments",
    "swapped_outputs",
    "unsuited_metric",
    "wrong_number_of_units",
]


def network(features, units, activation, loss, metrics=None, rate=0.02):
    """A hidden layer and an output, compiled."""
    keras.utils.set_random_seed(3)
    hidden = layers.Dense(16, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((features,)), hidden, layers.Dense(units, activation=activation)])
    model.compile(Adam(rate), loss, metrics=metrics)
    return model


def logits_as_probabilities(mended):
    activation = "softmax" if mended else None
    model = network(6, 4, activation, "sparse_categorical_crossentropy")
    return model, blobs(), {"epochs": 5, "batch_size": 24}


def probabilities_as_logits(mended):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return network(6, 4, None if mended else "softmax", loss), blobs(), {"epochs": 5, "batch_size": 24}


def softmax_on_one_unit(mended):
    activation = "sigmoid" if mended else "softmax"
    return network(4, 1, activation, "binary_crossentropy"), yes_no(), {"epochs": 5, "batch_size": 24}


def output_range(mended):
    x, y = amounts()
    return network(4, 1, None if mended else "sigmoid", "mse"), (x, 3 * y), {"epochs": 12, "batch_size": 24}


def wrong_number_of_units(mended):
    if mended:
        model = network(6, 4, "softmax", "sparse_categorical_crossentropy")
    else:
        model = network(6, 1, "sigmoid", "binary_crossentropy")  # one unit for four classes
    return model, blobs(), {"epochs": 5, "batch_size": 24}


def loss_activation_mismatch(mended):
    x, _ = yes_no()
    topics = (x[:, :3] > 0).astype("float32")  # any of three
    model = network(4, 3, "sigmoid" if mended else "softmax", "binary_crossentropy")
    return model, (x, topics), {"epochs": 10, "batch_size": 24}


def loss_unsuited_to_task(mended):
    x, y = amounts()
    prices = 50 + 10 * y if not mended else y
    loss, activation = ("mse", None) if mended else ("binary_crossentropy", "sigmoid")
    return network(4, 1, activation, loss), (x, prices), {"epochs": 8, "batch_size": 24}


class SquaredDifference(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.square(y_true - y_pred)


def implicit_broadcast(mended):
    x, y = amounts()
    y = y if mended else y[:, 0]  # (n,) against outputs of (n, 1): each label meets every output
    return network(4, 1, None, SquaredDifference()), (x, y), {"epochs": 8, "batch_size": 24}


def outputs_first(y_true, y_pred):
    return keras.losses.binary_crossentropy(y_pred, y_true)


def labels_first(y_true, y_pred):
    return keras.losses.binary_crossentropy(y_true, y_pred)


def swapped_arguments(mended):
    loss = labels_first if mended else outputs_first
    return network(4, 1, "sigmoid", loss), yes_no(), {"epochs": 6, "batch_size": 24}


def swapped_outputs(mended):
    keras.utils.set_random_seed(3)
    x, amount = amounts()
    amount = 2 + 1.9 * np.tanh(amount)  # from 0.1 to 3.9
    kind = (x[:, 0] > 0).astype("int64") + 2 * (x[:, 1] > 0)
    inputs = keras.Input((4,))
    hidden = layers.Dense(16, activation="relu")(inputs)
    outputs = [layers.Dense(4, activation="softmax", name="kind")(hidden), layers.Dense(1, name="amount")(hidden)]
    model = keras.Model(inputs, outputs)
    model.compile(Adam(0.02), ["sparse_categorical_crossentropy", "mse"])
    labels = [kind, amount] if mended else [amount, kind]
    return model, (x, labels), {"epochs": 10, "batch_size": 24}


def mean_of_all(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred))


def mean_of_each(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def reduced_before_weights(mended):
    weight = np.linspace(0.1, 2, 240).astype("float32")
    model = network(4, 1, None, mean_of_each if mended else mean_of_all)
    return model, amounts(), {"epochs": 6, "batch_size": 24, "sample_weight": weight}


def unknown_counted(y_true, y_pred):
    known = ops.cast(y_true != -1, "float32")
    return ops.mean(ops.square(y_true - y_pred) * known, axis=-1)


def unknown_left_out(y_true, y_pred):
    known = ops.cast(y_true != -1, "float32")
    return ops.sum(ops.square(y_true - y_pred) * known) / ops.maximum(ops.sum(known), 1)


def mean_over_masked(mended):
    x, y = amounts()
    y[::3] = -1  # unknown
    return network(4, 1, None, unknown_left_out if mended else unknown_counted), (x, y), {"epochs": 6, "batch_size": 24}


def share_of_errors(y_true, y_pred):
    return ops.mean(ops.abs(y_true - (ops.sign(y_pred - 0.5) + 1) / 2), axis=-1)


def no_gradient_through_loss(mended):
    model = network(4, 1, "sigmoid", mean_of_each if mended else share_of_errors)
    return model, yes_no(), {"epochs": 6, "batch_size": 24}


def log_or_root_of_zero(mended):
    keras.utils.set_random_seed(3)
    x, _ = amounts()
    counts = np.abs(np.round(x))  # some are 0
    scaled = layers.Lambda(ops.log1p if mended else ops.log, output_shape=(4,), name="log")
    hidden = layers.Dense(16, activation="relu")
    model = keras.Sequential([keras.Input((4,)), scaled, hidden, layers.Dense(1)])
    model.compile(Adam(0.02), "mse")
    return model, (counts, counts.sum(axis=1, keepdims=True)), {"epochs": 8, "batch_size": 24}


def unsuited_metric(mended):
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    metric = keras.metrics.BinaryAccuracy(threshold=0.0) if mended else "accuracy"  # which asks for more than 0.5
    return network(4, 1, None, loss, metrics=[metric]), yes_no(), {"epochs": 5, "batch_size": 24}
