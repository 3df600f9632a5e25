"""Samples that come sorted by their labels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.diagnosis.sampled import order_of
from truetap.rules.finding import Finding, Severity

__all__ = ["NotShuffled"]

Array = npt.NDArray[np.float64]

_SORTED = 0.5  # of the labels' variance lies between blocks of one batch; 0 in mixed rows, 1 in sorted ones
_RISING = 0.9  # rank correlation of numbers with their place
_BLOCKS = 5
_BLOCK = 16


class NotShuffled:
    """Labels that follow the order of the samples in the first epoch and still in the last.

    Measured as the share of the labels' variance between blocks of one batch (at least 16 samples), less what chance
    gives: omega squared (Hays 1963), 0 for mixed rows and 1 for sorted ones; why to mix them: LeCun et al. 1998. A
    warning for classes from a half on; for numbers only when they rise or fall with the order, since a series in its
    order is no mistake. Models that carry
    their state from batch to batch need the order. Of rows that were mixed in fit, but split off in their order,
    validation holds classes that training never sees: that is said too.
    """

    name = "not_shuffled"
    needs = ("labelled",)
    after = ("constant_features",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        own_step = evidence.facts is not None and evidence.facts.model.own_train_step
        stateful = evidence.facts is not None and any(
            each.settings.get("stateful") for each in evidence.facts.model.layers
        )
        if evidence.batch is not None or evidence.fit is None or own_step or stateful:
            return
        for output in evidence.labelled or ():
            between = [_between_blocks(output, rows) for rows in (output.first, output.last)]
            if None not in between and min(each for each in between if each is not None) > _SORTED:
                classes = output.meant in ("classes", "binary")
                if classes or _rises(output.last):
                    yield self._sorted(evidence, output, min(each for each in between if each is not None))
                    continue
            yield from self._split(evidence, output)

    def _sorted(self, evidence: Evidence, output: OutputEvidence, share: float) -> Finding:
        fit = evidence.fit
        what = "shuffle=False" if fit is not None and fit.arrays and fit.shuffle is False else None
        classes = output.last.true_classes
        of_one = (
            ""
            if classes is None or classes.ndim > 1
            else f" {_single(output.last):.0%} of the batches hold one class only."
        )
        return Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"The labels of {output.words} come sorted: {share:.0%} of their variance is between batches, where "
                "mixed "
                f"samples have 0%.{of_one}"
            ),
            why="Each step pulls the model to the labels of its batch, and away from those before.",
            do=(
                "Leave shuffle=True in fit for arrays; shuffle a dataset before batching with a buffer as large as the "
                "data; in a PyDataset mix the indices in on_epoch_end."
            ),
            where=what,
            reference="https://doi.org/10.1007/978-3-642-35289-8_3",
            numbers={"between": share},
            output=output.name,
            certainty=0.9,
        )

    def _split(self, evidence: Evidence, output: OutputEvidence) -> Iterator[Finding]:
        """Validation of classes that are not trained on at all."""
        if output.val_last is None or output.meant not in ("classes", "binary"):
            return
        train, val = output.first.true_classes, output.val_last.true_classes
        if train is None or val is None or train.ndim != 1 or val.ndim != 1 or output.first.total > len(train):
            return
        unseen = ~np.isin(val, train)
        if unseen.mean() < _SORTED:
            return
        split = evidence.fit is not None and evidence.fit.validation_split
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"{unseen.mean():.0%} of the validation samples of {output.words} are of classes that are not in "
                "training: "
                f"{', '.join(map(str, np.unique(val[unseen])[:8]))}."
            ),
            why=(
                "validation_split takes the last samples as they stand, and these are sorted."
                if split
                else "The data were split while they were sorted."
            ),
            do="Mix x and y together once before they are split.",
            where="validation_split" if split else "validation_data",
            reference="https://keras.io/api/models/model_training_apis/",
            numbers={"unseen": float(unseen.mean())},
            output=output.name,
            certainty=0.85,
        )


def _between_blocks(output: OutputEvidence, rows: Rows) -> float | None:
    """Omega squared of the labels by blocks of their order; None of too few rows or of labels that are all one."""
    columns = order_of(output, rows)
    if columns is None or not columns.shape[1]:
        return None
    batch = len(rows) / max(1, len(np.unique(rows.steps)))
    size = int(max(_BLOCK, round(batch)))
    blocks = len(columns) // size
    if blocks < _BLOCKS:
        return None
    cut = columns[: blocks * size]
    centred = cut - cut.mean(axis=0)
    total = float((centred**2).sum())
    if total <= 0:
        return None
    means = centred.reshape(blocks, size, -1).mean(axis=1)
    between = float(size * (means**2).sum())
    within = (total - between) / (blocks * (size - 1))
    return max(0.0, (between - (blocks - 1) * within) / (total + within))


def _rises(rows: Rows) -> bool:
    if rows.y_true is None:
        return False
    value = np.asarray(rows.y_true, np.float64).reshape(len(rows), -1)[:, 0]
    ranks = np.argsort(np.argsort(value, kind="stable"), kind="stable")
    return bool(abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) > _RISING) if len(value) > 2 else False


def _single(rows: Rows) -> float:
    """The share of steps whose labels are all one class."""
    assert rows.true_classes is not None
    _, index = np.unique(rows.steps, return_inverse=True)
    low = np.full(index.max() + 1, np.inf)
    high = np.full(index.max() + 1, -np.inf)
    np.minimum.at(low, index, rows.true_classes)
    np.maximum.at(high, index, rows.true_classes)
    return float(np.mean(low == high))
