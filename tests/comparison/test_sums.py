"""Metrics from sums, and from scores in order, are those of `samples.evaluate()` when every sample is drawn once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.comparison.runs import Rows, binary, classes, images, labels, numbers, ranks, sequences, write_run
from truetap.comparison.derived import class_metrics, derived
from truetap.comparison.measured import measure
from truetap.comparison.ranked import Bag, resampled
from truetap.evaluation import Evaluation

TASKS: dict[str, Callable[[int, float, int], Rows]] = {
    "multiclass": classes,
    "many classes": lambda size, skill, seed: classes(size, skill, seed, 12),
    "binary": binary,
    "multilabel": labels,
    "ordinal": ranks,
    "regression": numbers,
    "sequences": sequences,
    "images": images,
}


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_is_that_of_evaluate(tmp_path: Path, task: str) -> None:
    size = 130
    rows = TASKS[task](size, 0.9, 11)
    samples = write_run(tmp_path / "run", {"val": [rows]}).samples("val", -1)
    unit = np.random.default_rng(0).permutation(size)
    measured = measure(samples, samples.task(), unit, size, np.ones(size, bool))
    spec = measured.spec
    assert spec is not None
    totals = np.asarray(measured.sums.matrix.sum(axis=0))[None]
    found = {name: values[0] for name, values in derived(measured.sums.named(totals), spec).items()}
    if measured.ranked is not None:
        everyone = Bag(np.arange(size), size, size)
        ((_, own),) = resampled([measured.ranked], everyone, 2, np.random.default_rng(0))
        found |= own
    expected = samples.evaluate()
    assert isinstance(expected, Evaluation)
    assert found.pop("loss") == pytest.approx(expected.loss, rel=1e-6)
    assert set(found) == set(expected.metrics)
    for name, value in found.items():
        assert value == pytest.approx(expected[name], rel=1e-6, abs=1e-9), name
    by_class = class_metrics(measured.sums.named(totals), spec)
    for row in expected.per_class:
        for name, values in by_class.items():
            assert values[0, row.index] == pytest.approx(getattr(row, name), nan_ok=True)


def test_a_class_that_never_comes_and_ties_of_scores(tmp_path: Path) -> None:
    rows = classes(60, 1.0, 3)
    values = dict(rows.values)
    values["y_true"] = np.minimum(values["y_true"], 2)  # no class 3
    values["y_pred"] = np.round(values["y_pred"], 1)
    values["y_pred"] = (values["y_pred"] / values["y_pred"].sum(axis=1, keepdims=True)).astype(np.float32)
    samples = write_run(tmp_path / "run", {"val": [Rows(rows.prints, values)]}).samples("val", -1)
    measured = measure(samples, samples.task(), np.arange(60), 60, np.ones(60, bool))
    expected = samples.evaluate()
    assert isinstance(expected, Evaluation)
    assert measured.ranked is not None
    ((_, own),) = resampled([measured.ranked], Bag(np.arange(60), 60, 60), 2, np.random.default_rng(0))
    for name, value in own.items():
        assert value == pytest.approx(expected[name]), name
    totals = np.asarray(measured.sums.matrix.sum(axis=0))[None]
    assert measured.spec is not None
    found = derived(measured.sums.named(totals), measured.spec)
    for name in ("balanced_accuracy", "recall_macro", "precision_macro", "f1_weighted", "log_loss", "ece"):
        assert found[name][0] == pytest.approx(expected[name]), name
