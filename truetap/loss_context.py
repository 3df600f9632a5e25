"""What a loss may need besides y_true and y_pred: x, the weights, the mask, ids, the other outputs.

Keras gives a loss two tensors. The rest is said by `given(…)`, or looked up where the loss is called from:
`compute_loss` of a model that is on the call stack while the loss runs, or is traced. Nothing is put on the
model and nothing is kept after the call; the look-up costs a few microseconds, where nothing is compiled
in every step. What neither knows is an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from keras import ops

from truetap.backends import current
from truetap.backends.keras_private import ABSENT, compute_loss_call
from truetap.errors import LossError
from truetap.structure import map_leaves

__all__ = ["Around", "Surroundings", "UsesAround", "given", "given_weight", "innermost", "surroundings"]


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of one call of a loss, for one output.

    Attributes:
        sample_weight: The weights that Keras means for this output, or None.
        mask: True where an element counts: bool, over the leading axes of `y_pred`; or None.
        y_pred: The output as the model returned it.
        speaks: Whether this call stands for all outputs, in a loss over several; None where that isn't known.
    """

    sample_weight: Any = None
    mask: Any = None
    y_pred: Any = None
    speaks: bool | None = None


@runtime_checkable
class UsesAround(Protocol):
    """A loss whose `call` is told what is around it, and gives values with its whole mask on them."""

    @property
    def takes_sample_weight(self) -> bool:
        """Whether the sample weights are used inside, so that nobody may apply them again."""

    @property
    def wraps(self) -> Any:
        """The loss whose values it changes, as a `keras.losses.Loss`; or None."""

    def call(self, y_true: Any, y_pred: Any, around: Around | None = None) -> Any:
        """Values before reduction."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A batch as `compute_loss` was given it; `ABSENT` is what isn't known.

    Attributes:
        x: The inputs, nested as the user wrote them.
        y: The labels of all outputs.
        y_pred: All outputs.
        sample_weight: The weights of all outputs, or one for all.
        ids: int32 (n, 2): the two sums of each sample's fingerprint, or what the user gave.
        model: The model whose `compute_loss` it is.
    """

    x: Any = ABSENT
    y: Any = ABSENT
    y_pred: Any = ABSENT
    sample_weight: Any = ABSENT
    ids: Any = ABSENT
    model: Any = None

    def get(self, name: str, loss: str) -> Any:
        """One of them, by name; ids are computed from x where nobody gave them.

        Raises:
            LossError: It isn't known here.
        """
        if name == "ids" and self.ids is ABSENT:
            return _fingerprints(self.get("x", loss), loss)
        value = getattr(self, name)
        if value is ABSENT or (value is None and name == "x"):
            raise LossError(
                f"The loss {loss!r} needs {name}, which is not known where it was called. Keras gives a loss y_true "
                f"and y_pred; {name} is found when Keras' own steps run (fit, evaluate, train_on_batch, …). In a loop "
                "or train_step of your own, also one that calls compute_loss, which drops x, call it inside "
                f"`with tt.losses.given({name}={name}):`."
            )
        return value


_GIVEN: ContextVar[Surroundings | None] = ContextVar("truetap_losses_given", default=None)


@contextmanager
def given(
    *, x: Any = ABSENT, y: Any = ABSENT, y_pred: Any = ABSENT, sample_weight: Any = ABSENT, ids: Any = ABSENT
) -> Iterator[None]:
    """Tells the losses called inside the block what Keras doesn't: for loops and train steps of your own.

    Inside `fit`, `evaluate` and `train_on_batch` it isn't needed. What is given here comes before what is found
    there. Give the tensors of the step itself, inside the compiled function: what is given outside of it is a
    constant to it.

    Args:
        x: Inputs of the batch, nested as the loss wants them.
        y: Labels of all outputs, for a `Joint` that is called for one output.
        y_pred: All outputs, likewise.
        sample_weight: Weights of the batch, for a loss that asks for them and is called without.
        ids: A tensor of one row per sample; without it, ids are the fingerprints of x.

    Example:
        >>> import numpy as np
        >>> import truetap as tt
        >>> def scaled(y_true, y_pred, *, x):
        ...     return abs(y_true - y_pred)[:, 0] * x[:, 0]
        >>> loss = tt.losses.Contextual(scaled)
        >>> with tt.losses.given(x=np.array([[2.0], [4.0]], "float32")):
        ...     float(loss(np.array([[1.0], [1.0]]), np.array([[0.0], [2.0]])))
        3.0
    """
    x, ids = map_leaves(_tensor, x), _tensor(ids)
    parts = {"x": x, "y": y, "y_pred": y_pred, "sample_weight": sample_weight, "ids": ids}
    said = {name: value for name, value in parts.items() if value is not ABSENT}
    token = _GIVEN.set(replace(_GIVEN.get() or Surroundings(), **said))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def surroundings() -> Surroundings:
    """What is known where a loss is being called: what was given, then what the call stack shows."""
    said = _GIVEN.get() or Surroundings()
    call = compute_loss_call()
    if call is None:
        return said
    found = Surroundings(call.x, call.y, call.y_pred, call.sample_weight, model=call.model)
    known = {each.name: getattr(said, each.name) for each in fields(said) if each.name != "model"}
    return replace(found, **{name: value for name, value in known.items() if value is not ABSENT})


def _tensor(value: Any) -> Any:
    """NumPy's numbers as a tensor; anything else as it is."""
    plain = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    return ops.convert_to_tensor(value) if plain else value


def innermost(loss: Any) -> Any:
    """The loss that does the computing, behind those that only mask or weigh it."""
    while isinstance(loss, UsesAround) and loss.wraps is not None:
        loss = loss.wraps
    return loss


def given_weight() -> Any:
    """The weights that `given` was told, or None."""
    said = _GIVEN.get()
    return None if said is None or said.sample_weight is ABSENT else said.sample_weight


def _fingerprints(x: Any, loss: str) -> Any:
    try:
        return current().fingerprint(x)
    except TypeError as error:
        raise LossError(f"The loss {loss!r} needs ids. {error} Or give them: tt.losses.given(ids=…).") from None
