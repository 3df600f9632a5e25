"""The loss run on the user's batch and on batches made of it; whatever costs a run is kept.

The loss is called as Keras calls it: through `Loss.__call__` for its value, through `Loss.call` on tensors
of the loss' dtype for its unreduced values. What it raises is kept as an answer, not passed on: that it
raises is often what a rule wants to know.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.backends.loss_probe import LossProbe, OpGraph
from truetap.backends.tensors import to_host
from truetap.loss_checks.subject import Subject
from truetap.loss_context import given
from truetap.structure import map_leaves

__all__ = ["Attempt", "Batch", "Evidence", "Gradient"]

Array = npt.NDArray[Any]
T = TypeVar("T")

_ALL = slice(None)
_DRAWS = re.compile(r"rand|threefry|bernoulli|uniform|multinomial|^normal")  # names of operations

_WITHOUT = {
    "values": "the loss doesn't run",
    "sample_weight": "no sample_weight was given",
    "singles": "a batch of one sample raises",
    "slope": "the gradient raises",
    "graph": "the loss can't be traced",
    "repeatable": "two runs differ",
}


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T]):
    """What a run gave, or the error that it raised."""

    value: T | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Gradient:
    """The reduced loss, and its gradient in the shape of the tensor; None where there is no way to it."""

    value: float
    slope: Array | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What the loss is run on: arrays of n rows each, `x` nested as the loss wants it."""

    y_true: Array
    y_pred: Array
    sample_weight: Array | None = None
    x: Any = None


class Evidence:
    """A loss, a batch, and what came of running the one on the other.

    Attributes:
        subject: The loss.
        y_true: Labels as given, shape (n, …).
        y_pred: Outputs as given, float, shape (n, …).
        sample_weight: Weights as given, or None.
        x: Inputs for a loss that asks for them, or None.
        probe: The backend's answers.
    """

    def __init__(self, subject: Subject, batch: Batch, probe: LossProbe) -> None:
        self.subject, self.probe, self.x = subject, probe, batch.x
        self.y_true, self.y_pred, self.sample_weight = batch.y_true, batch.y_pred, batch.sample_weight
        self.n = len(batch.y_pred)
        self._run_reduced, self._run_values = probe.fast(self._reduced), probe.fast(self._values)
        self._run_slope = probe.differentiated(self.mean)

    # ------------------------------------------------------------------------------ running the loss
    def total(
        self, y_true: Array, y_pred: Array, sample_weight: Array | None = None, rows: slice = _ALL
    ) -> Attempt[float]:
        """The number that Keras would minimise; `rows` are those of the batch that the arrays are of."""
        run, x = self._run_reduced, self._x_of(rows)
        return attempt(lambda: float(np.mean(to_host(run(y_true, y_pred, sample_weight, x)))))

    def unreduced(self, y_true: Array, y_pred: Array, rows: slice = _ALL) -> Attempt[Array]:
        """The values before weights and reduction, as float64."""
        run, x = self._run_values, self._x_of(rows)
        return attempt(lambda: np.asarray(to_host(run(y_true, y_pred, x)), np.float64))

    def unreduced_of(self, rows: slice) -> Attempt[Array]:
        """The values of a part of the batch."""
        return self.unreduced(self.y_true[rows], self.y_pred[rows], rows)

    def gradient(self, y_true: Array, y_pred: Array) -> Attempt[Gradient]:
        """The reduced loss and its gradient by the outputs."""
        return attempt(lambda: Gradient(*self._run_slope(y_true, np.asarray(y_pred, np.float32))))

    def mean(self, y_true: Any, y_pred: Any) -> Any:
        """The reduced loss as a scalar tensor, for a probe that traces it."""
        reduced = self._reduced(y_true, y_pred, None, self.x)
        return ops.mean(reduced) if len(reduced.shape) else reduced

    # ------------------------------------------------------------------------------- what is kept
    def without(self, need: str) -> str:
        """Why something that a rule needs can't be had."""
        return _WITHOUT.get(need, f"there is no {need}")

    @cached_property
    def ran(self) -> Attempt[Array]:
        """The unreduced values of the batch, or the error."""
        return self.unreduced_of(_ALL)

    @cached_property
    def values(self) -> Array | None:
        """The unreduced values of the batch."""
        return self.ran.value

    @cached_property
    def singles(self) -> list[Array] | None:
        """The unreduced values of each sample in a batch of its own; None where one of them raises."""
        runs = [self.unreduced_of(slice(i, i + 1)) for i in range(self.n)]
        return None if any(run.value is None for run in runs) else [run.value for run in runs if run.value is not None]

    @cached_property
    def sloped(self) -> Attempt[Gradient]:
        """The gradient at the batch, or what computing it raised."""
        return self.gradient(self.y_true, self.y_pred)

    @cached_property
    def slope(self) -> Gradient | None:
        """The gradient at the batch."""
        return self.sloped.value

    @cached_property
    def traced(self) -> Attempt[OpGraph]:
        """The operations of the reduced loss, or what tracing it raised."""
        y_true = self.y_true.astype(np.float32) if self.y_true.dtype.kind == "f" else self.y_true
        return attempt(lambda: self.probe.graph(self.mean, y_true, self.y_pred.astype(np.float32)))

    @cached_property
    def graph(self) -> OpGraph | None:
        """The operations of the reduced loss."""
        return self.traced.value

    @cached_property
    def draws(self) -> bool:
        """Whether an operation of the loss draws random numbers."""
        return self.graph is not None and any(_DRAWS.search(node.op.lower()) for node in self.graph.nodes)

    @cached_property
    def repeatable(self) -> bool | None:
        """True when the loss gives the same values again; None when it doesn't, or draws random numbers."""
        if self.draws:
            return None
        run = self.probe.fast(lambda *batch: self._values(*batch))  # with a trace of its own, where there is one
        again = attempt(lambda: np.asarray(to_host(run(self.y_true, self.y_pred, self.x)), np.float64)).value
        equal = again is not None and self.values is not None and np.array_equal(again, self.values, equal_nan=True)
        return True if equal else None

    @cached_property
    def element_wise(self) -> bool | None:
        """True when labels and outputs have one shape; None otherwise."""
        return True if self.y_true.shape == self.y_pred.shape else None

    def rng(self) -> np.random.Generator:
        """The same numbers for each rule, whatever ran before it."""
        return np.random.default_rng(0)

    def of(self, loss: Any) -> Evidence:
        """The same batch for another loss."""
        batch = Batch(self.y_true, self.y_pred, self.sample_weight, self.x)
        return Evidence(replace(self.subject, loss=loss), batch, self.probe)

    # ------------------------------------------------------------------------------------- private
    def _reduced(self, y_true: Any, y_pred: Any, sample_weight: Any, x: Any) -> Any:
        with _told(x):
            return self.subject.loss(y_true, y_pred, sample_weight=sample_weight)

    def _values(self, y_true: Any, y_pred: Any, x: Any) -> Any:
        loss = self.subject.loss
        tensors = (ops.convert_to_tensor(each, dtype=loss.dtype) for each in (y_true, y_pred))
        with _told(x):
            return ops.convert_to_tensor(loss.call(*tensors))

    def _x_of(self, rows: slice) -> Any:
        return map_leaves(lambda leaf: None if leaf is None else leaf[rows], self.x)


def _told(x: Any) -> AbstractContextManager[None]:
    return nullcontext() if x is None else given(x=x)


def attempt(run: Callable[[], T]) -> Attempt[T]:
    """Runs the user's code; whatever it raises is an answer."""
    try:
        return Attempt(value=run())
    except Exception as error:
        return Attempt(error=error)
