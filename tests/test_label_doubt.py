"""Where flags of labels mean nothing, and `run.label_issues` says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import truetap as tt
from tests.report import made

COUNT, CLASSES = 300, 5


def flagged_of(path: Path, contradicted: float) -> float:
    """The share flagged, where a model contradicts that share of the labels in four epochs, and is sure of it."""
    rng = np.random.default_rng(3)
    true = rng.integers(0, CLASSES, COUNT)
    said = np.where(np.arange(COUNT) < contradicted * COUNT, (true + rng.integers(1, CLASSES, COUNT)) % CLASSES, true)
    pred = np.full((COUNT, CLASSES), 0.02, np.float32)
    pred[np.arange(COUNT), said] = 0.92
    pairs = made.Pairs(np.arange(COUNT), true, pred, -np.log(pred[np.arange(COUNT), true]))
    issues = made.write(path, {"train": [pairs] * 4}).label_issues()
    return float(np.mean(issues["flagged"].to_pylist()))


def test_a_model_that_fits_few_of_its_labels_is_not_trusted(tmp_path: Path) -> None:
    with pytest.warns(tt.DataWarning, match=r"More labels are flagged than not.*Received: 60% of the labels flagged"):
        assert flagged_of(tmp_path / "run", 0.6) == pytest.approx(0.6)


def test_a_model_that_fits_most_of_them_is(tmp_path: Path) -> None:
    assert flagged_of(tmp_path / "run", 0.4) == pytest.approx(0.4)  # a warning is an error
