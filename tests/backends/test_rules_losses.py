"""Rules on losses, labels and metrics: for each a case that fires it, and a near miss that doesn't."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import truetap as tt
from truetap.diagnosis.encoding import brief, even_steps
from truetap.diagnosis.formulas import recognised
from truetap.diagnosis.rules import RULES
from truetap.diagnosis.rules.unsuited_metric import UnsuitedMetric
from truetap.rules.finding import Finding, Severity

ROWS = 48
RNG = np.random.default_rng(5)
X = RNG.normal(size=(ROWS, 4)).astype("float32")
YES = (X[:, 0] > 0).astype("int64")
KIND = np.arange(ROWS) % 4
HOT = np.eye(4, dtype="float32")[KIND]
TOPICS = (X[:, :3] > 0).astype("float32")
AMOUNT = (X @ np.arange(4.0) + RNG.normal(size=ROWS)).astype("float32")
SERIES = RNG.normal(size=(ROWS, 5, 4)).astype("float32")

Made = tuple[Any, Any, Any]  # model, x, y; or with weights
Loss = Any


def dense(units: int, activation: str | None = None) -> Any:
    return keras.Sequential([keras.Input((4,)), layers.Dense(units, activation=activation)])


def compiled(model: Any, loss: Loss, *metrics: Any) -> Any:
    model.compile(keras.optimizers.SGD(0.01), loss, metrics=list(metrics) or None, run_eagerly=True)
    return model


def one(units: int, activation: str | None, loss: Loss, y: Any, *metrics: Any) -> Callable[[], Made]:
    return lambda: (compiled(dense(units, activation), loss, *metrics), X, y)


def weighed(y: Any, weight: Any, loss: Loss = "mse") -> Callable[[], Any]:
    return lambda: (compiled(dense(1), loss), X, y, weight)


def alike(loss: Loss) -> Callable[[], Made]:
    """A model that says nearly the same of all samples."""

    def make() -> Made:
        model = compiled(dense(1), loss)
        model.set_weights([np.full((4, 1), 1e-6), np.full(1, 0.3)])
        return model, X, np.stack([AMOUNT, AMOUNT**2], axis=1) if loss is crossed else COLUMN

    return make


def sequence(every_step: bool) -> Callable[[], Made]:
    def make() -> Made:
        model = keras.Sequential(
            [keras.Input((5, 4)), layers.SimpleRNN(3, return_sequences=every_step), layers.Dense(1)]
        )
        return compiled(model, "mse"), SERIES, AMOUNT[:, None]

    return make


def texts(amounts: bool) -> Callable[[], Made]:
    """Texts of eight kinds: each has words of its own; or those of neighbouring kinds, as of an amount."""

    def make() -> Made:
        rng = np.random.default_rng(4)
        kind = np.arange(200) % 8
        words = (
            kind[:, None] * 2 + rng.integers(0, 6, (200, 8))
            if amounts
            else kind[:, None] + 8 * rng.integers(0, 3, (200, 8))
        )
        model = keras.Sequential([keras.Input((8,)), layers.Embedding(40, 3), layers.Flatten(), layers.Dense(1)])
        return compiled(model, "mse"), words.astype("int32"), kind

    return make


def heads(swapped: bool) -> Callable[[], Made]:
    def make() -> Made:
        x = keras.Input((4,))
        kind = layers.Dense(4, activation="softmax", name="kind")(x)
        model = keras.Model(x, [kind, layers.Dense(1, name="amount")(x)])
        labels = [KIND, AMOUNT]
        losses = ["sparse_categorical_crossentropy", "mse"]
        return compiled(model, losses), X, labels[::-1] if swapped else labels

    return make


def through(function: Callable[[Any], Any]) -> Callable[[], Made]:
    def make() -> Made:
        model = keras.Sequential([keras.Input((4,)), layers.Lambda(function, output_shape=(4,)), layers.Dense(1)])
        return compiled(model, "mse"), np.abs(np.round(X)), AMOUNT

    return make


def row_wise(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def crossed(y_true: Any, y_pred: Any) -> Any:
    return ops.abs(y_true[:, 1]) * ops.square(y_true[:, 0] - y_pred)


def at_once(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_true - y_pred))


class Bare(keras.losses.Loss):  # type: ignore[misc]
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.square(y_true - y_pred)


def turned(y_true: Any, y_pred: Any) -> Any:
    labels_last = keras.losses.binary_crossentropy
    return labels_last(ops.cast(y_pred, "float32"), ops.cast(y_true, "float32"))


def straight(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.binary_crossentropy(ops.cast(y_true, "float32"), ops.cast(y_pred, "float32"))


def hidden_logits(y_true: Any, y_pred: Any) -> Any:
    return keras.losses.binary_crossentropy(y_true, y_pred, from_logits=True)


def counted(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square((y_true - y_pred) * ops.cast(y_true != -1, "float32")), axis=-1)


def left_out(y_true: Any, y_pred: Any) -> Any:
    known = ops.cast(y_true != -1, "float32")
    return ops.sum(ops.square((y_true - y_pred) * known)) / ops.maximum(ops.sum(known), 1.0)


def rounded(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.abs(y_true - ops.round(y_pred)), axis=-1)


LOGITS = keras.losses.BinaryCrossentropy(from_logits=True)
SPARSE_LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SPARSE, ROWS_LOSS, BINARY = "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy"
MARKED = np.where(np.arange(ROWS) % 3, AMOUNT, -1)[:, None].astype("float32")
WEIGHT = np.linspace(0.1, 2, ROWS).astype("float32")
COLUMN, YES_COLUMN = AMOUNT[:, None], YES[:, None].astype("float32")
AT_ZERO = keras.metrics.BinaryAccuracy(threshold=0.0)

CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any], str]] = {
    "probabilities_as_logits": (
        one(4, "softmax", SPARSE_LOGITS, KIND),
        one(4, None, SPARSE_LOGITS, KIND),
        "is given probabilities made by softmax",
    ),
    "probabilities_as_logits, in a function": (
        one(1, "sigmoid", hidden_logits, YES_COLUMN),
        one(1, None, hidden_logits, YES_COLUMN),
        "The loss 'hidden_logits' of the output has from_logits=True",
    ),
    "logits_as_probabilities": (
        one(4, None, ROWS_LOSS, HOT),
        one(4, "softmax", ROWS_LOSS, HOT),
        "expects probabilities, and is given outputs from",
    ),
    "softmax_on_one_unit": (
        one(1, "softmax", BINARY, YES),
        one(2, "softmax", SPARSE, YES),
        "has one unit, and softmax makes it 1 for every sample",
    ),
    "output_range": (
        one(1, "sigmoid", "mse", 9 * AMOUNT),
        one(1, "sigmoid", "mse", 1 / (1 + np.exp(-AMOUNT))),
        "activation 'sigmoid' gives values between 0 and 1 only",
    ),
    "loss_activation_mismatch": (
        one(3, "softmax", BINARY, TOPICS),
        one(2, "softmax", BINARY, np.eye(2, dtype="float32")[YES]),
        "3 units with the activation softmax, and the loss 'binary_crossentropy'",
    ),
    "loss_activation_mismatch, rates": (
        one(1, None, "poisson", np.abs(np.round(AMOUNT))),
        one(1, "softplus", "poisson", np.abs(np.round(AMOUNT))),
        "the logarithm of a rate",
    ),
    "loss_unsuited_to_task": (
        one(1, "sigmoid", BINARY, 50 + AMOUNT),
        one(1, "sigmoid", BINARY, 0.05 + 0.9 * YES),
        "continuous, from",
    ),
    "loss_unsuited_to_task, topics": (
        texts(False),
        texts(True),
        "inputs of neighbouring labels are no more alike than others",
    ),
    "loss_unsuited_to_task, classes": (
        one(1, None, "mse", KIND, "accuracy"),
        one(1, None, "mse", KIND, "mae"),
        "0, 1, 2, 3, 4 kinds; metrics has 'accuracy'",
    ),
    "implicit_broadcast": (one(1, None, Bare(), AMOUNT), one(1, None, Bare(), COLUMN), "reshaped to (16, 1) it is"),
    "implicit_broadcast, of outputs that hardly differ": (
        alike(crossed),
        alike(row_wise),
        "shuffled among the samples give the same loss",
    ),
    "implicit_broadcast, steps": (sequence(True), sequence(False), "have shape (n, 1), its outputs (n, 5, 1)"),
    "swapped_arguments": (
        one(1, "sigmoid", turned, YES_COLUMN),
        one(1, "sigmoid", straight, YES_COLUMN),
        "is binary_crossentropy with labels and outputs exchanged",
    ),
    "reduced_before_weights": (
        weighed(COLUMN, WEIGHT, at_once),
        weighed(COLUMN, WEIGHT, row_wise),
        "It returns shape () for a batch of 16",
    ),
    "mean_over_masked": (one(1, None, counted, MARKED), one(1, None, left_out, MARKED), "Elements labelled -1"),
    "no_gradient_through_loss": (
        one(1, "sigmoid", rounded, YES_COLUMN),
        one(1, "sigmoid", row_wise, YES_COLUMN),
        "The gradient by y_pred is zero or missing",
    ),
    "log_or_root_of_zero": (through(ops.log), through(ops.log1p), "numbers from the layer 'lambda"),
    "log_or_root_of_zero, percentages": (
        one(1, None, "mape", np.round(AMOUNT)),
        one(1, None, "mape", 9 + np.abs(AMOUNT)),
        "of the targets of the output are 0",
    ),
    "labels_out_of_range": (
        one(4, "softmax", SPARSE, KIND + 1),
        one(5, "softmax", SPARSE, KIND + 1),
        "are 1, 2, 3, 4; the loss 'sparse_categorical_crossentropy' over 4 units knows 0 to 3. 25% of them",
    ),
    "labels_out_of_range, left out": (
        one(4, "softmax", SPARSE, KIND - 1),
        one(4, "softmax", keras.losses.SparseCategoricalCrossentropy(ignore_class=-1), KIND - 1),
        "ignore_class=-1",
    ),
    "labels_scaled": (
        one(4, "softmax", SPARSE, KIND / np.float32(3)),
        one(4, "softmax", SPARSE, KIND.astype("float32")),
        "are 0, 0.3333, 0.6667, 1: 4 values",
    ),
    "labels_scaled, yes and no": (
        one(1, "sigmoid", BINARY, YES / np.float32(255)),
        one(1, "sigmoid", BINARY, 0.1 + 0.8 * YES),
        "to be 0 and 1",
    ),
    "label_encoding": (
        one(4, "softmax", SPARSE, HOT),
        one(4, "softmax", ROWS_LOSS, HOT),
        "of shape (n, 4), are one-hot",
    ),
    "label_encoding, indices": (
        one(4, "softmax", ROWS_LOSS, KIND),
        one(4, "softmax", SPARSE, KIND),
        "are class indices (0, 1, 2, 3)",
    ),
    "label_encoding, signs": (
        one(1, "sigmoid", BINARY, 2 * YES - 1),
        one(1, "tanh", "hinge", 2 * YES - 1),
        "are -1 and 1, and the loss 'binary_crossentropy' over 1 unit expects 0 and 1",
    ),
    "label_encoding, text": (
        one(2, "softmax", SPARSE, np.asarray(["no", "yes"])[YES]),
        one(2, "softmax", SPARSE, YES),
        "are text, such as 'no', 'yes'",
    ),
    "wrong_number_of_units": (
        one(1, "sigmoid", BINARY, KIND),
        one(1, "sigmoid", BINARY, YES),
        "has 1 unit with the loss 'binary_crossentropy', which tells 0 from 1, and 4 classes",
    ),
    "wrong_number_of_units, targets": (
        one(1, None, "mse", X[:, :2]),
        one(2, None, "mse", X[:, :2]),
        "1 unit for 2 targets: labels of shape (n, 2) against outputs of shape (n, 1)",
    ),
    "unsuited_metric": (
        one(3, "sigmoid", BINARY, TOPICS, "accuracy"),
        one(3, "sigmoid", BINARY, TOPICS, "binary_accuracy"),
        "Of 'accuracy' Keras made CategoricalAccuracy, by the shapes (n, 3) and (n, 3)",
    ),
    "unsuited_metric, threshold": (
        one(1, None, LOGITS, YES, "accuracy"),
        one(1, None, LOGITS, YES, AT_ZERO),
        "has its threshold at 0.5, and the output gives logits",
    ),
    "weights_are_labels": (
        weighed(AMOUNT, KIND.astype("float32")),
        weighed(AMOUNT, RNG.poisson(1.0, ROWS).astype("float32")),
        "are 0, 1, 2, 3, about equally frequent, as class ids are",
    ),
    "swapped_outputs": (heads(True), heads(False), "exchanged, both do"),
}


def linted(made: Any, rule: str) -> tuple[Finding, ...]:
    keras.utils.set_random_seed(2)
    model, *data = made()
    chosen = [each for each in RULES if each.name == rule]
    report = tt.lint(model, tuple(data), rules=chosen)
    assert rule in report.checked
    return report.wrong


@pytest.mark.parametrize("case", CASES)
def test_fires(case: str) -> None:
    rule = case.partition(",")[0]
    found = linted(CASES[case][0], rule)
    assert [each.rule for each in found] == [rule]
    assert CASES[case][2] in str(found[0])
    assert found[0].do
    assert found[0].why


@pytest.mark.parametrize("case", CASES)
def test_near_miss(case: str) -> None:
    assert linted(CASES[case][1], case.partition(",")[0]) == ()


def test_a_loss_that_reduces_is_a_note_without_weights() -> None:
    model, *data = one(1, None, at_once, COLUMN)()
    chosen = [each for each in RULES if each.name == "reduced_before_weights"]
    findings = tt.lint(model, tuple(data), rules=chosen).findings
    assert [each.severity for each in findings] == [Severity.NOTE]


def test_a_sound_run_and_a_broken_one_without_the_model(tmp_path: Path) -> None:
    """What a run says by itself: the recorded losses show how labels met outputs."""

    class Mean(keras.losses.Loss):  # type: ignore[misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean(ops.square(y_true - y_pred), axis=-1)

    said = []
    for name, y in (("broken", AMOUNT), ("sound", COLUMN)):
        keras.utils.set_random_seed(2)
        model = compiled(dense(1), Mean())
        path = tmp_path / name
        model.fit(X, y, batch_size=8, epochs=2, verbose=0, callbacks=[tt.Recorder(path, taps="diagnose")])
        said.append([each for each in tt.open(path).diagnose().wrong if each.rule == "implicit_broadcast"])
    assert "the mean squared difference to all labels of its batch" in str(said[0][0])
    assert said[1] == []


def test_formulas_are_recognised_by_their_numbers() -> None:
    rng = np.random.default_rng(0)
    true, pred = (rng.random((9, 1)) > 0.5) * 1.0, rng.random((9, 1))
    entropy = -(true * np.log(pred) + (1 - true) * np.log(1 - pred))
    found = recognised(3 * entropy, true, pred)
    assert (found.name, found.from_logits, found.swapped) == ("binary_crossentropy", False, False)
    assert recognised(np.log1p(np.exp(pred)) - true * pred, true, pred).from_logits
    assert recognised((true - pred) ** 2, true, pred).name == "mean_squared_error"
    assert recognised(entropy + 0.1 * pred, true, pred).name == ""
    assert recognised(np.asarray(entropy.mean()), true, pred).name == ""


def test_words_for_values() -> None:
    assert brief(np.arange(9.0)) == "0, 1, 2, …, 8"
    assert even_steps(np.array([0.0, 0.25, 0.5, 1.0])) == 0.25
    assert even_steps(np.array([0.0, 0.1, 0.37])) is None


def test_a_threshold_on_logits_is_wrong_even_where_none_is_left_near_it(tmp_path: Path) -> None:
    x = np.concatenate([np.full((40, 1), -1.0), np.full((40, 1), 1.0)]).astype("float32")
    for name, metric, rules in (("half", "accuracy", ["unsuited_metric"]), ("zero", AT_ZERO, [])):
        keras.utils.set_random_seed(2)
        model = keras.Sequential(
            [keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros", bias_initializer="ones")]
        )
        model.layers[0].set_weights([np.zeros((1, 1)), np.full(1, 0.2)])
        model.compile(keras.optimizers.SGD(3.0), LOGITS, metrics=[metric])
        recorder = tt.Recorder(tmp_path / name)
        model.fit(x, (x > 0).astype("float32"), epochs=6, batch_size=20, verbose=0, callbacks=[recorder])
        recorder.finish()
        run = tt.open(tmp_path / name)
        last = run.samples(epoch=5).y_pred
        assert not ((last > 0) & (last < 0.5)).any()
        assert [each.rule for each in run.diagnose(model, rules=[UnsuitedMetric()]).wrong] == rules
