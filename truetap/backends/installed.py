"""Which backends are installed, without loading one."""

from __future__ import annotations

import importlib.util

__all__ = ["BACKENDS", "installed"]

BACKENDS = ("tensorflow", "jax", "torch")  # as keras.backend.backend() and the modules are named


def installed() -> tuple[str, ...]:
    """The names of those that are."""
    return tuple(name for name in BACKENDS if importlib.util.find_spec(name) is not None)
