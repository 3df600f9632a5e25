"""Which classes are taken for which: a matrix whose cells open, or, of many classes, the most confused pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.report.content import Cell, Column, Confusion, Table
from truetap.report.inputs import has_inputs
from truetap.report.roster import Roster
from truetap.tasks import OutputTask

if TYPE_CHECKING:
    from truetap.evaluation import Evaluation
    from truetap.run import Run
    from truetap.samples import Samples

__all__ = ["confused"]

Array = npt.NDArray[Any]

_MOST_CLASSES = 25  # of a matrix that a person can read
_MOST_PAIRS = 100
_OF_WRONG, _OF_RIGHT = 8, 2  # samples kept of a cell


def confused(
    run: Run, phase: str, view: Samples, task: OutputTask, evaluation: Evaluation, roster: Roster
) -> Confusion | Table:
    """The matrix of up to 25 classes, else the pairs that are confused most often.

    Samples of a cell are those of highest loss; those whose input was recorded come first, since they can be shown.
    """
    matrix = evaluation.confusion
    assert matrix is not None
    names = tuple(row.name for row in evaluation.per_class)
    ranked = None if task.positions else _Ranked.of(run, phase, view, len(matrix))
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[: _MOST_CLASSES**2]
    pairs = [(int(at) // len(matrix), int(at) % len(matrix)) for at in order if wrong.flat[at] > 0]
    kept = {pair: () if ranked is None else ranked.keys(roster, phase, pair, _OF_WRONG) for pair in pairs[:_MOST_PAIRS]}
    if len(matrix) > _MOST_CLASSES:
        return _pairs(matrix, names, kept)
    for pair in pairs[_MOST_PAIRS:]:
        kept[pair] = () if ranked is None else ranked.keys(roster, phase, pair, _OF_WRONG)
    for label in range(len(matrix)):
        kept[label, label] = () if ranked is None else ranked.keys(roster, phase, (label, label), _OF_RIGHT)
    cells = tuple(
        tuple(Cell(float(count), kept.get((true, pred), ())) for pred, count in enumerate(line))
        for true, line in enumerate(matrix)
    )
    return Confusion("Confusion matrix", names, cells)


def _pairs(matrix: Array, names: tuple[str, ...], kept: dict[tuple[int, int], tuple[str, ...]]) -> Table:
    sums = matrix.sum(axis=1)
    rows = tuple(
        (names[true], names[pred], Cell(float(matrix[true, pred]), keys), float(matrix[true, pred] / sums[true]))
        for (true, pred), keys in kept.items()
    )
    columns = (
        Column("true", "text"),
        Column("predicted", "text"),
        Column("samples", "cell"),
        Column("share of the true class"),
    )
    return Table(f"The {len(rows)} most confused pairs of {len(names):,} classes", columns, rows)


@dataclass(frozen=True)
class _Ranked:
    """Rows in the order of their cells, in each the ones to show first.

    Attributes:
        ids: The samples.
        cells: Their cells, ascending: true * classes + predicted.
        classes: Number of classes.
    """

    ids: Array
    cells: Array
    classes: int

    @classmethod
    def of(cls, run: Run, phase: str, view: Samples, classes: int) -> _Ranked | None:
        true, pred = np.asarray(view.true_labels), np.asarray(view.pred_labels)
        if true.ndim != 1 or not phase:
            return None
        ids = view.ids
        loss = np.zeros(len(ids)) if view.loss is None else np.nan_to_num(view.loss.astype(np.float64), nan=np.inf)
        shown = np.isin(ids, has_inputs(run, phase))
        cells = true * classes + pred
        inside = (true >= 0) & (true < classes) & (pred >= 0) & (pred < classes)
        order = np.lexsort((-loss, ~shown, cells))
        order = order[inside[order]]
        return cls(ids[order], cells[order], classes)

    def keys(self, roster: Roster, phase: str, pair: tuple[int, int], most: int) -> tuple[str, ...]:
        """The first samples of a cell."""
        cell = pair[0] * self.classes + pair[1]
        begin, end = np.searchsorted(self.cells, [cell, cell + 1])
        return roster.keys(phase, self.ids[begin : min(end, begin + most)].tolist())
