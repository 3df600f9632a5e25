"""How a loss is looked at on a backend: its gradient, the operations it is made of, a batch of unknown size.

`check_loss` asks the same questions everywhere; only the answers are got in three ways. A loss is
traced where the backend traces (TensorFlow, JAX) and watched op by op on torch; what is said of it comes
from one `OpGraph`, so that it doesn't depend on the backend. Small batches, run outside of training.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from truetap.backends import current

__all__ = ["FLAT", "LossProbe", "OpGraph", "OpNode", "loss_probe"]

Array = npt.NDArray[Any]

# Operations whose derivative is zero wherever it exists, by the names that the probes give them. Besides
# these, whatever gives integers or booleans passes no gradient.
FLAT = frozenset({"round", "floor", "ceil", "trunc", "sign", "stop_gradient"})


@dataclass(frozen=True, slots=True)
class OpNode:
    """One operation.

    Attributes:
        op: Its name in words that are the same on all backends where it is a common one.
        inputs: Numbers of the tensors it reads.
        outputs: Numbers of the tensors it gives.
    """

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpGraph:
    """The operations of a loss, in the order in which they run.

    Attributes:
        nodes: The operations.
        y_true: The number of the labels' tensor.
        y_pred: The number of the outputs' tensor.
        result: The number of the loss; None when the loss is no tensor of this graph.
        floating: Numbers of the tensors that can carry a gradient.
        values_taken: Where Python took the value of a tensor that depends on the arguments, such as
            "float()": known where that is no error (torch).
    """

    nodes: tuple[OpNode, ...]
    y_true: int
    y_pred: int
    result: int | None
    floating: frozenset[int]
    values_taken: tuple[str, ...] = ()


class LossProbe(Protocol):
    """What `check_loss` asks of a backend."""

    def fast(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of arrays, to be called often: compiled where each operation would be compiled by itself.

        Values are those of the function as it is written: no compiler makes 0 * NaN a 0.
        """

    def differentiated(
        self, function: Callable[[Any, Any], Any]
    ) -> Callable[[Array, Array], tuple[float, Array | None]]:
        """A scalar function of labels and outputs, together with its gradient by the outputs; as `fast`.

        Args:
            function: Two tensors to a scalar tensor.

        Returns:
            A function of two arrays, the second float32, to the value and the gradient in the second's
            shape: None where the value doesn't depend on it by any way that has a gradient.
        """

    def graph(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> OpGraph:
        """The operations of a function of labels and outputs; raises what the function raises under a trace."""

    def traced_with_unknown_batch(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> bool:
        """Traces a function for batches of any size, as `fit` does on TensorFlow; raises what it raises.

        Returns:
            False on a backend that traces for one size at a time, or doesn't trace: nothing was run.
        """

    def took_value(self, error: Exception) -> bool:
        """Whether an error says that Python or NumPy asked a traced tensor for its value."""

    def wanted_values_for_shape(self, error: Exception) -> bool:
        """Whether an error says that a shape would depend on values (boolean indexing, `nonzero`)."""


def loss_probe() -> LossProbe:
    """The probe of the backend that Keras runs on in this process.

    Raises:
        ModelError: A backend that Keras can't train on.
    """
    module = importlib.import_module(f"truetap.backends.{current().name}_loss_probe")
    probe: LossProbe = module.PROBE
    return probe
