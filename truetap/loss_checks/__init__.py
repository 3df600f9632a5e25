"""`check_loss`: is a loss what it seems to be, before a training run is spent on it?

One file per family of rules in `rules/`, each with the contract of `truetap.rules.Rule`. `evidence.Evidence` runs
the loss as Keras calls it and remembers; `report.LossReport` is what comes out. A check runs the loss some fifty times
on at most 16 samples: 0.1 s on torch and TensorFlow, about 0.5 s on JAX, which compiles it. Not for inside a training
loop.

The names are loaded when they are first used: the command line needs neither Keras nor a backend.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from truetap.loss_checks.checking import check_loss
    from truetap.loss_checks.report import LossReport

__all__ = ["LossReport", "check_loss"]

_HOMES = {"LossReport": "report", "check_loss": "checking"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
