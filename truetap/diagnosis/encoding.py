"""How labels are written, and how their shape stands to that of the outputs: what rules on labels ask alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.output import OutputEvidence

__all__ = ["Encoding", "Layout", "brief", "even_steps"]

Array = npt.NDArray[np.float64]
Layout = Literal["elements", "indices", "other"]

_MOST_CLASSES = 100


@dataclass(frozen=True)
class Encoding:
    """The labels of an output that has labels which are numbers.

    Args:
        output: The output; its `first.truth` is not None.
    """

    output: OutputEvidence

    @cached_property
    def true_shape(self) -> tuple[int, ...]:
        """The labels' shape without the batch."""
        true = self.output.first.y_true
        assert true is not None
        return tuple(true.shape[1:])

    @property
    def pred_shape(self) -> tuple[int, ...]:
        """The outputs' shape without the batch."""
        return tuple(self.output.first.y_pred.shape[1:])

    @property
    def units(self) -> int:
        """The size of the outputs' last axis; 1 of outputs without one."""
        return self.output.first.pred.units

    @cached_property
    def layout(self) -> Layout:
        """A label for each number that comes out, an index for each row of them, or neither."""
        true, pred = self.true_shape, self.pred_shape
        if true == pred or (pred[-1:] == (1,) and true == pred[:-1]) or (true[-1:] == (1,) and true[:-1] == pred):
            return "elements"
        return "indices" if pred and true in (pred[:-1], (*pred[:-1], 1)) else "other"

    @cached_property
    def values(self) -> Array:
        """Those labels that are finite and not left out by `ignore_class`, flat."""
        true = self.output.first.y_true
        assert true is not None
        flat = np.asarray(true, np.float64).ravel()
        loss = self.output.loss
        ignored = None if loss is None else loss.ignore_class
        return flat[np.isfinite(flat) & (True if ignored is None else flat != ignored)]

    @cached_property
    def distinct(self) -> Array:
        """The different ones among them, in order."""
        return np.unique(self.values)

    @property
    def whole(self) -> bool:
        """Whether all of them are whole numbers."""
        return bool(len(self.distinct)) and bool(np.all(self.distinct == np.round(self.distinct)))

    @property
    def repeated(self) -> bool:
        """Whether they are as few, and come as often, as classes do."""
        return 1 < len(self.distinct) <= min(_MOST_CLASSES, len(self.values) // 2)

    @property
    def class_like(self) -> bool:
        """Whether they may be class indices: whole, few, of different kinds, none below 0."""
        return self.whole and self.repeated and self.distinct[0] >= 0

    @cached_property
    def two(self) -> tuple[float, float] | None:
        """The two values that there are, if there are two, each of which comes more than once."""
        return (float(self.distinct[0]), float(self.distinct[1])) if len(self.distinct) == 2 and self.repeated else None

    @property
    def given(self) -> str:
        """The shape in which the loss got them, in words: "(n, 3)"."""
        given = self.output.given
        return _shape(self.true_shape if given is None else given.shape[1:])

    @property
    def made(self) -> str:
        """The shape of the outputs, in words."""
        return _shape(self.pred_shape)


def _shape(axes: Sequence[int | None]) -> str:
    return "(" + ", ".join(["n", *map(str, axes)]) + ")" if axes else "(n,)"


def even_steps(distinct: Array) -> float | None:
    """The step of values that lie on an even grid and fill at least a third of it; None of others.

    Example:
        >>> even_steps(np.array([0.0, 0.5, 1.0]))
        0.5
    """
    if len(distinct) < 2:
        return None
    step = float(np.diff(distinct).min())
    places = (distinct - distinct[0]) / step
    even = bool(np.all(np.abs(places - np.round(places)) < 1e-2))
    return step if even and places[-1] <= 3 * len(distinct) else None


def brief(values: Array, most: int = 5) -> str:
    """Some values in a sentence: "0, 0.5, 1" or "0, 1, 2, …, 9"."""
    shown = [f"{each:.4g}" for each in values]
    return ", ".join(shown) if len(shown) <= most else ", ".join([*shown[: most - 2], "…", shown[-1]])
