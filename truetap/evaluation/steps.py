"""Sequences: accuracy or error by timestep, and how many sequences are right from end to end."""

from __future__ import annotations

import math

import numpy as np

from truetap.evaluation.chunk import Positions
from truetap.evaluation.result import StepRow
from truetap.tasks.task import Array, Task


class Steps:
    """Sums by timestep over positions that count; sequences may differ in length."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._sums = np.zeros((3, 0))
        self._matches = self._sequences = 0.0

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        if positions.step is None or not len(positions.step):
            return
        step, weights = positions.step, positions.weights
        if self.task is Task.REGRESSION:
            value = np.abs(positions.pred.astype(np.float64) - positions.true).mean(axis=1)
        else:
            wrong = positions.true != positions.pred
            value = ~(wrong.any(axis=1) if wrong.ndim > 1 else wrong)
            self._match(positions, value)
        length = max(int(step.max()) + 1, self._sums.shape[1])
        sums = np.zeros((3, length))
        sums[:, : self._sums.shape[1]] = self._sums
        for row, summand in enumerate((None, weights, weights * value)):
            sums[row] += np.bincount(step, summand, minlength=length)
        self._sums = sums

    def _match(self, positions: Positions, right: Array) -> None:
        """A sequence weighs what its valid steps weigh on average; steps of weight 0 may be wrong."""
        sample, weights = positions.sample, positions.weights
        steps = np.bincount(sample)
        weight = np.bincount(sample, weights) / np.maximum(steps, 1)
        wrong = np.bincount(sample, ~right & (weights > 0))
        self._sequences += float(weight.sum())
        self._matches += float(weight[wrong == 0].sum())

    @property
    def exact_match(self) -> float:
        """Share of sequences whose every valid step is right."""
        return self._matches / self._sequences if self._sequences else math.nan

    def rows(self) -> tuple[StepRow, ...]:
        """One row per timestep that has a valid position."""
        name = "mae" if self.task is Task.REGRESSION else "accuracy"
        return tuple(
            StepRow(step, int(count), **{name: float(value / weight) if weight else math.nan})
            for step, (count, weight, value) in enumerate(self._sums.T.tolist())
            if count
        )
