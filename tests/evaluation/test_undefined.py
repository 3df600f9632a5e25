"""What has no answer is NaN with a note, or an error that says what to do; never a warning."""

from __future__ import annotations

import numpy as np
import pytest

from truetap.errors import TaskError
from truetap.evaluation import Chunk, evaluate_slices
from truetap.tasks import OutputTask, Task

from .pairs import BINARY, MULTICLASS, MULTILABEL, ORDINAL, REGRESSION, SPECS, Array, chunked, pairs, run


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.task.value)
def test_one_sample(spec: OutputTask) -> None:
    got = run(pairs(spec.task, n=1), spec)
    assert got.num_samples == 1
    assert str(got)


@pytest.mark.parametrize(
    ("label", "gone"),
    [(0, {"recall", "roc_auc", "average_precision"}), (1, {"roc_auc"})],
)
def test_binary_with_one_class(label: int, gone: set[str]) -> None:
    got = run(Chunk(np.full(9, label), np.linspace(0.1, 0.9, 9)), BINARY)
    assert {name for name, value in got.metrics.items() if np.isnan(value)} == gone
    assert {note.split(" ")[0] for note in got.notes} == gone


def test_binary_that_is_never_predicted() -> None:
    got = run(Chunk(np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3])), BINARY)
    assert np.isnan(got["precision"])
    assert got["recall"] == got["f1"] == 0
    assert got.notes == ("precision is undefined: class 1 was never predicted, or scores are NaN.",)


def test_multiclass_with_one_class() -> None:
    chunk = pairs(Task.MULTICLASS)
    got = run(Chunk(np.zeros(200, int), chunk.y_pred), MULTICLASS)
    assert np.isnan(got["roc_auc_macro"])
    assert np.isnan(got.per_class[1].recall)
    assert got.notes[0] == "Classes '1', '2', '3', '4', '5' and 1 more: not among the true labels: " + (
        "recall is undefined there."
    )


def test_multilabel_without_labels() -> None:
    got = run(Chunk(np.zeros((5, 4), int), np.zeros((5, 4))), MULTILABEL)
    assert got["subset_accuracy"] == 1
    assert np.isnan(got["f1_micro"])
    assert got["f1_macro"] == 0


def test_ordinal_of_one_rank() -> None:
    got = run(Chunk(np.ones((5, 4)), np.ones((5, 4))), ORDINAL)
    assert np.isnan(got["quadratic_weighted_kappa"])
    assert got["mae"] == 0


def test_constant_target_has_no_r2() -> None:
    got = run(Chunk(np.ones((4, 2)), np.ones((4, 2))), REGRESSION)
    assert np.isnan(got["r2"])
    assert got.notes == ("r2 is undefined: it needs two samples, targets that vary, and numbers that are finite.",)
    got = run(Chunk(np.array([[1, 1], [1, 2.0]]), np.array([[1, 1], [1, 2.0]])), REGRESSION)
    assert got["r2"] == 1
    assert got.notes[0].startswith("r2 leaves out 1 of 2 outputs")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_regression_with_broken_numbers(bad: float) -> None:
    chunk = pairs(Task.REGRESSION)
    chunk.y_pred[5] = bad
    got = run(chunk, REGRESSION, 3)
    assert not np.isfinite(got["mae"])
    assert np.isnan(got["median_absolute_error"])
    assert got.notes[0] == "1 of 200 positions hold numbers that are NaN or infinite."


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.task.value)
def test_nothing_to_evaluate(spec: OutputTask) -> None:
    chunk = pairs(spec.task, n=4)
    empty = Chunk(chunk.y_true[:0], chunk.y_pred[:0])
    with pytest.raises(TaskError, match=r"Received: no samples. Expected: at least one\."):
        run(empty, spec)
    with pytest.raises(TaskError, match="4 samples whose mask or labels exclude every position"):
        run(Chunk(chunk.y_true, chunk.y_pred, mask=np.zeros(4, bool)), spec)
    with pytest.raises(TaskError, match="weights that sum to 0"):
        run(Chunk(chunk.y_true, chunk.y_pred, weight=np.zeros(4)), spec, weighted=True)
    with pytest.raises(TaskError, match="samples without weights"):
        run(Chunk(chunk.y_true, chunk.y_pred), spec, weighted=True)


def test_names_that_dont_match() -> None:
    with pytest.raises(TaskError, match=r"Received: 3 names. Expected: 7, one per class"):
        run(pairs(Task.MULTICLASS), MULTICLASS, class_names=["a", "b", "c"])
    with pytest.raises(TaskError, match=r"Received: 3 names. Expected: 1, one per dimension"):
        run(pairs(Task.REGRESSION), REGRESSION, class_names=["a", "b", "c"])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.task.value)
def test_slices_equal_their_samples_alone(spec: OutputTask) -> None:
    chunk = pairs(spec.task)
    members = np.arange(200) % 3 == 0
    parts = evaluate_slices(lambda: iter(chunked(chunk, 17)), spec, {"third": members, "none": np.zeros(200, bool)})
    assert chunk.loss is not None
    alone = run(Chunk(chunk.y_true[members], chunk.y_pred[members], loss=chunk.loss[members]), spec)
    assert dict(parts["third"].metrics) == pytest.approx(dict(alone.metrics))
    assert parts["third"].loss == pytest.approx(alone.loss)
    assert parts["none"].num_samples == 0
    assert parts["none"].notes[0].startswith("Nothing to measure in this slice")


@pytest.mark.parametrize(
    ("members", "words"),
    [(np.ones(199, bool), "199 values"), (np.ones(201, bool), "201 values"), (np.ones(200), "float64")],
)
def test_slices_that_dont_fit(members: Array, words: str) -> None:
    chunk = pairs(Task.BINARY)
    with pytest.raises(TaskError, match=words):
        evaluate_slices(lambda: iter([chunk]), BINARY, {"part": members})
