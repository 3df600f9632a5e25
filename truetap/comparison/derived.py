"""Metrics from sums, many resamples at once: the formulas of `truetap.evaluation`, over arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.evaluation.confusion import ratio
from truetap.tasks.task import OutputTask, Task

__all__ = ["class_metrics", "derived"]

Array = npt.NDArray[Any]
_ROUNDING = 1e-12


def derived(sums: Mapping[str, Array], spec: OutputTask | None) -> dict[str, Array]:
    """Metrics under the names that `samples.evaluate()` has for them.

    Args:
        sums: float64 (resamples, width) by name.
        spec: What the output's values mean; None where nothing but losses is known.

    Returns:
        float64 (resamples,) by name, NaN where undefined; those that no sums give (areas, medians) are left out.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        found = {"loss": _share(sums, "loss", "losses")}
        if spec is None:
            return found
        if spec.task is Task.REGRESSION:
            return found | _regression(sums)
        if "hits" in sums and spec.positions >= 2:
            found["mean_iou"] = _mean(class_metrics(sums, spec)["iou"])
        if spec.positions == 1:
            found["exact_match"] = _share(sums, "exact", "sequences")
        if spec.task is Task.MULTILABEL:
            return found | _multilabel(sums)
        found["accuracy"] = _share(sums, "right", "n")
        return found | (_ordinal(sums) if spec.task is Task.ORDINAL else _categorical(sums, spec))


def class_metrics(sums: Mapping[str, Array], spec: OutputTask) -> dict[str, Array]:
    """Precision, recall, F1 (and IoU of images) of every class, float64 (resamples, classes); empty for numbers."""
    if "hits" not in sums:
        return {}
    hits, support, predicted = sums["hits"], sums["support"], sums["predicted"]
    found = {
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, support),
        "f1": ratio(2 * hits, support + predicted),
    }
    return found | ({"iou": ratio(hits, support + predicted - hits)} if spec.positions >= 2 else {})


def _categorical(sums: Mapping[str, Array], spec: OutputTask) -> dict[str, Array]:
    found = {
        "log_loss": _share(sums, "log_loss", "n"),
        "ece": np.nansum(np.abs(sums["bin_right"] - sums["bin_confidence"]), axis=1) / sums["n"][:, 0],
    }
    if spec.task is Task.BINARY:
        found["brier"] = _share(sums, "brier", "n")
    elif spec.classes > 5:
        found["top_5_accuracy"] = _share(sums, "top", "n")
    each = class_metrics(sums, spec)
    if not each:
        return found
    found["balanced_accuracy"] = _mean(each["recall"])
    names = ("precision", "recall", "f1")
    if spec.task is Task.BINARY:
        return found | {name: each[name][:, 1] for name in names}
    support = sums["support"]
    present = (support + sums["predicted"]) > 0
    for name in names:
        values = np.nan_to_num(each[name])
        found[f"{name}_macro"] = _ratio((values * present).sum(axis=1), present.sum(axis=1))
        found[f"{name}_weighted"] = _ratio((values * support).sum(axis=1), support.sum(axis=1))
    return found


def _ordinal(sums: Mapping[str, Array]) -> dict[str, Array]:
    """The kappa of squared weights needs no table: its expected part is that of independent ranks."""
    true, true2, pred, pred2, away2 = (
        _share(sums, name, "n") for name in ("true", "true_squares", "pred", "pred_squares", "away_squares")
    )
    expected = true2 + pred2 - 2 * true * pred
    undefined = expected <= _ROUNDING * (true2 + pred2)
    kappa = 1 - _ratio(away2, np.where(undefined, 0, expected))
    return {"mae": _share(sums, "away", "n"), "quadratic_weighted_kappa": kappa}


def _multilabel(sums: Mapping[str, Array]) -> dict[str, Array]:
    found = {"subset_accuracy": _share(sums, "right", "n"), "hamming_loss": _share(sums, "wrong", "n")}
    if "hits" not in sums:
        return found
    hits, support, predicted = sums["hits"], sums["support"], sums["predicted"]
    for name, whole in (("precision", predicted), ("recall", support), ("f1", (support + predicted) / 2)):
        found[f"{name}_micro"] = _ratio(hits.sum(axis=1), whole.sum(axis=1))
        found[f"{name}_macro"] = np.nan_to_num(ratio(hits, whole)).mean(axis=1)
    return found


def _regression(sums: Mapping[str, Array]) -> dict[str, Array]:
    mse = _share(sums, "square", "n")
    found = {
        "mae": _share(sums, "absolute", "n"),
        "mse": mse,
        "rmse": np.sqrt(mse),
        "bias": _share(sums, "residual", "n"),
    }
    if "squares" in sums:
        n = sums["n"]
        spread = sums["target_squares"] - ratio(sums["targets"] ** 2, np.broadcast_to(n, sums["targets"].shape))
        flat = (spread <= _ROUNDING * sums["target_squares"]) | (n < 2)
        found["r2"] = _mean(1 - ratio(sums["squares"], np.where(flat, 0, spread)))
    return found


def _share(sums: Mapping[str, Array], part: str, whole: str) -> Array:
    return _ratio(sums[part][:, 0], sums[whole][:, 0])


def _ratio(part: Array, whole: Array) -> Array:
    return ratio(np.asarray(part, np.float64), whole)


def _mean(values: Array) -> Array:
    """Mean over the last axis of what is defined."""
    defined = ~np.isnan(values)
    return _ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))
