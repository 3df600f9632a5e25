"""The contract of a task's measure: reducers that take in positions, and the parts they come to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from truetap.evaluation.chunk import Positions
from truetap.evaluation.probability import Calibration
from truetap.evaluation.result import ClassRow, OutputRow
from truetap.tasks.task import Array


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller of `evaluate` chose."""

    class_names: tuple[str, ...] | None
    bins: int
    memory: int

    def name(self, index: int) -> str:
        """Name of a class or of an output's dimension."""
        return str(index) if self.class_names is None else self.class_names[index]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a measure adds to an Evaluation; attributes as there."""

    metrics: dict[str, float]
    per_class: tuple[ClassRow, ...] = ()
    per_output: tuple[OutputRow, ...] = ()
    confusion: Array | None = None
    calibration: Calibration | None = None
    residual_quantiles: Mapping[float, float] = field(default_factory=dict)
    notes: Sequence[str] = ()


class Reducer(Protocol):
    """Something that takes in positions a chunk at a time and keeps state of its own."""

    def add(self, positions: Positions) -> None:
        """Takes in one chunk."""


class Measure(Protocol):
    """The reducers of one task and what they come to."""

    reducers: Sequence[Reducer]

    def result(self) -> Parts:
        """What the reducers come to, once all positions are in; there is at least one."""


class Held(Protocol):
    """A reducer that holds values within a limit of memory."""

    size: int
    memory: int


def no_room(what: str, values: str, held: Held) -> str:
    """The note on what was left out for want of memory."""
    return (
        f"{what} are left out: they need all {values} at once, {held.size:,} bytes; memory allows "
        f"{held.memory:,}. Pass a larger memory=."
    )


def mean(values: Iterable[float]) -> float:
    """Mean of the values that are defined; NaN when none is."""
    defined = [value for value in values if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan
