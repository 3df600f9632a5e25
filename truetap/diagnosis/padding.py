"""Padding in sequences: which steps hold none of the data, told by the inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.sampled import Sampled

__all__ = ["Padding", "padding"]

Array = npt.NDArray[np.bool_]

_FEWEST_LENGTHS = 3
_RESERVED = 0.01  # of the steps that are no padding may hold its value too


@dataclass(frozen=True)
class Padding:
    """The padding of one input.

    Attributes:
        steps: Which steps are padding, shape (n, time).
        value: What they hold.
        trailing: Whether they stand behind the data; else before.
    """

    steps: Array
    value: float
    trailing: bool

    @property
    def share(self) -> float:
        """Of all steps."""
        return float(self.steps.mean())


def padding(some: Sampled) -> Padding | None:
    """The padding of an input; None of one that has none.

    Padding is a run of one value at the end of the samples, or at their beginning, that hardly occurs inside, of at
    least three different lengths. Of series the value is that of all channels of a step.

    Args:
        some: Looked-up numbers of shape (n, time), or a series of shape (n, time, channels).
    """
    values = some.values
    if values.ndim == 2 and not (some.looked_up or some.whole):
        return None
    if values.ndim not in (2, 3) or not len(values) or values.shape[1] < 2:
        return None
    steps = values.reshape(len(values), values.shape[1], -1)
    if not np.isfinite(steps).all():
        return None
    found = [_runs(steps, trailing) for trailing in (True, False)]
    return max((each for each in found if each is not None), key=lambda each: each.share, default=None)


def _runs(steps: npt.NDArray[np.float64], trailing: bool) -> Padding | None:
    edge = steps[:, -1 if trailing else 0]
    values, counts = np.unique(edge[np.ptp(edge, axis=1) == 0, 0], return_counts=True)
    if not len(values):
        return None
    value = float(values[counts.argmax()])
    same = (steps == value).all(axis=2)
    ordered = same[:, ::-1] if trailing else same
    run = np.logical_and.accumulate(ordered, axis=1)
    run = run[:, ::-1] if trailing else run
    lengths = np.unique(run.sum(axis=1))
    inside = float((same & ~run).sum() / max(1, (~run).sum()))
    if len(lengths) < _FEWEST_LENGTHS or inside > _RESERVED:
        return None
    return Padding(run, value, trailing)
