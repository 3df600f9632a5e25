"""Which backends are installed, without loading one."""

from __future__ import annotations

import importlib.util

from truetap.errors import ModelError

__all__ = ["BACKENDS", "installed", "refuse_absent"]

BACKENDS = ("tensorflow", "jax", "torch")  # as keras.backend.backend() and the modules are named


def installed() -> tuple[str, ...]:
    """The names of those that are."""
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)


def refuse_absent(error: ModuleNotFoundError) -> None:
    """Says which extra is lacking, when Keras could not be imported because its backend isn't installed.

    Raises:
        ModelError: The module that was not found is a backend.
    """
    if error.name not in BACKENDS:
        return
    others = [name for name in installed() if name != error.name]
    other = others[0] if others else next(name for name in BACKENDS if name != error.name)
    instead = f"KERAS_BACKEND={other} before Python starts" + ("" if others else f", and 'truetap[{other}]'")
    raise ModelError(
        f"Keras is set to run on {error.name}, which isn't installed. Expected: pip install 'truetap[{error.name}]'; "
        f"or another backend: {instead}."
    ) from error
