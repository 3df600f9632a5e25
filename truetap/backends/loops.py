"""What the backends have in common where a user writes the training loop, as `recorder.step` sees them.

A step may run op by op, or stand inside a function that is compiled: then what is seen leaves it by a call of the
host, which the compiled function makes whenever it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from truetap.backends import current
from truetap.observe import applied

__all__ = ["Loops", "StatefulLoops", "Variables", "loops"]

# Values of variables by the variable's identity: before a step, and after it.
Variables = dict[int, Any]


class Loops(Protocol):
    """One backend's loops."""

    @property
    def stateless(self) -> bool:
        """Whether the loop holds the values of variables, and the model's own are stale."""

    def compiled(self) -> bool:
        """Whether code now runs under a trace.

        Raises:
            TapError: Under one from which the host can't be called.
        """

    def replica(self) -> tuple[int, int]:
        """The replica in which code runs now, and how many there are: (0, 1) without a strategy."""

    def ask(self, host: Callable[[Any], Sequence[bool]], argument: Any, count: int) -> Sequence[Any]:
        """What the host says of an argument (a scalar, or None) whenever the compiled step runs, as bool tensors."""

    def deliver(self, host: Callable[[Mapping[str, Any]], None], values: Mapping[str, Any]) -> None:
        """Calls the host with values, in the order of the steps, whenever the compiled step runs."""

    def settle(self) -> None:
        """Waits until all that was delivered has arrived."""

    def through(self, reached: dict[str, Any], key: str, value: Any) -> Any:
        """The same value; the gradient that goes back through it is put into `reached[key]`."""

    def watched(
        self,
        model: Any,
        optimizer: Any,
        given: Callable[[Sequence[Any], Sequence[Any]], None],
        before: Variables,
        after: Variables,
    ) -> AbstractContextManager[None]:
        """Sees inside the block what reaches the optimizer.

        Args:
            model: The Keras model.
            optimizer: A Keras optimizer, or None.
            given: Is told gradients and their variables, where the optimizer's own variables hold their values.
            before: Filled with values of variables that the block replaces, where the loop is stateless.
            after: Filled with the values in their places.
        """

    def read(self, variable: Any) -> Any:
        """A copy of a variable's value, where the model holds it; a tensor under a trace."""

    def gradient_left(self, variable: Any) -> Any:
        """The gradient that hangs on a variable after a step (torch), or None."""


class StatefulLoops:
    """What `Loops` of backends have in common whose models hold the values of their variables."""

    stateless = False

    def settle(self) -> None:
        """Nothing is on its way when a step has returned."""

    def watched(
        self,
        model: Any,
        optimizer: Any,
        given: Callable[[Sequence[Any], Sequence[Any]], None],
        before: Variables,
        after: Variables,
    ) -> AbstractContextManager[None]:
        """See `Loops`; the model has the values."""
        return applied(model, optimizer, given)

    def gradient_left(self, variable: Any) -> Any:
        """None hangs on a variable."""
        return None


def loops() -> Loops:
    """The loops of the backend that Keras runs on."""
    found: Loops = importlib.import_module(f"truetap.backends.{current().name}_loops").LOOPS
    return found
