"""Intervals against a plain loop: rows drawn with random numbers of its own, metrics by a few lines of NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.comparison.runs import Rows, binary, classes, numbers, sequences, write_run
from truetap.comparison import Comparison, compare
from truetap.comparison import ranked as ranked_module
from truetap.comparison.bootstrap import counts, interval

Array = npt.NDArray[Any]
RESAMPLES = 2000


def compared(path: Path, here: Rows, there: Rows) -> Comparison:
    runs = [write_run(path / name, {"val": [rows]}) for name, rows in (("here", here), ("there", there))]
    return compare(runs[0], runs[1], resamples=RESAMPLES)


def by_hand(
    here: Rows, there: Rows, measures: dict[str, Callable[[Rows], float]], rows: int, resamples: int = 1000
) -> dict[str, tuple[float, float]]:
    """Percentiles of paired differences, one resample after the other."""
    rng = np.random.default_rng(99)
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(resamples):
        drawn = rng.integers(0, rows, rows)
        one, other = here.order(drawn), there.order(drawn)
        for name, measured in measures.items():
            found[name].append(measured(other) - measured(one))
    return {name: (float(np.quantile(each, 0.025)), float(np.quantile(each, 0.975))) for name, each in found.items()}


def agree(comparison: Comparison, expected: dict[str, tuple[float, float]], tolerance: float = 0.12) -> None:
    """The Monte Carlo error of an end is 0.02 of the width at 1,000 resamples; this is some five of them."""
    found = {row["metric"]: row for row in comparison.metrics.to_pylist()}
    for name, (low, high) in expected.items():
        allowed = tolerance * (high - low)
        assert found[name]["low"] == pytest.approx(low, abs=allowed), name
        assert found[name]["high"] == pytest.approx(high, abs=allowed), name
        assert found[name]["difference"] == pytest.approx(found[name]["there"] - found[name]["here"])
        assert found[name]["low"] <= found[name]["difference"] <= found[name]["high"]


def label(rows: Rows) -> Array:
    return np.asarray(rows.values["y_pred"].argmax(axis=1))


def recall(rows: Rows, k: int) -> float:
    return float((label(rows) == k)[rows.values["y_true"] == k].mean())


def f1(rows: Rows, k: int) -> float:
    true, pred = rows.values["y_true"] == k, label(rows) == k
    return float(2 * (true & pred).sum() / (true.sum() + pred.sum()))


def roc_auc(rows: Rows) -> float:
    """The chance that a positive scores above a negative."""
    score, true = rows.values["y_pred"][:, 0], rows.values["y_true"] == 1
    above, same = (op(score[true][:, None], score[~true]) for op in (np.greater, np.equal))
    return float((above + same / 2).mean())


def average_precision(rows: Rows) -> float:
    """The mean, over positives, of the precision at their score."""
    score, true = rows.values["y_pred"][:, 0], rows.values["y_true"] == 1
    reached = score >= score[true][:, None]
    return float(((reached & true).sum(axis=1) / reached.sum(axis=1)).mean())


def error(rows: Rows) -> Array:
    return np.asarray(rows.values["y_pred"] - rows.values["y_true"])


def r2(rows: Rows) -> float:
    return float((1 - (error(rows) ** 2).mean(axis=0) / rows.values["y_true"].var(axis=0)).mean())


def test_counts_are_multinomial() -> None:
    size, resamples = 9000, 300
    parts = list(counts(size, resamples, size, np.random.default_rng(0)))
    drawn = np.concatenate([values for _, values in parts])
    assert [part.start for part, _ in parts] == [0, 4096, 8192]
    assert drawn.shape == (size, resamples)
    assert (drawn.sum(axis=0) == size).all()
    assert drawn.var(axis=1).mean() == pytest.approx(1.0, abs=0.01)  # of a binomial of n draws with chance 1/n
    halves = np.corrcoef(drawn[:4500].sum(axis=0), drawn[4500:].sum(axis=0))
    assert halves[0, 1] == pytest.approx(-1.0)


def test_classes(tmp_path: Path) -> None:
    here, there = classes(300, 1.2, 1), classes(300, 1.7, 2)
    measures: dict[str, Callable[[Rows], float]] = {
        "accuracy": lambda rows: float((label(rows) == rows.values["y_true"]).mean()),
        "f1_macro": lambda rows: float(np.mean([f1(rows, k) for k in range(4)])),
        "balanced_accuracy": lambda rows: float(np.mean([recall(rows, k) for k in range(4)])),
        "log_loss": lambda rows: float(rows.values["loss"].mean()),
        "loss": lambda rows: float(rows.values["loss"].mean()),
    }
    agree(compared(tmp_path, here, there), by_hand(here, there, measures, 300))


def test_areas_and_single_classes(tmp_path: Path) -> None:
    here, there = binary(200, 0.5, 1), binary(200, 0.9, 2)
    measures: dict[str, Callable[[Rows], float]] = {
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "brier": lambda rows: float(((rows.values["y_pred"][:, 0] - rows.values["y_true"]) ** 2).mean()),
        "recall": lambda rows: float((rows.values["y_pred"][rows.values["y_true"] == 1] >= 0.5).mean()),
    }
    found = compared(tmp_path, here, there)
    expected = by_hand(here, there, measures, 200)
    agree(found, expected)
    (row,) = [each for each in found.per_class.to_pylist() if (each["class"], each["metric"]) == (1, "recall")]
    assert (row["low"], row["high"]) == pytest.approx(expected["recall"], abs=0.12 * np.ptp(expected["recall"]))
    assert row["count_here"] == row["count_there"] == int(here.values["y_true"].sum())


def test_numbers(tmp_path: Path) -> None:
    here, there = numbers(200, 1.0, 1), numbers(200, 0.6, 2)

    measures: dict[str, Callable[[Rows], float]] = {
        "mae": lambda rows: float(np.abs(error(rows)).mean()),
        "rmse": lambda rows: float(np.sqrt((error(rows) ** 2).mean())),
        "r2": r2,
        "median_absolute_error": lambda rows: float(np.median(np.abs(error(rows)))),
        "bias": lambda rows: float(error(rows).mean()),
    }
    found = compared(tmp_path, here, there)
    agree(found, by_hand(here, there, measures, 200))
    better = {row["metric"]: row["better"] for row in found.metrics.to_pylist()}
    assert better["mae"] == better["rmse"] == better["r2"] == "there"
    assert better["bias"] is None


def test_sequences_are_drawn_whole(tmp_path: Path) -> None:
    here, there = sequences(150, 1.0, 1), sequences(150, 1.5, 2)

    def accuracy(rows: Rows) -> float:
        mask = rows.values["mask"].astype(bool)
        return float((rows.values["y_pred"].argmax(axis=-1) == rows.values["y_true"])[mask].mean())

    agree(compared(tmp_path, here, there), by_hand(here, there, {"accuracy": accuracy}, 150))


def test_runs_without_a_common_sample_are_drawn_apart(tmp_path: Path) -> None:
    here, there = classes(300, 1.2, 1), classes(200, 1.7, 2)
    there = Rows(there.prints + 10_000, there.values)
    found = compared(tmp_path, here, there)
    assert not found.paired
    assert found.matched == 0
    assert any("No sample is in both runs" in note for note in found.notes)
    rights = [label(rows) == rows.values["y_true"] for rows in (here, there)]
    rng = np.random.default_rng(5)
    drawn = [np.asarray([rng.choice(right, len(right)).mean() for _ in range(RESAMPLES)]) for right in rights]
    low, high = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    agree(found, {"accuracy": (float(low), float(high))})


def test_a_bag_stands_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = binary(6000, 0.5, 1), binary(6000, 0.55, 2)
    whole = compared(tmp_path / "whole", here, there)
    monkeypatch.setattr(ranked_module, "_MOST_SCORES", 2000)
    part = compared(tmp_path / "part", here, there)
    ends = [
        next((row["low"], row["high"]) for row in each.metrics.to_pylist() if row["metric"] == "roc_auc")
        for each in (whole, part)
    ]
    width = ends[0][1] - ends[0][0]
    assert ends[1] == pytest.approx(ends[0], abs=0.2 * width)
    assert ends[1][1] - ends[1][0] == pytest.approx(width, rel=0.2)
    assert any("2,000 of 6,000 samples drawn by chance" in note for note in part.notes)
    monkeypatch.setattr(ranked_module, "_MOST_SCORES", 900)
    none = compared(tmp_path / "none", here, there)
    assert next(row["low"] for row in none.metrics.to_pylist() if row["metric"] == "roc_auc") is None
    assert any("No interval for roc_auc, average_precision" in note for note in none.notes)


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / str(seed), {"val": [classes(80, 1.0, seed)]}) for seed in (1, 2)]
    first, second, other = (compare(runs[0], runs[1], resamples=200, seed=seed) for seed in (3, 3, 4))
    assert first.metrics.equals(second.metrics)
    assert not first.metrics.equals(other.metrics)


def test_no_interval_where_too_much_is_undefined() -> None:
    assert interval(np.r_[np.arange(100.0), np.full(4, np.nan)])
    assert not interval(np.r_[np.arange(100.0), np.full(10, np.nan)])
    assert not interval(np.full(5, np.nan))
