"""What a user's function asks for: y_true and y_pred by position, anything else by its name.

The signature is read once, when the loss is made, so that a wrong name is an error then and not in the
middle of a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from truetap.errors import LossError, near_names

__all__ = ["KNOWN", "Asked", "asked"]

KNOWN = ("x", "mask", "sample_weight", "ids")


@dataclass(frozen=True, slots=True)
class Asked:
    """A function and what it asks for.

    Attributes:
        function: The function.
        name: What it is called.
        positions: How many of `(y_true, y_pred)` it takes.
        names: What else, of `KNOWN`.
    """

    function: Callable[..., Any]
    name: str
    positions: int
    names: tuple[str, ...]

    @property
    def scope(self) -> str | None:
        """Its name as that of a loss, or None: `<lambda>` is none."""
        return self.name if self.name.isidentifier() else None

    def __call__(self, y_true: Any, y_pred: Any, value_of: Callable[[str], Any]) -> Any:
        """Calls it; `value_of` gives what a name stands for."""
        named = {name: value_of(name) for name in self.names}
        return self.function(*(y_true, y_pred)[: self.positions], **named)


def asked(function: Any, what: str, least: int) -> Asked:
    """What a function asks for.

    Args:
        function: A function, or an object that can be called.
        what: What it is, for messages.
        least: How many of `(y_true, y_pred)` it has to take.

    Raises:
        LossError: It isn't a function, or asks for something that there is not.
    """
    if not callable(function) or inspect.isclass(function):
        raise LossError(f"{what} is a function. Received: {function!r}.")
    name = getattr(function, "__name__", type(function).__name__)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        raise LossError(f"{what} {name!r} has no signature to read. Write it as def {name}(y_true, y_pred).") from None
    leading: list[inspect.Parameter] = []
    while parameters and len(leading) < 2 and _by_position(parameters[0]):
        leading.append(parameters.pop(0))
    if [each.name for each in leading] == ["y_pred", "y_true"]:
        raise LossError(f"{what} {name!r} takes (y_pred, y_true). Expected: (y_true, y_pred), the order of Keras.")
    if len(leading) < least:
        raise LossError(
            f"{what} {name!r} takes {[each.name for each in leading]} by position. Expected: (y_true, y_pred), "
            f"and by name what it needs of {', '.join(KNOWN)}."
        )
    for each in parameters:
        if each.kind in (each.VAR_KEYWORD, each.VAR_POSITIONAL):
            raise LossError(
                f"{what} {name!r} takes {each}, which doesn't say what it needs. Expected: parameters by name, of "
                f"{', '.join(KNOWN)}."
            )
        if each.name not in KNOWN and each.default is each.empty:
            raise LossError(f"{what} {name!r} asks for {each.name!r}. {near_names(each.name, KNOWN)}")
    return Asked(function, name, len(leading), tuple(each.name for each in parameters if each.name in KNOWN))


def _by_position(parameter: inspect.Parameter) -> bool:
    taken = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return taken and parameter.name not in KNOWN and parameter.default is parameter.empty
