"""A rare class that the model never says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.rows import Rows
from truetap.rules.finding import Finding, Severity

__all__ = ["ClassImbalance"]

Array = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Told = tuple[Array, Array, Scores]

_RARE = 0.25  # of the share that it would have if all classes were equally frequent
_FEWEST = 5  # samples of the class: of fewer nothing can be said
_SELDOM = 0.25  # of its samples are told right
_NEVER = 0.05
_GAIN = 0.1  # balanced accuracy that a threshold of its own would add
_RIGHT = 0.8  # of the other classes' samples: elsewhere it is not the rare class that is in the way


class ClassImbalance:
    """A class at most a quarter as frequent as if all were alike, found in fewer than a quarter of its samples.

    All else must be well: four in five of the other samples are told right, the class weighs no more than others, and
    nothing else explains why it isn't learnt. And the outputs must know more than they say: another threshold would add
    0.1 of balanced accuracy (Youden 1950); or the class is never said at all. Read from the last epoch, of validation
    where there is one. He and Garcia 2009.
    """

    name = "class_imbalance"
    needs = ("labelled", "epochs")
    after = (
        "constant_features",
        "inverted_class_weights",
        "zero_sample_weights",
        "not_shuffled",
        "label_encoding",
        "labels_out_of_range",
        "labels_scaled",
        "logits_as_probabilities",
        "probabilities_as_logits",
        "softmax_on_one_unit",
        "padding_counted",
        "nan_in_data",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output with such a class."""
        if _early(evidence):
            return
        for output in evidence.labelled or ():
            if output.meant not in ("classes", "binary"):
                continue
            last = output.last if output.val_last is None else output.val_last
            trained, told = _classes(output.last), _classes(last)
            if trained is None or told is None:
                continue
            rare = [each for each in _rare(trained, told) if not _weighs_more(output.last, trained, each.label)]
            if not rare:
                continue
            worst = min(rare, key=lambda each: (each.recall, each.share))
            yield Finding(
                rule=self.name,
                severity=Severity.WARNING,
                seen=(
                    f"Class {worst.label} of {output.words} is {worst.share:.1%} of the labels, and in the last epoch "
                    f"{worst.found} of {worst.count} of its samples in "
                    f"{'training' if last is output.last else 'validation'} "
                    f"are told right; of all others {worst.others:.0%} are."
                ),
                why="A loss averaged over all samples is small when the rare class is never said.",
                do=(
                    f"Give fit a class_weight ({{label: n / (classes * count)}}: about {worst.weight:.3g} for class "
                    f"{worst.label}), or sample it more often; watch recall or AUC instead of accuracy."
                ),
                reference="https://doi.org/10.1109/TKDE.2008.239",
                numbers={"share": worst.share, "recall": worst.recall, "others": worst.others, "class": worst.label},
                output=output.name,
                certainty=0.8,
            )


@dataclass(frozen=True)
class _Rare:
    label: int
    share: float
    count: int
    found: int
    others: float
    weight: float

    @property
    def recall(self) -> float:
        return self.found / self.count


def _classes(rows: Rows) -> Told | None:
    """Labels, answers and outputs, of the elements that count, flat."""
    true, pred = rows.true_classes, rows.pred_classes
    if true is None or true.shape != pred.shape or rows.pred.nonfinite:
        return None
    scores = np.asarray(rows.y_pred, np.float64).reshape(true.size, -1)
    masked = rows.mask is not None and rows.mask.shape == true.shape
    valid = rows.mask.astype(bool).ravel() if rows.mask is not None and masked else np.ones(true.size, bool)
    return true.ravel()[valid], pred.ravel()[valid], scores[valid]


def _gain(scores: Scores, label: int, here: Array, found: float, others: float) -> float:
    """How much balanced accuracy the best threshold on the class's own output would add."""
    if scores.shape[-1] > 1 and label >= scores.shape[-1]:
        return 0.0
    score = scores[:, label] if scores.shape[-1] > 1 else scores[:, 0] * (1 if label else -1)
    order = np.argsort(-score, kind="stable")
    caught = np.cumsum(here[order]) / here.sum()
    wrongly = np.cumsum(~here[order]) / (~here).sum()
    return float((caught - wrongly).max() - (found + others - 1)) / 2


def _rare(trained: Told, told: Told) -> Iterator[_Rare]:
    labels, counts = np.unique(trained[0], return_counts=True)
    for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
        share = count / len(trained[0])
        here = told[0] == label
        if len(labels) < 2 or share > _RARE / len(labels) or here.sum() < _FEWEST or here.all():
            continue
        right = told[1] == told[0]
        others, found = float(right[~here].mean()), int(right[here].sum())
        if found > _SELDOM * here.sum() or others < _RIGHT:
            continue
        if found <= _NEVER * here.sum() or _gain(told[2], label, here, found / here.sum(), others) > _GAIN:
            yield _Rare(label, share, int(here.sum()), found, others, 1 / (len(labels) * share))


def _weighs_more(rows: Rows, trained: Told, label: int) -> bool:
    if rows.weight is None or rows.weight.shape[:1] != trained[0].shape:
        return False
    weight = np.asarray(rows.weight, np.float64).reshape(len(rows.weight), -1).mean(axis=1)
    here = trained[0] == label
    return bool(weight[here].mean() > 2 * weight[~here].mean())


def _early(evidence: Evidence) -> bool:
    """Whether training still runs, and isn't half done: a rare class is learnt late."""
    asked = None if evidence.fit is None else evidence.fit.epochs
    running = evidence.run is not None and not evidence.run.complete
    return running and asked is not None and 2 * len(evidence.epochs or ()) < asked
