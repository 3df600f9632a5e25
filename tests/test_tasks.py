"""Tasks: which one is found, which labels come out, and that chunks don't matter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from truetap.errors import TaskError
from truetap.tasks import Hint, OutputTask, Task, infer, pred_labels, probabilities, true_labels

Array = npt.NDArray[Any]
RNG = np.random.default_rng(7)
N = 24


def rows(*shape: int) -> Array:
    """Random probabilities whose last axis sums to 1."""
    values = RNG.random(shape)
    return np.asarray(values / values.sum(-1, keepdims=True), np.float32)


def logits(*shape: int) -> Array:
    return RNG.normal(0, 3, shape).astype(np.float32)


def one_hot(classes: int, *shape: int) -> Array:
    return np.eye(classes, dtype=np.float32)[RNG.integers(0, classes, shape)]


def bits(*shape: int) -> Array:
    values = RNG.integers(0, 2, shape)
    values.reshape(len(values), -1)[:2] = [[0], [1]]
    return values


def unit(*shape: int) -> Array:
    return RNG.random(shape).astype(np.float32)


LEVELS = (np.arange(4) < RNG.integers(0, 5, (N, 1))).astype(np.float32)
LEVELS[:2] = [[1, 1, 0, 0], [1, 1, 1, 0]]
SOFT = np.eye(4) * 0.8 + 0.05
SMOOTH = one_hot(3, N) * 0.9 + 0.1 / 3

CASES: list[tuple[str, Array, Array, Hint, Task, bool]] = [
    ("sparse", RNG.integers(0, 5, N), rows(N, 5), Hint("sparse_categorical_crossentropy", False, "softmax"),
     Task.MULTICLASS, False),
    ("sparse column", RNG.integers(0, 5, (N, 1)), rows(N, 5), Hint(), Task.MULTICLASS, False),
    ("float sparse logits", RNG.integers(0, 5, N) * 1.0, logits(N, 5), Hint(), Task.MULTICLASS, True),
    ("sparse from_logits", RNG.integers(0, 5, N), logits(N, 5),
     Hint("sparse_categorical_crossentropy", True, "linear"), Task.MULTICLASS, True),
    ("from_logits, small scores", RNG.integers(0, 2, N), unit(N, 1),
     Hint("binary_crossentropy", True, "linear"), Task.BINARY, True),
    ("no from_logits, large scores", RNG.integers(0, 2, N), logits(N, 1),
     Hint("binary_crossentropy", False, "linear"), Task.BINARY, False),
    ("softmax and from_logits", RNG.integers(0, 5, N), rows(N, 5),
     Hint("sparse_categorical_crossentropy", True, "softmax"), Task.MULTICLASS, False),
    ("one-hot", one_hot(4, N), rows(N, 4), Hint(), Task.MULTICLASS, False),
    ("one-hot under mse and softmax", one_hot(4, N), rows(N, 4), Hint("mse", None, "softmax"),
     Task.MULTICLASS, False),
    ("one-hot under mse, linear", one_hot(4, N), logits(N, 4), Hint("mse", None, "linear"),
     Task.REGRESSION, False),
    ("one-hot under bce", one_hot(4, N), unit(N, 4), Hint("binary_crossentropy", False, "sigmoid"),
     Task.MULTILABEL, False),
    ("one-hot, sigmoid, categorical", one_hot(4, N), unit(N, 4),
     Hint("categorical_crossentropy", False, "sigmoid"), Task.MULTICLASS, False),
    ("label smoothing", SMOOTH, rows(N, 3), Hint("categorical_crossentropy", False, "softmax"),
     Task.MULTICLASS, False),
    ("mixup", rows(N, 3), rows(N, 3), Hint("categorical_crossentropy", False, "softmax"),
     Task.MULTICLASS, False),
    ("two-unit softmax", RNG.integers(0, 2, N), rows(N, 2), Hint(activation="softmax"),
     Task.MULTICLASS, False),
    ("multi-label", bits(N, 6), unit(N, 6), Hint("binary_crossentropy", False, "sigmoid"),
     Task.MULTILABEL, False),
    ("multi-label logits", bits(N, 6), logits(N, 6), Hint("binary_crossentropy", True, "linear"),
     Task.MULTILABEL, True),
    ("multi-label unknown", bits(N, 6), logits(N, 6), Hint(), Task.MULTILABEL, True),
    ("multi-hot under softmax", bits(N, 6), rows(N, 6), Hint("categorical_crossentropy", False, "softmax"),
     Task.MULTILABEL, False),
    ("multi-label margins", bits(N, 6) * 2 - 1, logits(N, 6), Hint("hinge", None, "linear"),
     Task.MULTILABEL, False),
    ("ordinal", LEVELS, unit(N, 4), Hint("binary_crossentropy", False, "sigmoid"), Task.ORDINAL, False),
    ("ordinal logits", LEVELS, logits(N, 4), Hint("binary_crossentropy", True, "linear"),
     Task.ORDINAL, True),
    ("levels under mse", LEVELS, logits(N, 4), Hint("mse", None, "linear"), Task.REGRESSION, False),
    ("binary", bits(N), unit(N, 1), Hint("binary_crossentropy", False, "sigmoid"), Task.BINARY, False),
    ("binary bools", bits(N).astype(bool), unit(N, 1), Hint(), Task.BINARY, False),
    ("binary logits", bits(N, 1), logits(N, 1), Hint("binary_crossentropy", True, "linear"),
     Task.BINARY, True),
    ("binary logits unknown", bits(N, 1), logits(N), Hint(), Task.BINARY, True),
    ("binary under mse and sigmoid", bits(N), unit(N, 1), Hint("mean_squared_error", None, "sigmoid"),
     Task.BINARY, False),
    ("0/1 under mse, linear", bits(N), logits(N, 1), Hint("mse", None, "linear"), Task.REGRESSION, False),
    ("hinge", bits(N) * 2 - 1, logits(N, 1), Hint("hinge", None, "linear"), Task.BINARY, False),
    ("hinge 0/1", bits(N), logits(N, 1), Hint("squared_hinge", None, "tanh"), Task.BINARY, False),
    ("categorical hinge", one_hot(4, N), logits(N, 4), Hint("categorical_hinge", None, "linear"),
     Task.MULTICLASS, False),
    ("soft binary", unit(N), unit(N, 1), Hint("binary_crossentropy", False, "sigmoid"), Task.BINARY, False),
    ("grey autoencoder", unit(N, 9), unit(N, 9), Hint("binary_crossentropy", False, "sigmoid"),
     Task.REGRESSION, False),
    ("grey images", unit(N, 3, 3, 1), unit(N, 3, 3, 1), Hint("binary_crossentropy", False, "sigmoid"),
     Task.REGRESSION, False),
    ("dice", bits(N, 3, 3, 1), unit(N, 3, 3, 1), Hint("dice", None, "sigmoid"), Task.BINARY, False),
    ("regression", RNG.normal(size=N), logits(N, 1), Hint("mse", None, "linear"), Task.REGRESSION, False),
    ("regression unknown", RNG.normal(size=N), logits(N, 1), Hint(), Task.REGRESSION, False),
    ("counts", RNG.integers(0, 2, N), unit(N, 1), Hint("poisson", None, "exponential"),
     Task.REGRESSION, False),
    ("my own loss, relu", bits(N), unit(N, 1), Hint("my_loss", None, "relu"), Task.REGRESSION, False),
    ("several targets", RNG.normal(size=(N, 3)), logits(N, 3), Hint("mae"), Task.REGRESSION, False),
    ("tags", RNG.integers(0, 5, (N, 7)), rows(N, 7, 5), Hint(), Task.MULTICLASS, False),
    ("binary tags", bits(N, 7), unit(N, 7, 1), Hint(), Task.BINARY, False),
    ("segmentation", RNG.integers(0, 4, (N, 3, 3, 1)), rows(N, 3, 3, 4), Hint(), Task.MULTICLASS, False),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
@pytest.mark.parametrize("chunk", [N, 1, 5])
def test_infer(case: tuple[str, Array, Array, Hint, Task, bool], chunk: int) -> None:
    _, y_true, y_pred, hint, task, is_logits = case
    pairs = ((y_true[i : i + chunk], y_pred[i : i + chunk]) for i in range(0, N, chunk))
    spec = infer(pairs, hint)
    assert (spec.task, spec.logits) == (task, is_logits)
    if task is not Task.REGRESSION:
        true, pred = true_labels(y_true, spec), pred_labels(y_pred, spec)
        assert true.shape == pred.shape
        assert true.dtype == pred.dtype == (np.uint8 if task is Task.MULTILABEL else np.int64)


def test_spec_of_each_shape() -> None:
    assert infer([(bits(N), unit(N, 1))]) == OutputTask(Task.BINARY, logits=False, classes=2)
    tags = infer([(RNG.integers(0, 5, (N, 7)), rows(N, 7, 5))])
    assert tags == OutputTask(Task.MULTICLASS, logits=False, classes=5, positions=1)
    ranks = infer([(LEVELS, unit(N, 4))], Hint("binary_crossentropy"))
    assert (ranks.classes, ranks.positions) == (5, 0)
    assert infer([(unit(N), unit(N))], Hint("mse")).classes == 0
    margins = infer([(bits(N), logits(N, 1))], Hint("hinge"))
    assert margins.margins
    assert margins.threshold == 0


def test_labels_that_mean_ignore() -> None:
    y_true = RNG.integers(0, 4, (N, 3, 3))
    y_true[0, 0, 0], y_true[1, 1, 1], y_true[2, 2, 2] = -1, 255, 17
    hint = Hint("sparse_categorical_crossentropy", False, "softmax", ignore_class=17)
    spec = infer([(y_true, rows(N, 3, 3, 4))], hint)
    assert spec.task is Task.MULTICLASS
    assert spec.ignore_class == 17
    np.testing.assert_array_equal(true_labels(y_true, spec), y_true)


def test_padding_is_masked_out() -> None:
    y_true, mask = bits(N, 5).astype(np.float32), np.ones((N, 5), bool)
    mask[:, 3:] = False
    y_true[:, 3:] = -7
    hint = Hint("binary_crossentropy", False, "sigmoid")
    with pytest.raises(TaskError, match="fit no task"):
        infer([(y_true, unit(N, 5, 1))], hint)
    assert infer([(y_true, unit(N, 5, 1), mask)], hint).task is Task.BINARY


def test_mask_over_the_last_axis_makes_it_one_of_positions() -> None:
    mask = np.ones((N, 5), bool)
    spec = infer([(bits(N, 5), unit(N, 5), mask)])
    assert spec == OutputTask(Task.BINARY, logits=False, classes=2, positions=1)
    assert infer([(unit(N, 5), logits(N, 5), mask)]).positions == 1
    assert pred_labels(unit(N, 5), spec).shape == (N, 5)


def test_padded_one_hot_rows_have_no_class() -> None:
    y_true = one_hot(4, N, 6)
    y_true[:, 4:] = 0
    spec = infer([(y_true, rows(N, 6, 4))], Hint("categorical_crossentropy", False, "softmax"))
    assert spec.task is Task.MULTICLASS
    assert (true_labels(y_true, spec)[:, 4:] == -1).all()


def test_labels_of_each_encoding() -> None:
    index = RNG.integers(0, 4, N)
    spec = OutputTask(Task.MULTICLASS, logits=False, classes=4)
    for encoded in (
        index,
        index[:, None],
        index.astype(np.float32),
        np.eye(4)[index],
        np.eye(4)[index] * 0.8 + 0.05,
    ):
        np.testing.assert_array_equal(true_labels(encoded, spec), index)
    spec = OutputTask(Task.BINARY, logits=False, classes=2)
    flags = bits(N)
    for encoded in (flags, flags[:, None], flags.astype(bool), flags * 2 - 1, flags * 0.9 + 0.05):
        np.testing.assert_array_equal(true_labels(encoded, spec), flags)
    spec = OutputTask(Task.ORDINAL, logits=False, classes=5)
    np.testing.assert_array_equal(true_labels(LEVELS, spec), LEVELS.sum(1))


def test_predicted_labels() -> None:
    levels = np.array([[0.9, 0.2, 0.8], [0.9, 0.8, 0.6], [0.4, 0.9, 0.9]])
    ordinal = OutputTask(Task.ORDINAL, logits=False, classes=4)
    np.testing.assert_array_equal(pred_labels(levels, ordinal), [1, 3, 0])
    np.testing.assert_array_equal(pred_labels(levels, OutputTask(Task.MULTILABEL, False, 3)), levels >= 0.5)
    scores = logits(N, 1)
    for spec in (OutputTask(Task.BINARY, True, 2), OutputTask(Task.BINARY, False, 2, margins=True)):
        np.testing.assert_array_equal(pred_labels(scores, spec), scores[:, 0] >= 0)


def test_probabilities() -> None:
    z = logits(N, 4).astype(np.float64)
    by_hand = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    soft = probabilities(z, OutputTask(Task.MULTICLASS, True, 4))
    np.testing.assert_allclose(soft, by_hand, rtol=1e-12)  # type: ignore[arg-type]
    single = probabilities(z[:, :1], OutputTask(Task.BINARY, True, 2))
    np.testing.assert_allclose(single, 1 / (1 + np.exp(-z[:, 0])), rtol=1e-12)  # type: ignore[arg-type]
    assert probabilities(z, OutputTask(Task.MULTICLASS, False, 4, margins=True)) is None
    assert probabilities(z, OutputTask(Task.REGRESSION, False, 0)) is None
    halves = rows(N, 4).astype(np.float16)
    same = probabilities(halves, OutputTask(Task.MULTICLASS, False, 4))
    assert same is not None
    assert same.dtype == np.float32


def test_override() -> None:
    counts = RNG.integers(0, 2, N)
    assert infer([(counts, unit(N, 1))], task="regression").task is Task.REGRESSION
    flat = infer([(bits(N, 6), unit(N, 6))], task="binary")
    assert (flat.positions, pred_labels(unit(N, 6), flat).shape) == (1, (N, 6))
    grades = infer([(RNG.integers(0, 5, N), rows(N, 5))], Hint(activation="softmax"), task=Task.ORDINAL)
    assert not grades.cumulative
    assert grades.classes == 5
    ranks = infer([(RNG.integers(0, 5, N), unit(N, 4))], Hint(activation="sigmoid"), task="ordinal")
    assert ranks.cumulative
    assert ranks.classes == 5


@pytest.mark.parametrize(
    ("y_true", "y_pred", "task"),
    [
        (RNG.normal(size=N), unit(N, 1), "binary"),
        (RNG.integers(0, 5, N), unit(N, 1), "multiclass"),
        (RNG.integers(3, 9, N), rows(N, 5), "multiclass"),
        (RNG.integers(0, 5, N), rows(N, 5), "multilabel"),
        (RNG.integers(0, 5, N), rows(N, 5), "regression"),
        (RNG.normal(size=(N, 4)), unit(N, 4), "ordinal"),
    ],
)
def test_override_that_the_values_contradict(y_true: Array, y_pred: Array, task: str) -> None:
    with pytest.raises(TaskError, match=rf"contradict task='{task}'. Received: .* Expected: .* Pass another"):
        infer([(y_true, y_pred)], task=task)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "hint", "words"),
    [
        (RNG.integers(1, 11, 50), rows(50, 10), Hint(), "class indices from 0 to 9"),
        (RNG.integers(0, 9, N), unit(N, 1), Hint("binary_crossentropy"), "labels 0 and 1"),
        (RNG.integers(0, 9, N), unit(N, 1), Hint("sparse_categorical_crossentropy"), "one score per class"),
        (RNG.normal(size=N), unit(N, 3), Hint("mse"), "targets of the shape of the scores"),
        (RNG.normal(size=(N, 2)), unit(N, 3), Hint(), "labels of the shape of the scores"),
        (unit(N, 3), unit(N, 3), Hint("ctc"), "one by one"),
        (np.array(["cat"] * N), rows(N, 3), Hint(), "dtype <U3"),
    ],
)
def test_values_that_fit_nothing(y_true: Array, y_pred: Array, hint: Hint, words: str) -> None:
    with pytest.raises(TaskError, match=words):
        infer([(y_true, y_pred)], hint)


def test_unknown_task_and_no_samples() -> None:
    with pytest.raises(TaskError, match="Near names: 'multiclass'"):
        infer([], task="multi_class")
    with pytest.raises(TaskError, match="Received: no samples"):
        infer([(np.zeros(0), np.zeros((0, 3)))])


def test_shapes_that_change_are_refused() -> None:
    with pytest.raises(TaskError, match="change from batch to batch"):
        infer([(bits(N, 4), unit(N, 4)), (bits(N, 5), unit(N, 5))])


def test_labels_of_a_regression_are_refused() -> None:
    with pytest.raises(TaskError, match="task is regression"):
        true_labels(np.zeros(3), OutputTask(Task.REGRESSION, False, 0))
    with pytest.raises(TaskError, match="a last axis of 4"):
        pred_labels(unit(N, 3), OutputTask(Task.MULTICLASS, False, 4))


def test_tasks_need_no_scikit_learn() -> None:
    code = "import sys, truetap.tasks; sys.exit('sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
