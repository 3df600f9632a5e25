"""What the three backends have in common, as `collect` sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy.typing as npt

__all__ = ["Backend", "Runner", "Step"]

Array = npt.NDArray[Any]

# The computation of one batch, written once with keras.ops: a structure of tensors in, tensors by name
# out. It runs under a trace on TensorFlow and JAX, eagerly on torch.
Step = Callable[[dict[str, Any]], dict[str, Any]]


class Runner(Protocol):
    """A step made ready for a model: compiled where the backend compiles."""

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Runs the step on one batch; the results are still the backend's own tensors."""

    def close(self) -> None:
        """Ends a pass: puts back what running changed on the model (state, mode)."""


class Backend(Protocol):
    """One of Keras' three backends."""

    @property
    def name(self) -> str:
        """As `keras.backend.backend()` names it."""

    @property
    def mutable(self) -> bool:
        """Whether its tensors can be filled anew by whoever made them."""

    def is_native(self, value: Any) -> bool:
        """Whether the value is this backend's own tensor, which a step can take as it is."""

    def compile(self, model: Any, step: Step) -> Runner:
        """Makes a step ready to run, compiled as `model.compile` asked for (`jit_compile`, `run_eagerly`)."""

    def predict_step(self, model: Any, x: Any) -> Any:
        """The model's own `predict_step` on `(x,)`; called inside a step."""

    def dense(self, value: Any) -> tuple[Any, Any]:
        """A tensor of the model's as a dense one, and the mask (n, T) of what is real if it was ragged."""

    def escaped(self, error: Exception) -> bool:
        """Whether an error says that a value was taken out of a compiled loop or branch."""

    def fetch(self, results: Mapping[str, Any]) -> dict[str, Array]:
        """Results as NumPy arrays; waits for them where the backend runs ahead."""
