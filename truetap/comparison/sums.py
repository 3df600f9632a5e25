"""What metrics are made of, summed over each sample: a sparse matrix with a row for each and named columns.

Accuracy is a sum over a sum; so are recall, F1, R2, kappa and the calibration error, of a few sums more. They are
therefore had of any resample from these sums alone. Cost: one pass over the pairs; memory for about a dozen numbers
a sample, of sequences for those of each class that comes in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from truetap.comparison.likelihood import among_top, likelihood
from truetap.evaluation.chunk import Positions
from truetap.tasks.task import OutputTask, Task

__all__ = ["BINS", "MOST_CLASSES", "MOST_DIMENSIONS", "Summing", "Sums"]

Array = npt.NDArray[Any]
Entry = tuple[str, Array, Array | int, Array | float]  # column, rows, offset in the column, values

BINS = 15  # as `samples.evaluate()` has it
MOST_CLASSES = 2_000  # classes of which each has sums of its own
MOST_DIMENSIONS = 32  # dimensions of a regression of which each has sums of its own
_TOP = 5


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of samples.

    Attributes:
        matrix: float64 (samples, columns).
        columns: Which columns are meant by a name.
    """

    matrix: sparse.csr_array
    columns: Mapping[str, slice]

    def of(self, units: Array) -> Sums:
        """Those of some samples."""
        return Sums(self.matrix[units], self.columns)

    def named(self, totals: Array) -> dict[str, Array]:
        """Totals (resamples, columns) by name: (resamples, width) each."""
        return {name: totals[:, where] for name, where in self.columns.items()}


class Summing:
    """Gathers the sums of one output of one run.

    Args:
        spec: What its values mean; None where nothing but losses is known.
        units: How many samples are numbered.
        dimensions: Of a regression, how many numbers a prediction has.
    """

    def __init__(self, spec: OutputTask | None, units: int, dimensions: int = 0) -> None:
        self.spec, self.units = spec, units
        self.dimensions = dimensions if dimensions <= MOST_DIMENSIONS else 0
        self.columns: dict[str, slice] = {}
        self._width = 0
        self._centre: Array | None = None
        self._parts: list[tuple[Array, Array, Array]] = []
        for name, width in [("losses", 1), ("loss", 1), *(() if spec is None else _widths(spec, self.dimensions))]:
            self.columns[name] = slice(self._width, self._width + width)
            self._width += width

    def add_losses(self, loss: Array, unit: Array) -> None:
        """Takes in the losses of rows (n,) of the samples `unit` (n,); -1 for none."""
        ones = np.ones(len(loss))
        self._put([("losses", np.arange(len(loss)), 0, ones), ("loss", np.arange(len(loss)), 0, loss)], unit)

    def add(self, positions: Positions, unit: Array) -> None:
        """Takes in a chunk, whose rows are of the samples `unit` (rows,); -1 for none."""
        assert self.spec is not None
        if len(positions.true):
            entries = _numbers(positions, self._centred(positions), self.dimensions)
            self._put(entries if self.spec.task is Task.REGRESSION else _of_classes(positions, self.spec), unit)

    def result(self) -> Sums:
        """The sums of each sample."""
        none = np.zeros(0, np.int64)
        at, column, value = (np.concatenate(part) for part in zip((none, none, np.zeros(0)), *self._parts, strict=True))
        shape = (self.units, self._width)
        return Sums(sparse.coo_array((value, (at, column)), shape=shape).tocsr(), dict(self.columns))

    def _centred(self, positions: Positions) -> Array:
        """Targets from a value near their mean: variances of large targets then lose no precision."""
        if self.spec is None or self.spec.task is not Task.REGRESSION:
            return np.zeros(0)
        true = positions.true.astype(np.float64)
        if self._centre is None:
            self._centre = np.nan_to_num(true.mean(axis=0), posinf=0.0, neginf=0.0)
        return np.asarray(true - self._centre)

    def _put(self, entries: list[Entry], unit: Array) -> None:
        rows, columns, values = [], [], []
        for name, row, offset, value in entries:
            rows.append(row)
            columns.append(np.broadcast_to(np.asarray(offset) + self.columns[name].start, row.shape))
            values.append(np.broadcast_to(np.asarray(value, np.float64), row.shape))
        row, column, value = np.concatenate(rows), np.concatenate(columns), np.concatenate(values)
        kept = (unit[row] >= 0) & (value != 0)
        shape = (len(unit), self._width)
        small = sparse.coo_array((value[kept], (row[kept], column[kept])), shape=shape).tocsr().tocoo()
        self._parts.append((unit[small.coords[0]], small.coords[1].astype(np.int64), small.data))


