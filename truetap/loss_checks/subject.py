"""The loss that is checked: as it was given, and as Keras calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from truetap.backends.keras_private import output_losses
from truetap.errors import LossError, near_names
from truetap.loss_context import innermost

__all__ = ["Subject", "formula", "subject_of"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A loss under examination.

    Attributes:
        name: For people.
        loss: The `keras.losses.Loss` that `compile` makes of it.
        function: The user's function, when the loss is one; its ranks are aligned by Keras.
        documented: Whether its formula is Keras' or truetap's own, and what it does is said there.
    """

    name: str
    loss: Any
    function: Callable[..., Any] | None
    documented: bool

    @property
    def code(self) -> Callable[..., Any]:
        """The function or method in which `y_true` meets `y_pred`."""
        return self.function if self.function is not None else self.loss.call

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the first two parameters; empty where there is no signature."""
        try:
            return tuple(inspect.signature(self.code).parameters)[:2]
        except (TypeError, ValueError):  # built in
            return ()


def subject_of(loss: Any, y_true: Any, y_pred: Any) -> Subject:
    """The loss as `model.compile(loss=…)` resolves it.

    Raises:
        LossError: No loss at all, or several.
    """
    if isinstance(loss, dict | list | tuple):
        raise LossError(
            f"check_loss looks at one loss at a time. Received: {len(loss)} losses. Call it for each output: "
            "tt.check_loss(losses[name], y_true[name], y_pred[name])."
        )
    if isinstance(loss, str) and loss.lower() not in ("crossentropy", "ce"):
        try:
            keras.losses.get(loss)
        except ValueError:
            known = [name for name in dir(keras.losses) if not name.startswith("_")]
            raise LossError(f"There is no loss {loss!r} in keras.losses. {near_names(loss, known)}") from None
    elif not (isinstance(loss, str) or callable(loss)):
        raise LossError(
            f"A loss is a name, a keras.losses.Loss (class or instance) or a function (y_true, y_pred). Received: "
            f"{loss!r} of type {type(loss).__name__}."
        )
    if isinstance(loss, type):
        loss = _made(loss)
    resolved = _as_compiled(loss, y_true, y_pred)
    function = getattr(resolved, "fn", None) if type(resolved).__module__.startswith("keras.") else None
    name = getattr(function, "__name__", None) if inspect.isfunction(loss) else None
    return Subject(str(name or getattr(resolved, "name", None) or loss), resolved, function, _documented(resolved))


def formula(loss: Any) -> Any:
    """What computes the values in the end: the function behind wrappers, or the class of the loss."""
    inner = innermost(loss)
    function = getattr(inner, "fn", None)
    return type(inner) if function is None else function


def _documented(loss: Any) -> bool:
    return str(getattr(formula(loss), "__module__", "")).split(".")[0] in ("keras", "truetap")


def _made(loss: type[Any]) -> Any:
    try:
        return loss()
    except TypeError as error:
        raise LossError(
            f"The class {loss.__name__} can't be made without arguments ({error}). Give an instance: "
            f"tt.check_loss({loss.__name__}(…), y_true, y_pred)."
        ) from error


def _as_compiled(loss: Any, y_true: Any, y_pred: Any) -> Any:
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))  # Keras 3.13 and older refuse inputs as outputs
    model.compile(loss=loss)
    return output_losses(model, y_true, y_pred)[0].loss
