"""Errors of a regression: sums that stream, and quantiles of the residuals, which need them all.

A residual is prediction minus target. Variances are merged from chunk to chunk (Chan, Golub and
LeVeque 1979), so large targets cost no precision. Residuals are held while they fit the memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from truetap.errors import TaskError
from truetap.evaluation.chunk import Positions
from truetap.evaluation.confusion import ratio
from truetap.evaluation.measure import Options, Parts, Reducer, no_room
from truetap.evaluation.result import OutputRow
from truetap.tasks.task import Array, OutputTask

_SMALL_OUTPUT = 32
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class ErrorSums:
    """Weighted sums over residuals and targets, per output dimension."""

    def __init__(self) -> None:
        self.weight, self.count = 0.0, 0
        self._residual = self._absolute = self._square = np.zeros(0)
        self._mean = self._spread = np.zeros(0)

    def add(self, positions: Positions) -> None:
        """Takes in one chunk: targets and values (m, d)."""
        weights = positions.weights
        total = float(weights.sum())
        if not total:
            return
        true = positions.true.astype(np.float64)
        residual = positions.pred - true
        mean = weights @ true / total
        spread = weights @ (true - mean) ** 2
        sums = (weights @ residual, weights @ np.abs(residual), weights @ residual**2)
        self.count += int((weights > 0).sum())
        if not self.weight:
            self._residual, self._absolute, self._square = sums
            self._mean, self._spread, self.weight = mean, spread, total
            return
        self._residual, self._absolute, self._square = (
            self._residual + sums[0],
            self._absolute + sums[1],
            self._square + sums[2],
        )
        away, both = mean - self._mean, self.weight + total
        self._mean = self._mean + away * total / both
        self._spread = self._spread + spread + away**2 * self.weight * total / both
        self.weight = both

    def per_output(self) -> tuple[Array, Array, Array, Array]:
        """Mean absolute error, root mean squared error, R2 and bias of every dimension.

        R2 is NaN where it is undefined: fewer than two samples, or a constant target.
        """
        unexplained = ratio(self._square, self._spread) if self.count > 1 else self._square * math.nan
        weight = self.weight
        return (
            self._absolute / weight,
            np.sqrt(self._square / weight),
            1 - unexplained,
            self._residual / weight,
        )

    def metrics(self) -> dict[str, float]:
        """Means over dimensions; `rmse` is the root of `mse`, `r2` the mean of the defined ones."""
        mae, _, r2, bias = self.per_output()
        mse = float((self._square / self.weight).mean())
        defined = r2[~np.isnan(r2)]
        return {
            "mae": float(mae.mean()),
            "mse": mse,
            "rmse": math.sqrt(mse) if mse >= 0 else math.nan,
            "r2": float(defined.mean()) if defined.size else math.nan,
            "bias": float(bias.mean()),
        }


class HeldResiduals:
    """All residuals, within a limit of memory."""

    def __init__(self, memory: int) -> None:
        self.memory, self.size, self.dropped = memory, 0, False
        self._residuals: list[Array] = []
        self._weights: list[Array] = []
        self._weighted = False

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""
        dtype = np.result_type(positions.true, positions.pred)
        self.size += positions.pred.size * dtype.itemsize
        if self.dropped or self.size > self.memory:
            self.dropped, self._residuals, self._weights = True, [], []
            return
        residuals = positions.pred.astype(dtype) - positions.true
        self._residuals.append(residuals.ravel())
        self._weights.append(np.repeat(positions.weights, residuals.shape[1]))
        self._weighted |= positions.weight is not None

    def quantiles(self) -> tuple[dict[float, float], float]:
        """Quantiles of the residuals, and the median of their absolute values."""
        values = np.concatenate(self._residuals)
        weights = np.concatenate(self._weights) if self._weighted else None
        found = quantile(values, QUANTILES, weights)
        return dict(zip(QUANTILES, found, strict=True)), quantile(np.abs(values), (0.5,), weights)[0]


class Regression:
    """Numbers."""

    def __init__(self, spec: OutputTask, options: Options) -> None:
        self.options = options
        self.sums = ErrorSums()
        self.held = HeldResiduals(options.memory)
        self.reducers: Sequence[Reducer] = [self.sums, self.held]

    def result(self) -> Parts:
        """Errors, their quantiles, and a row per dimension of a small output."""
        notes: list[str] = []
        metrics, outputs = self.sums.metrics(), self.sums.per_output()
        size, undefined = len(outputs[0]), int(np.isnan(outputs[2]).sum())
        if self.options.class_names is not None and len(self.options.class_names) != size:
            raise TaskError(
                f"Names don't match the outputs. Received: {len(self.options.class_names)} names. "
                f"Expected: {size}, one per dimension of the regression's output."
            )
        if undefined:
            which = "r2 is undefined" if undefined == size else f"r2 leaves out {undefined:,} of {size:,} outputs"
            notes.append(f"{which}: it needs two samples, targets that vary, and numbers that are finite.")
        quantiles: dict[float, float] = {}
        if self.held.dropped:
            notes.append(no_room("median absolute error and residual quantiles", "residuals", self.held))
        else:
            quantiles, metrics["median_absolute_error"] = self.held.quantiles()
        small = 1 < size <= _SMALL_OUTPUT
        rows = zip(*(column.tolist() for column in outputs), strict=True) if small else ()
        return Parts(
            metrics=metrics,
            per_output=tuple(OutputRow(k, self.options.name(k), *row) for k, row in enumerate(rows)),
            residual_quantiles=quantiles,
            notes=notes,
        )


def quantile(values: Array, at: tuple[float, ...], weights: Array | None = None) -> list[float]:
    """Quantiles: interpolated without weights, the inverse distribution function with them.

    Args:
        values: float (m,).
        at: Fractions from 0 to 1.
        weights: float (m,), or None.

    Returns:
        One number per fraction; NaN when a value is NaN.

    Example:
        >>> quantile(np.array([1.0, 2.0, 3.0]), (0.5,), np.array([5.0, 1.0, 1.0]))
        [1.0]
    """
    if weights is not None:
        values, weights = values[weights > 0], weights[weights > 0]
    if not values.size or not np.isfinite(values).all():
        return [math.nan] * len(at)
    if weights is None:
        return [float(found) for found in np.quantile(values, at)]
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    where = np.searchsorted(reached / reached[-1], at, side="left").clip(0, len(values) - 1)
    return [float(found) for found in values[order][where]]