def _widths(spec: OutputTask, dimensions: int) -> Iterator[tuple[str, int]]:
    yield "n", 1
    if spec.task is Task.REGRESSION:
        yield from (("absolute", 1), ("square", 1), ("residual", 1))
        yield from ((name, dimensions) for name in ("squares", "targets", "target_squares") if dimensions)
        return
    yield from (("right", 1), ("wrong", 1), ("sequences", 1), ("exact", 1))
    if spec.classes <= MOST_CLASSES:
        yield from ((name, spec.classes) for name in ("hits", "support", "predicted"))
    if spec.task is Task.ORDINAL:
        yield from ((name, 1) for name in ("away", "away_squares", "true", "true_squares", "pred", "pred_squares"))
    elif spec.task is not Task.MULTILABEL:
        yield from ((name, 1) for name in ("top", "log_loss", "brier"))
        yield from ((name, BINS) for name in ("bin_confidence", "bin_right"))


def _numbers(positions: Positions, centred: Array, dimensions: int) -> list[Entry]:
    if not len(centred):
        return []
    row = positions.sample
    residual = positions.pred.astype(np.float64) - positions.true
    entries: list[Entry] = [
        ("n", row, 0, 1.0),
        ("absolute", row, 0, np.abs(residual).mean(axis=1)),
        ("square", row, 0, (residual**2).mean(axis=1)),
        ("residual", row, 0, residual.mean(axis=1)),
    ]
    for k in range(dimensions):
        entries += [
            ("squares", row, k, residual[:, k] ** 2),
            ("targets", row, k, centred[:, k]),
            ("target_squares", row, k, centred[:, k] ** 2),
        ]
    return entries


def _of_classes(positions: Positions, spec: OutputTask) -> list[Entry]:
    row, true, pred = positions.sample, positions.true, positions.pred
    entries: list[Entry] = [("n", row, 0, 1.0)]
    if spec.task is Task.MULTILABEL:
        differ = true != pred
        right = ~differ.any(axis=1)
        entries.append(("wrong", row, 0, differ.mean(axis=1)))
        if spec.classes <= MOST_CLASSES:
            for name, values in (("hits", true & pred), ("support", true), ("predicted", pred)):
                at, label = np.nonzero(values)
                entries.append((name, row[at], label, 1.0))
    else:
        right = true == pred
        if spec.classes <= MOST_CLASSES:
            entries += [
                ("hits", row[right], true[right], 1.0),
                ("support", row, true, 1.0),
                ("predicted", row, pred, 1.0),
            ]
        entries += _ranks(positions) if spec.task is Task.ORDINAL else _scores(positions, spec, right)
    entries.append(("right", row, 0, right))
    if spec.positions == 1:
        sequences = np.unique(row)
        exact = np.bincount(row, ~right)[sequences] == 0
        entries += [("sequences", sequences, 0, 1.0), ("exact", sequences, 0, exact)]
    return entries


def _ranks(positions: Positions) -> list[Entry]:
    row, true, pred = positions.sample, positions.true.astype(np.float64), positions.pred.astype(np.float64)
    return [
        ("away", row, 0, np.abs(true - pred)),
        ("away_squares", row, 0, (true - pred) ** 2),
        ("true", row, 0, true),
        ("true_squares", row, 0, true**2),
        ("pred", row, 0, pred),
        ("pred_squares", row, 0, pred**2),
    ]


def _scores(positions: Positions, spec: OutputTask, right: Array) -> list[Entry]:
    row, found = positions.sample, likelihood(positions, spec)
    edges = np.linspace(0, 1, BINS + 1)
    place = np.searchsorted(edges, found.confidence.clip(0, 1), side="left").clip(1, BINS) - 1
    entries: list[Entry] = [
        ("log_loss", row, 0, found.loss),
        ("bin_confidence", row, place, found.confidence),
        ("bin_right", row, place, right),
    ]
    if found.square is not None:
        entries.append(("brier", row, 0, found.square))
    if spec.classes > _TOP:
        entries.append(("top", row, 0, among_top(positions, _TOP)))
    return entries
