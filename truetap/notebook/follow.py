"""Follows a run while it is written: what is new in its curves, thinned, in memory of fixed size.

A look reads the batches that were committed since the last one, and none of those before. Thinning keeps the lowest and
the highest value of each stretch: a single step that exploded stays to be seen however long the run is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from truetap.store import RunReader

__all__ = ["Course", "Follower"]

_MOST = 800  # points that a course keeps


class Course:
    """Numbers over steps, thinned as they grow many."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []

    def add(self, steps: list[float], values: list[float]) -> None:
        """Adds what comes later than all before."""
        self.points += zip(steps, values, strict=True)
        while len(self.points) > _MOST:
            self.points = _thinned(self.points)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """About half as many: of each four the lowest and the highest; a value that isn't finite is kept for what it is."""
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), 4):
        part = points[start : start + 4]
        order = sorted(part, key=lambda point: (not np.isfinite(point[1]), point[1]))
        kept += sorted({order[0], order[-1]})
    return kept


class Follower:
    """The curves of a run, by steps and by epochs.

    Args:
        path: The run's folder.

    Attributes:
        steps: By phase and name: "own", each step's own loss; "running", Keras' running mean of the epoch.
        epochs: By metric.
        rows: How many rows were read in all.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.steps: dict[tuple[str, str], Course] = {}
        self.epochs: dict[str, Course] = {}
        self.rows = 0
        self._seen: dict[str, int] = {}  # the last step by phase
        self._last_epoch = -1

    def look(self, *, thorough: bool = False) -> bool:
        """Takes in what is new; whether anything was.

        Args:
            thorough: Whether to look behind a batch in which nothing is new: needed where the writer has moved rows.

        Raises:
            StoreError: There is no run yet, or it can't be read.
        """
        reader = RunReader(self._path)
        before = self.rows
        if "scalars" in reader.tables:
            for batch in self._new_batches(reader, thorough):
                self._take_steps(batch)
        if "epochs" in reader.tables:
            self._take_epochs(reader, thorough)
        return self.rows > before

    def _new_batches(self, reader: RunReader, thorough: bool) -> list[pa.RecordBatch]:
        """Those with steps that were not seen, by step: they are looked for from the end."""
        batches = reader.batches("scalars", worker=0)
        found = []
        for index in reversed(range(len(batches))):
            batch = batches[index]
            phase = batch.column("phase")[0].as_py()
            steps = batch.column("step").to_numpy()
            if steps.max() > self._seen.get(phase, -1):
                found.append((int(steps[0]), batch))
            elif not thorough:
                break
        return [batch for _, batch in sorted(found, key=lambda pair: pair[0])]

    def _take_steps(self, batch: pa.RecordBatch) -> None:
        phase = batch.column("phase")[0].as_py()
        steps = batch.column("step").to_numpy()
        new = steps > self._seen.get(phase, -1)
        self._seen[phase] = int(steps.max())
        self.rows += int(new.sum())
        for name, column in (("own", "loss"), ("running", "running/loss")):
            place = batch.schema.get_field_index(column)
            if place >= 0:
                values = batch.column(place).to_numpy(zero_copy_only=False).astype(float)
                self.steps.setdefault((phase, name), Course()).add(steps[new].tolist(), values[new].tolist())

    def _take_epochs(self, reader: RunReader, thorough: bool) -> None:
        rows: list[tuple[int, str, float]] = []
        for part in self._late_epochs(reader, thorough):
            rows += zip(*(part.column(name).to_pylist() for name in ("epoch", "name", "value")), strict=True)
        for epoch, name, value in sorted(rows, key=lambda row: row[0]):
            self.rows += 1
            self.epochs.setdefault(name, Course()).add([epoch], [float("nan") if value is None else value])
        self._last_epoch = max([self._last_epoch, *(epoch for epoch, _, _ in rows)])

    def _late_epochs(self, reader: RunReader, thorough: bool) -> Iterator[pa.RecordBatch]:
        batches = reader.batches("epochs", worker=0)
        for index in reversed(range(len(batches))):
            batch = batches[index]
            late = batch.column("epoch").to_numpy() > self._last_epoch
            if late.any():
                yield batch.filter(pa.array(late))
            elif not thorough:
                return
