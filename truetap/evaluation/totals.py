"""What is counted for every task: samples, positions, weights, losses, and what was left out."""

from __future__ import annotations

from truetap.errors import TaskError
from truetap.evaluation.chunk import Positions
from truetap.tasks.task import OutputTask, Task


class NothingToMeasureError(TaskError):
    """No position counts: there are no samples, all are masked, or weights sum to 0."""


class Totals:
    """Numbers that every task has."""

    def __init__(self) -> None:
        self.samples = self.positions = self.broken = self._losses = 0
        self.weight = self._loss = 0.0
        self.with_weights = False
        self.left_out: dict[int, int] = {}

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        self.samples += positions.samples
        self.positions += len(positions.true)
        self.broken += int((~positions.finite).sum())
        self.weight += float(positions.weights.sum())
        self.with_weights |= positions.weight is not None
        for label, count in positions.left_out.items():
            self.left_out[label] = self.left_out.get(label, 0) + count
        if positions.loss is not None and len(positions.loss):
            self._loss += float(positions.loss.reshape(len(positions.loss), -1).mean(axis=1).sum())
            self._losses += len(positions.loss)

    @property
    def loss(self) -> float | None:
        """Mean of the recorded losses; None when there are none."""
        return self._loss / self._losses if self._losses else None

    def check(self, *, weighted: bool) -> None:
        """Raises when there is nothing to measure."""
        if not self.samples:
            raise NothingToMeasureError("There is nothing to evaluate. Received: no samples. Expected: at least one.")
        if not self.positions:
            raise NothingToMeasureError(
                f"There is nothing to evaluate. Received: {self.samples:,} samples whose mask or labels "
                "exclude every position. Expected: at least one that counts."
            )
        if weighted and not self.with_weights:
            raise TaskError(
                "Weighted metrics were asked for. Received: samples without weights. Expected: "
                "sample weights. Leave out weighted=True, or record them."
            )
        if weighted and not self.weight > 0:
            raise NothingToMeasureError(
                f"There is nothing to evaluate. Received: weights that sum to {self.weight:g}. Expected: "
                "a sum above 0. Leave out weighted=True to count every sample once."
            )

    def notes(self, spec: OutputTask) -> list[str]:
        """Notes on labels left out and numbers that aren't finite."""
        notes = []
        for label, count in sorted(self.left_out.items()):
            notes.append(f"{count:,} positions with label {label} were left out: it means 'not labelled'.")
        if self.broken:
            what = "numbers" if spec.task is Task.REGRESSION else "scores"
            notes.append(f"{self.broken:,} of {self.positions:,} positions hold {what} that are NaN or infinite.")
        return notes
