"""Chunks don't matter, and memory is kept to."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from truetap.evaluation import Chunk, Evaluation
from truetap.evaluation.confusion import Confusion
from truetap.evaluation.regression import quantile
from truetap.tasks import OutputTask, Task

from .pairs import BINARY, MULTICLASS, MULTILABEL, REGRESSION, SPECS, pairs, run

AREAS = {"roc_auc", "average_precision", "roc_auc_macro", "average_precision_macro", "mean_average_precision"}


def same(one: Evaluation, other: Evaluation) -> None:
    assert dict(one.metrics) == pytest.approx(dict(other.metrics), rel=1e-9, nan_ok=True)
    assert (one.num_samples, one.num_valid, one.notes) == (other.num_samples, other.num_valid, other.notes)
    assert one.loss == pytest.approx(other.loss)
    for row, expected in zip(one.per_class, other.per_class, strict=True):
        for name in ("precision", "recall", "f1", "support", "roc_auc", "average_precision", "iou"):
            assert getattr(row, name) == pytest.approx(getattr(expected, name), nan_ok=True)
    if other.confusion is not None:
        np.testing.assert_allclose(one.confusion, other.confusion)  # type: ignore[arg-type]
    if other.calibration is not None:
        assert one.calibration is not None
        np.testing.assert_allclose(one.calibration.count, other.calibration.count)
        np.testing.assert_allclose(one.calibration.confidence, other.calibration.confidence)
    assert dict(one.residual_quantiles) == pytest.approx(dict(other.residual_quantiles))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.task.value)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 3, 64, 199])
def test_any_chunking_gives_the_same(spec: OutputTask, weighted: bool, size: int) -> None:
    chunk = pairs(spec.task)
    same(run(chunk, spec, size, weighted=weighted), run(chunk, spec, weighted=weighted))


@pytest.mark.parametrize("spec", [BINARY, MULTICLASS, MULTILABEL], ids=lambda spec: spec.task.value)
def test_without_memory_the_areas_are_left_out(spec: OutputTask) -> None:
    chunk = pairs(spec.task)
    whole, lean = run(chunk, spec, 50), run(chunk, spec, 50, memory=0)
    assert {name: whole[name] for name in whole.metrics if name not in AREAS} == dict(lean.metrics)
    [note] = lean.notes
    assert note.startswith("ROC AUC and average precision are left out: they need all scores at once")
    assert f"{chunk.y_pred.nbytes:,} bytes" in note
    assert all(np.isnan(row.roc_auc) for row in lean.per_class)
    assert run(chunk, spec, 50, memory=chunk.y_pred.nbytes).metrics == whole.metrics


def test_without_memory_the_quantiles_are_left_out() -> None:
    chunk = pairs(Task.REGRESSION)
    whole, lean = run(chunk, REGRESSION, 50), run(chunk, REGRESSION, 50, memory=0)
    assert dict(lean.metrics) == {k: v for k, v in whole.metrics.items() if k != "median_absolute_error"}
    assert not lean.residual_quantiles
    assert "median absolute error and residual quantiles are left out" in lean.notes[0]


def test_many_classes_have_no_matrix_but_all_else() -> None:
    rng = np.random.default_rng(0)
    y_true, y_pred = rng.integers(0, 2500, 40), rng.random((40, 2500)).astype(np.float32)
    y_pred[np.arange(20), y_true[:20]] = 2
    spec = OutputTask(Task.MULTICLASS, logits=True, classes=2500)
    got = run(Chunk(y_true, y_pred), spec, 9)
    assert got.confusion is None
    assert got["accuracy"] == pytest.approx((y_pred.argmax(1) == y_true).mean())
    assert "No confusion matrix: 2,500 classes; it is made up to 2,000." in got.notes


def test_cells_are_merged_when_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truetap.evaluation.confusion._PENDING", 10)
    rng = np.random.default_rng(0)
    true, pred = rng.integers(0, 30, (2, 400))
    counts = Confusion(30)
    for start in range(0, 400, 7):
        counts.add_labels(true[start : start + 7], pred[start : start + 7], None)
    expected = np.zeros((30, 30))
    np.add.at(expected, (true, pred), 1)
    np.testing.assert_array_equal(counts.matrix(), expected)


def test_weighted_quantiles_count_whole_weights() -> None:
    values, weights = np.array([3.0, 1.0, 2.0, 9.0, -1.0]), np.array([2.0, 1.0, 3.0, 0.0, 0.0])
    repeated = np.repeat(values, weights.astype(int))
    expected = np.quantile(repeated, [0.0, 0.3, 0.5, 0.9, 1.0], method="inverted_cdf")
    np.testing.assert_array_equal(quantile(values, (0.0, 0.3, 0.5, 0.9, 1.0), weights), expected)


@pytest.mark.parametrize("size", [1, 100])
def test_a_class_of_no_weight_doesnt_enter_averages(size: int) -> None:
    y = np.arange(99) % 3
    chunk = Chunk(y, np.eye(7)[np.roll(y, 1) % 2], weight=(y < 2) * 1.0)
    expected = f1_score(y[y < 2], (np.roll(y, 1) % 2)[y < 2], average="macro")
    assert run(chunk, MULTICLASS, size, weighted=True)["f1_macro"] == pytest.approx(expected)


def test_loss_is_the_mean_over_samples() -> None:
    chunk = pairs(Task.BINARY)
    assert chunk.loss is not None
    assert run(chunk, BINARY, 3).loss == pytest.approx(chunk.loss.mean())
    assert run(Chunk(chunk.y_true, chunk.y_pred), BINARY).loss is None
