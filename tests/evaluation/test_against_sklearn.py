"""Every number against scikit-learn on the same pairs, with and without weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn.metrics as sk

from truetap.evaluation import Chunk
from truetap.tasks import OutputTask, Task

from .pairs import BINARY, MULTICLASS, MULTILABEL, ORDINAL, REGRESSION, Array, pairs, run

both = pytest.mark.parametrize("weighted", [False, True])


def weight_of(chunk: Any, weighted: bool) -> Array | None:
    return chunk.weight if weighted else None


@both
def test_binary(weighted: bool) -> None:
    chunk = pairs(Task.BINARY)
    t, p, w = chunk.y_true, chunk.y_pred[:, 0], weight_of(chunk, weighted)
    got, label = run(chunk, BINARY, weighted=weighted), p >= 0.5
    expected = {
        "accuracy": sk.accuracy_score(t, label, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(t, label, sample_weight=w),
        "precision": sk.precision_score(t, label, sample_weight=w),
        "recall": sk.recall_score(t, label, sample_weight=w),
        "f1": sk.f1_score(t, label, sample_weight=w),
        "roc_auc": sk.roc_auc_score(t, p, sample_weight=w),
        "average_precision": sk.average_precision_score(t, p, sample_weight=w),
        "log_loss": sk.log_loss(t, p, sample_weight=w),
        "brier": sk.brier_score_loss(t, p, sample_weight=w),
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    np.testing.assert_allclose(got.confusion, sk.confusion_matrix(t, label, sample_weight=w))  # type: ignore[arg-type]
    zero = got.per_class[0]
    assert zero.average_precision == pytest.approx(sk.average_precision_score(1 - t, -p, sample_weight=w))
    assert set(got.metrics) == {*expected, "ece"}


@both
def test_multiclass(weighted: bool) -> None:
    chunk = pairs(Task.MULTICLASS)
    t, p, w = chunk.y_true, chunk.y_pred, weight_of(chunk, weighted)
    got, label = run(chunk, MULTICLASS, weighted=weighted), p.argmax(1)
    expected = {
        "accuracy": sk.accuracy_score(t, label, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(t, label, sample_weight=w),
        "top_5_accuracy": sk.top_k_accuracy_score(t, p, k=5, sample_weight=w),
        "log_loss": sk.log_loss(t, p, sample_weight=w),
        "average_precision_macro": sk.average_precision_score(np.eye(7)[t], p, sample_weight=w),
    }
    for average in ("macro", "weighted"):
        numbers = sk.precision_recall_fscore_support(t, label, average=average, sample_weight=w)
        expected |= dict(zip((f"precision_{average}", f"recall_{average}", f"f1_{average}"), numbers[:3], strict=True))
    if not weighted:  # scikit-learn has no weights for one-vs-rest of several classes
        expected["roc_auc_macro"] = sk.roc_auc_score(t, p, multi_class="ovr")
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    table = sk.precision_recall_fscore_support(t, label, sample_weight=w)
    for row, *numbers in zip(got.per_class, *table, strict=True):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(numbers)
        assert row.roc_auc == pytest.approx(sk.roc_auc_score(t == row.index, p[:, row.index], sample_weight=w))
    np.testing.assert_allclose(got.confusion, sk.confusion_matrix(t, label, sample_weight=w))  # type: ignore[arg-type]


@both
def test_multilabel(weighted: bool) -> None:
    chunk = pairs(Task.MULTILABEL)
    t, p, w = chunk.y_true, chunk.y_pred, weight_of(chunk, weighted)
    got, label = run(chunk, MULTILABEL, weighted=weighted), (p >= 0.5).astype(int)
    expected = {
        "subset_accuracy": sk.accuracy_score(t, label, sample_weight=w),
        "hamming_loss": sk.hamming_loss(t, label, sample_weight=w),
        "roc_auc_macro": sk.roc_auc_score(t, p, sample_weight=w),
        "mean_average_precision": sk.average_precision_score(t, p, sample_weight=w),
    }
    for average in ("macro", "micro"):
        numbers = sk.precision_recall_fscore_support(t, label, average=average, sample_weight=w)
        expected |= dict(zip((f"precision_{average}", f"recall_{average}", f"f1_{average}"), numbers[:3], strict=True))
    assert dict(got.metrics) == pytest.approx(expected)
    table = sk.precision_recall_fscore_support(t, label, sample_weight=w)
    for row, *numbers in zip(got.per_class, *table, strict=True):
        assert (row.precision, row.recall, row.f1, row.support) == pytest.approx(numbers)


@both
def test_ordinal(weighted: bool) -> None:
    chunk = pairs(Task.ORDINAL)
    w = weight_of(chunk, weighted)
    t = chunk.y_true.sum(1).astype(int)
    label = np.cumprod(chunk.y_pred >= 0.5, axis=1).sum(1)
    got = run(chunk, ORDINAL, weighted=weighted)
    expected = {
        "accuracy": sk.accuracy_score(t, label, sample_weight=w),
        "mae": sk.mean_absolute_error(t, label, sample_weight=w),
        "quadratic_weighted_kappa": sk.cohen_kappa_score(t, label, weights="quadratic", sample_weight=w),
    }
    assert dict(got.metrics) == pytest.approx(expected)


def test_ordinal_by_index() -> None:
    chunk = pairs(Task.MULTICLASS)
    spec = OutputTask(Task.ORDINAL, logits=False, classes=7, cumulative=False)
    expected = sk.cohen_kappa_score(chunk.y_true, chunk.y_pred.argmax(1), weights="quadratic")
    assert run(chunk, spec)["quadratic_weighted_kappa"] == pytest.approx(expected)


@both
def test_regression(weighted: bool) -> None:
    chunk = pairs(Task.REGRESSION)
    t, p, w = chunk.y_true, chunk.y_pred[:, 0], weight_of(chunk, weighted)
    got = run(chunk, REGRESSION, weighted=weighted)
    expected = {
        "mae": sk.mean_absolute_error(t, p, sample_weight=w),
        "mse": sk.mean_squared_error(t, p, sample_weight=w),
        "rmse": sk.root_mean_squared_error(t, p, sample_weight=w),
        "r2": sk.r2_score(t, p, sample_weight=w),
        "bias": np.average(p - t, weights=w),
    }
    assert {name: got[name] for name in expected} == pytest.approx(expected)
    if not weighted:
        assert got["median_absolute_error"] == pytest.approx(sk.median_absolute_error(t, p))
        quantiles = np.quantile(p - t, list(got.residual_quantiles))
        np.testing.assert_allclose(list(got.residual_quantiles.values()), quantiles)


def test_regression_of_several_outputs() -> None:
    rng = np.random.default_rng(3)
    t = rng.normal(1e6, [1, 10, 100], (50, 3))
    p = t + rng.normal(0, 1, (50, 3))
    got = run(Chunk(t, p), REGRESSION, size=7, class_names=["a", "b", "c"])
    assert got["r2"] == pytest.approx(sk.r2_score(t, p))
    assert [row.name for row in got.per_output] == ["a", "b", "c"]
    for row in got.per_output:
        assert row.r2 == pytest.approx(sk.r2_score(t[:, row.index], p[:, row.index]))
        assert row.rmse == pytest.approx(sk.root_mean_squared_error(t[:, row.index], p[:, row.index]))


@pytest.mark.parametrize("spec", [BINARY, MULTICLASS])
def test_logits_give_the_numbers_of_their_probabilities(spec: OutputTask) -> None:
    rng = np.random.default_rng(5)
    z = rng.normal(0, 3, (300, 1 if spec is BINARY else 7))
    t = rng.integers(0, spec.classes, 300)
    p = 1 / (1 + np.exp(-z)) if spec is BINARY else np.exp(z) / np.exp(z).sum(1, keepdims=True)
    by_logits = run(Chunk(t, z), OutputTask(spec.task, logits=True, classes=spec.classes))
    assert dict(by_logits.metrics) == pytest.approx(dict(run(Chunk(t, p), spec).metrics))


def test_integer_targets_keep_their_digits() -> None:
    t = np.array([20_000_001, 20_000_003])
    got = run(Chunk(t, t.astype(np.float64)), REGRESSION)
    assert got["mae"] == 0
