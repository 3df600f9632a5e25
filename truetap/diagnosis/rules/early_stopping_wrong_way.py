"""A callback that takes better for worse."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.facts import FitFacts
from truetap.facts.types import CallbackFacts
from truetap.rules.finding import Finding, Severity

__all__ = ["EarlyStoppingWrongWay", "direction"]

Array = npt.NDArray[np.float64]
Direction = Literal["min", "max"]

# words of metrics' names, between underscores
_UP = re.compile(
    r"(^|_)(acc|accuracy|auc|prc|roc|precision|recall|f1|f1score|fbeta|fscore|r2|iou|miou|io_u|dice|jaccard|kappa|bleu|rouge|map|ndcg|"
    r"psnr|ssim|sensitivity|specificity|mcc|positives_true|true_positives|true_negatives)(_|$|\d|@)|accuracy|f_?beta|f1_score|r2_score|_iou|iou_"
)
_DOWN = re.compile(
    r"(^|_)(loss|error|mse|mae|rmse|mape|msle|crossentropy|huber|logcosh|perplexity|divergence|kld|poisson|"
    r"false_positives|false_negatives|distance|cost)(_|$)|error$|crossentropy|squared_error"
)
_STILL = 0.1  # of all that was gained, in the epochs that it waited: less is a plateau
_KINDS = ("EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau")


class EarlyStoppingWrongWay:
    """`monitor` and `mode` that contradict each other; or a stop while what is monitored still got better.

    By the name of what is monitored: losses and errors are to fall, accuracies, AUC, F1, R2 and their like to rise. By
    the run: EarlyStopping ended it though its metric, in its own right direction, was best in the last epoch and had
    improved in each of the epochs that it waited: `min_delta`, `baseline` or a patience of 0 are the reason then.
    """

    name = "early_stopping_wrong_way"
    needs = ("fit",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each such callback."""
        fit = evidence.fit
        assert fit is not None
        for each in fit.callbacks:
            if each.kind not in _KINDS:
                continue
            monitor, mode = str(each.settings.get("monitor", "")), str(each.settings.get("mode", "auto"))
            right = direction(monitor)
            if right is not None and mode in ("min", "max") and mode != right:
                yield self._against(each, monitor, mode, right)
            elif each.kind == "EarlyStopping" and evidence.run is not None and evidence.run.complete:
                yield from self._early(evidence.history, fit, each, monitor, right or _told(mode))

    def _against(self, callback: CallbackFacts, monitor: str, mode: str, right: Direction) -> Finding:
        stops = callback.kind == "EarlyStopping"
        effect = {
            "EarlyStopping": "Training is stopped for getting better, and the worst weights may be restored.",
            "ModelCheckpoint": "The worst weights are kept as the best.",
            "ReduceLROnPlateau": "The rate is cut because things get better.",
        }[callback.kind]
        return Finding(
            rule=self.name,
            severity=Severity.ERROR if stops else Severity.WARNING,
            seen=(
                f"{callback.kind} monitors {monitor!r} with mode={mode!r}; better is "
                f"{'more' if right == 'max' else 'less'} of it."
            ),
            why=effect,
            do=f"Set mode={right!r}.",
            where=f"{callback.kind}(monitor={monitor!r}, mode={mode!r})",
            reference="https://keras.io/api/callbacks/early_stopping/" if stops else None,
            certainty=0.95 if stops else 0.7,
        )

    def _early(
        self,
        history: Mapping[str, Array] | None,
        fit: FitFacts,
        callback: CallbackFacts,
        monitor: str,
        right: Direction | None,
    ) -> Iterator[Finding]:
        """A stop in the middle of progress."""
        series = None if history is None else history.get(monitor)
        if series is None or right is None or fit.epochs is None or not np.isfinite(series).all():
            return
        patience, waited = callback.settings.get("patience", 0), len(series)
        wait = max(2, int(patience) if isinstance(patience, int) else 0)
        if waited >= fit.epochs or waited <= wait:
            return
        better = np.diff(series[-wait - 1 :]) * (1 if right == "max" else -1)
        if not np.all(better > 0) or better.sum() < _STILL * abs(float(series[-1] - series[0])):
            return
        said = ", ".join(
            f"{key}={callback.settings[key]:g}"
            for key in ("patience", "min_delta", "baseline")
            if isinstance(callback.settings.get(key), int | float)
        )
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"EarlyStopping ended training after {waited} of {fit.epochs} epochs, though {monitor!r} got better "
                "in each of "
                f"the last {wait}, from {series[-wait - 1]:.4g} to {series[-1]:.4g}."
            ),
            why="It was stopped in the middle of progress.",
            do=(
                f"Look at its settings ({said}): a min_delta or baseline that such steps can't reach, or too little "
                "patience."
            ),
            where=f"EarlyStopping(monitor={monitor!r})",
            numbers={"epochs": float(waited), "asked": float(fit.epochs), "last": float(series[-1])},
            certainty=0.75,
        )


def direction(metric: str) -> Direction | None:
    """Whether less or more of a metric is better, by its name; None where the name doesn't say.

    Example:
        >>> direction("val_accuracy"), direction("val_loss"), direction("val_mine")
        ('max', 'min', None)
    """
    name = re.sub(r"^val_", "", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", metric)).lower()
    up, down = bool(_UP.search(name)), bool(_DOWN.search(name))
    if up == down:
        return None
    return "max" if up else "min"


def _told(mode: str) -> Direction | None:
    return "min" if mode == "min" else "max" if mode == "max" else None
