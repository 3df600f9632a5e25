"""Steps of `fit` and of a user's loop, run from the same state, for `truetap.agreement`.

What is ours runs op by op, so that every number can be looked at. A step on JAX is a function of its
state; elsewhere the state is the model's. After a step its new state is on the model, on every backend.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from truetap.backends import current
from truetap.errors import LossError

__all__ = ["Comparing", "as_array", "called_with", "comparing", "is_train_step"]

Array = npt.NDArray[Any]


class Comparing(Protocol):
    """Steps of one backend."""

    @property
    def other(self) -> Comparing | None:
        """The same steps run in another way, if random numbers depend on that."""

    def fit_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        """A step in the form of the model's `train_step` on a batch; gives its logs."""

    def loop_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        """The user's step on a batch; gives what it returned, without the state."""

    @property
    def most_gradients(self) -> int:
        """How many gradients may be computed in one comparison; what they cost differs."""

    def forward(self, model: Any, compute: Callable[[], list[Any]]) -> list[Any]:
        """Tensors, or None, that a forward pass gives, without gradients; they have values."""

    def gradients(self, model: Any, compute: Callable[[], Any]) -> list[Any]:
        """Gradients of the scalar that `compute` gives, by trainable variable; None where there is none."""

    def apply(self, model: Any, gradients: Sequence[Any]) -> None:
        """An update by the model's optimizer."""

    def concrete(self, value: Any) -> bool:
        """Whether a tensor has a value, so is not one of a trace."""

    def left_gradients(self, model: Any) -> list[Any] | None:
        """The gradients that a step left on the variables, where a backend keeps them there."""

    def remember(self, model: Any) -> Callable[[], None]:
        """What a step changes besides Keras' variables: gives a function that puts it back."""


def comparing() -> Comparing:
    """The steps of the backend that Keras runs on."""
    found: Comparing = importlib.import_module(f"truetap.backends.{current().name}_comparing").COMPARING
    return found


def is_train_step(model: Any, step: Callable[..., Any]) -> bool:
    """Whether a step is the `train_step` that a model has, as it is or compiled."""
    return bool(step == model.train_step or getattr(step, "__wrapped__", None) == model.train_step)


def called_with(step: Callable[..., Any], choices: Sequence[tuple[Any, ...]], expected: str) -> tuple[Any, ...]:
    """Which of several lists of arguments a step takes: the first, but a single one if it needs just one.

    Raises:
        LossError: It takes none of them.
    """
    try:
        signature = inspect.signature(step)
    except (TypeError, ValueError):  # a builtin, which doesn't say what it takes
        return choices[0]
    taken = [arguments for arguments in choices if _binds(signature, arguments)]
    needed = sum(
        each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
        for each in signature.parameters.values()
    )
    if not taken:
        raise LossError(
            f"The loop's step can't be called with this batch. Received: a step with the parameters {signature}. "
            f"Expected: {expected}."
        )
    return next((arguments for arguments in taken if len(arguments) == needed == 1), taken[0])


def _binds(signature: inspect.Signature, arguments: tuple[Any, ...]) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def as_array(value: Any) -> Array:
    """A tensor that has a value, on the host as float64, whatever its dtype."""
    return np.asarray(current().fetch({"": current().dense(value)[0]})[""]).astype(np.float64)
