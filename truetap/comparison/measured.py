"""One output of one run, read once: sums of its samples, scores in order, and what each row was called.

Cost: a pass over the pairs of the output. What is held is a few numbers a row, and the scores of a bag of samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.comparison.ranked import Ranked, Ranking
from truetap.comparison.sums import Summing, Sums
from truetap.evaluation.chunk import Chunk, Positions, flatten
from truetap.samples import Samples
from truetap.tasks.task import OutputTask, Task

__all__ = ["Calls", "Measured", "measure", "row_losses"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Calls:
    """What each row was called, and whether that was right.

    Attributes:
        valid: Which rows have a label, bool (rows,).
        right: Whether all of a row is right, bool (rows,); of multi-label outputs bool (rows, labels).
        label: The truth, int64 of the shape of `right`; None for sequences and images.
        pred: The prediction, likewise.
    """

    valid: Array
    right: Array
    label: Array | None
    pred: Array | None


@dataclass(frozen=True, eq=False)
class Measured:
    """One output of one run.

    Attributes:
        spec: What its values mean; None where nothing but losses is known.
        sums: The sums of each sample.
        ranked: Scores in order; None where no metric needs them, or where they are too many.
        calls: Of classes, else None.
        losses: Unweighted losses of rows; None where none were recorded.
    """

    spec: OutputTask | None
    sums: Sums
    ranked: Ranked | None
    calls: Calls | None
    losses: Array | None


def measure(samples: Samples, spec: OutputTask | None, unit: Array, units: int, kept: Array | None) -> Measured:
    """Reads one output.

    Args:
        samples: Its rows.
        spec: What its values mean; None to read losses alone.
        unit: The sample of each row, -1 for rows that aren't compared.
        units: How many samples are numbered.
        kept: bool (units,): whose scores are put in order; None for no scores.
    """
    summing = Summing(spec, units, _dimensions(samples, spec))
    weighted = row_losses(samples.weighted_loss)
    if weighted is not None:
        summing.add_losses(weighted, unit)
    losses = row_losses(samples.loss)
    if spec is None:
        return Measured(None, summing.result(), None, None, losses)
    ranked = Ranking(spec, kept) if kept is not None and spec.task is not Task.ORDINAL else None
    calls = None if spec.task is Task.REGRESSION else _blank(spec, len(samples))
    for where, positions in _chunks(samples, spec):
        summing.add(positions, unit[where])
        if ranked is not None:
            ranked.add(positions, unit[where])
        if calls is not None:
            _call(calls, where, positions)
    return Measured(spec, summing.result(), None if ranked is None else ranked.result(), calls, losses)


def row_losses(loss: Array | None) -> Array | None:
    """One loss a row, float64."""
    return None if loss is None else loss.astype(np.float64).reshape(len(loss), -1).mean(axis=1)


def _chunks(samples: Samples, spec: OutputTask) -> Iterator[tuple[slice, Positions]]:
    start = 0
    for y_true, y_pred, mask in samples.pairs():
        where = slice(start, start + len(y_pred))
        start = where.stop
        yield where, flatten(Chunk(y_true, y_pred, mask), spec)


def _dimensions(samples: Samples, spec: OutputTask | None) -> int:
    if spec is None or spec.task is not Task.REGRESSION:
        return 0
    for _, positions in _chunks(samples, spec):
        return int(positions.pred.shape[1])
    return 0


def _blank(spec: OutputTask, rows: int) -> Calls:
    wide = (rows, spec.classes) if spec.task is Task.MULTILABEL and not spec.positions else (rows,)
    named = not spec.positions
    return Calls(
        valid=np.zeros(rows, bool),
        right=np.zeros(wide, bool),
        label=np.full(wide, -1, np.int64) if named else None,
        pred=np.full(wide, -1, np.int64) if named else None,
    )


def _call(calls: Calls, where: slice, positions: Positions) -> None:
    row = positions.sample + where.start
    calls.valid[row] = True
    right = positions.true == positions.pred
    if calls.label is not None and calls.pred is not None:
        calls.label[row], calls.pred[row], calls.right[row] = positions.true, positions.pred, right
        return
    wrong = ~(right.all(axis=1) if right.ndim > 1 else right)
    calls.right[where] = np.bincount(positions.sample, wrong, minlength=positions.samples) == 0
