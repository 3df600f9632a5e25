"""Calibration and log loss against few-line NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import top_k_accuracy_score

from truetap.evaluation import Chunk
from truetap.tasks import OutputTask, Task

from .pairs import BINARY, MULTICLASS, Array, pairs, run, softmax_rows


def ece_by_hand(confidence: Array, right: Array, weight: Array, bins: int) -> float:
    total = 0.0
    for low, high in zip(np.arange(bins) / bins, np.arange(1, bins + 1) / bins, strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            accuracy = np.average(right[inside], weights=weight[inside])
            gap = abs(accuracy - np.average(confidence[inside], weights=weight[inside]))
            total += gap * weight[inside].sum() / weight.sum()
    return total


@pytest.mark.parametrize("spec", [BINARY, MULTICLASS], ids=["binary", "multiclass"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bins", [10, 15])
def test_calibration(spec: OutputTask, weighted: bool, bins: int) -> None:
    chunk = pairs(spec.task)
    p = chunk.y_pred
    p = np.hstack([1 - p, p]) if spec is BINARY else p
    weight = chunk.weight if weighted and chunk.weight is not None else np.ones(len(p))
    got = run(chunk, spec, 33, weighted=weighted, bins=bins)
    expected = ece_by_hand(p.max(1), p.argmax(1) == chunk.y_true, weight, bins)
    assert got["ece"] == pytest.approx(expected)
    assert got.calibration is not None
    assert got.calibration.count.sum() == pytest.approx(weight.sum())
    assert len(got.calibration.edges) == bins + 1


def test_bins_are_closed_on_the_right() -> None:
    got = run(Chunk(np.array([0, 1, 1]), np.array([0.5, 0.75, 1.0])), BINARY, bins=4)
    assert got.calibration is not None
    np.testing.assert_array_equal(got.calibration.count, [0, 1, 1, 1])


def test_equal_scores_count_for_top_5_as_in_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 7, 300), np.round(softmax_rows(rng, 300, 7), 1)
    spec = OutputTask(Task.MULTICLASS, logits=True, classes=7)
    assert run(Chunk(y, p), spec)["top_5_accuracy"] == pytest.approx(top_k_accuracy_score(y, p, k=5))


def test_log_loss_of_logits_doesnt_saturate() -> None:
    spec = OutputTask(Task.BINARY, logits=True, classes=2)
    got = run(Chunk(np.array([0, 1]), np.array([[80.0], [-60.0]], np.float32)), spec)
    assert got["log_loss"] == pytest.approx(70)


def test_rows_that_dont_sum_to_one_are_divided_as_keras_does() -> None:
    p = np.array([[0.9, 0.9, 0.2], [0.1, 0.1, 0.2]])
    spec = OutputTask(Task.MULTICLASS, logits=False, classes=3)
    expected = -np.log([0.9 / 2.0, 0.2 / 0.4]).mean()
    assert run(Chunk(np.array([0, 2]), p), spec)["log_loss"] == pytest.approx(expected)


def test_scores_that_are_no_probabilities() -> None:
    got = run(Chunk(np.array([0, 1, 1]), np.array([-3.0, 2.0, 0.2])), BINARY)
    assert np.isnan([got["log_loss"], got["brier"], got["ece"]]).all()
    assert got.calibration is None
    assert "scores lie outside [0, 1]" in got.notes[0]


def test_margins_have_areas_but_no_likelihood() -> None:
    spec = OutputTask(Task.BINARY, logits=False, classes=2, margins=True)
    got = run(Chunk(np.array([-1, 1, 1]), np.array([[-3.0], [2.0], [0.2]])), spec)
    assert got["accuracy"] == got["roc_auc"] == 1
    assert "log_loss" not in got
    assert got.calibration is None


@pytest.mark.parametrize("spec", [BINARY, MULTICLASS], ids=["binary", "multiclass"])
def test_nan_scores_are_said(spec: OutputTask) -> None:
    chunk = pairs(spec.task)
    chunk.y_pred[3] = np.nan
    got = run(chunk, spec, 10)
    assert "1 of 200 positions hold scores that are NaN or infinite." in got.notes
    assert np.isnan(got["log_loss"])
    assert got["accuracy"] > 0.3


def test_masked_logits_may_be_minus_infinity() -> None:
    z = np.array([[0.0, -np.inf, 1.0], [2.0, 0.0, -np.inf], [0.0, 3.0, -np.inf]])
    got = run(Chunk(np.array([2, 0, 1]), z), OutputTask(Task.MULTICLASS, logits=True, classes=3))
    assert got["roc_auc_macro"] == 1
    assert not got.notes
    assert got["log_loss"] == pytest.approx(np.log1p(np.exp([-1.0, -2.0, -3.0])).mean())
