"""What the three backends have in common, as `collect` sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy.typing as npt

__all__ = ["Backend", "InStep", "Runner", "Step"]

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


class InStep(Protocol):
    """What recording does inside a step: called under the trace of a compiled step, or eagerly."""

    @property
    def extremes_keep_nan(self) -> bool:
        """Whether the minimum and maximum of values with NaN are NaN; XLA on CPU as TensorFlow sets it drops them."""

    def conditional(
        self, active: Any, compute: Callable[[], dict[str, Any]], *, jit_compile: bool = False
    ) -> dict[str, Any]:
        """Runs `compute` when the step runs and `active` is true then; an inactive step costs next to nothing.

        Args:
            active: A bool scalar, a tensor under a trace.
            compute: Takes nothing, gives tensors by name; it may use tensors of the step around it. It
                is traced more than once, so it must have no side effects.
            jit_compile: Whether XLA compiles the step: matters on TensorFlow only.

        Returns:
            What `compute` gave; when inactive, zeros of the same shapes and dtypes under a trace (on
            TensorFlow without XLA a size that isn't known while tracing is 0), and {} where `active` is
            known, such as when the step runs op by op.
        """

    def level(self) -> Any:
        """Where code runs now: what `taken` needs to know of the step from which a value is to leave."""

    def taken(self, value: Any, level: Any) -> Any:
        """A value as the step has it in which `level` was asked for.

        A value inside the function that is differentiated is one (JAX), and so is one that the step computed
        itself. It carries no gradient.

        Raises:
            TapError: It exists in a loop, a branch or another compiled function alone; the message ends
                with the reason and what to do.
        """

    def replicated_loss(self, loss: Any) -> Any:
        """A replica's loss as the mean over its own samples, where Keras divided it by the number of replicas."""

    def summed_gradient(self, gradient: Any) -> Any:
        """The gradient of the whole batch, of which each replica of a strategy has a part; itself where it is whole."""

    def spread(self) -> bool:
        """Whether the batch that a step sees is spread over processes, each of which keeps rows of its own."""

    def bits(self, values: Any) -> Any:
        """The bits of float32 values as int32 of the same shape."""

    def count(self, index: Any, size: int) -> Any:
        """How often each of 0 … size-1 occurs in an int32 index of shape (m,): int32 (size,)."""

    def bucket(self, values: Any, edges: Array) -> Any:
        """How many of the increasing float32 edges are at most each value of shape (m,): int32 (m,)."""

    def fingerprintable(self, x: Any) -> bool:
        """Whether a leaf of the input has its fingerprint taken in the step.

        Floats of 16 to 64 bits, integers, bools and complex numbers; ragged and sparse ones too. Not
        strings and not 8-bit floats: those are done on the host, `truetap.fingerprint.pair`.
        """

    def fingerprinted_later(self, x: Any) -> Any:
        """A copy of a leaf whose fingerprint is better, or only, computed on the host after the step; else None."""

    def fingerprint(self, x: Any, without: Collection[str] = ()) -> Any:
        """The two sums of each sample's fingerprint, the same bits as `truetap.fingerprint.fingerprint`.

        Args:
            x: A tensor (n, ...) or a nested structure of tensors; None leaves are left out.
            without: Paths of leaves that are done on the host: add `truetap.fingerprint.pair(x, only=without)`.

        Returns:
            int32 of shape (n, 2), for `truetap.fingerprint.join` on the host (JAX has no int64).

        Raises:
            TypeError: A leaf that isn't `fingerprintable` and isn't in `without`.
        """


class Backend(InStep, Protocol):
    """One of Keras' three backends."""

    @property
    def name(self) -> str:
        """As `keras.backend.backend()` names it."""

    @property
    def mutable(self) -> bool:
        """Whether its tensors can be filled anew by whoever made them."""

    @property
    def compiles(self) -> bool:
        """Whether a step is compiled as a whole, so that each of its results costs its caller."""

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
