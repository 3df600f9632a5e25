"""For each rule of `tt.lint` and `run.diagnose` a smallest training that fires it, and the same training mended.

A module for each question; in it a function for each rule, named as the rule, that gives model, data and the options
of `fit`. The pages of the rules show these functions as they stand here, with what they use of `made`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from rule_trainings import course, data, labels, loss, model, optimisation

__all__ = ["GROUPS", "TRAININGS", "group_of"]

Training = Callable[[bool], tuple[Any, tuple[Any, Any], dict[str, Any]]]

GROUPS: tuple[ModuleType, ...] = (model, data, labels, loss, optimisation, course)


def _own(module: ModuleType) -> dict[str, Training]:
    return {name: getattr(module, name) for name in module.__all__}


TRAININGS: dict[str, Training] = {name: made for group in GROUPS for name, made in _own(group).items()}


def group_of(rule: str) -> ModuleType:
    """The module in which a rule's training stands."""
    return next(group for group in GROUPS if rule in group.__all__)
