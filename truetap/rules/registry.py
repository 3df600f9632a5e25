"""Rules of one's own beside those of truetap: `tt.rules.register`, or entry points of an installed package.

A package names its rules in its own `pyproject.toml`:

    [project.entry-points."truetap.rules"]
    my_rule = "my_package.rules:MyRule"

They are loaded when rules are first asked for.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, TypeVar

from truetap.errors import DiagnosisError, near_names
from truetap.rules.rule import Rule

__all__ = ["GROUP", "register", "registered", "unregister"]

GROUP = "truetap.rules"

_own: dict[str, Rule[Any]] = {}
_loaded: dict[str, Rule[Any]] | None = None

R = TypeVar("R")


def register(rule: R) -> R:
    """Adds a rule to those that `tt.lint`, `run.diagnose` and `tt.Watch` run.

    Args:
        rule: An object, or a class without arguments, with `name`, `needs`, `after` and `check(evidence)`; see
            `truetap.rules.Rule`. A rule of a name that is registered already takes its place.

    Returns:
        What was given, so that it can stand above a class.

    Raises:
        DiagnosisError: It isn't a rule.

    Example:
        >>> @register
        ... class StepsAreFew:
        ...     name, needs, after = "steps_are_few", ("curve",), ()
        ...     def check(self, evidence):
        ...         if len(evidence.curve) < 100:
        ...             yield Finding(self.name, Severity.NOTE, "Few steps.", "Little can be told.", "Train on.")
        >>> unregister("steps_are_few")
    """
    made = checked(rule)
    _own[made.name] = made
    return rule


def unregister(name: str) -> None:
    """Takes a registered rule away again.

    Args:
        name: The rule's.

    Raises:
        DiagnosisError: None of that name was registered.
    """
    if name not in _own:
        raise DiagnosisError(f"No rule {name!r} was registered. {near_names(name, _own)}")
    del _own[name]


def registered() -> tuple[Rule[Any], ...]:
    """The rules of installed packages, and those that were registered."""
    global _loaded
    if _loaded is None:
        _loaded = {rule.name: rule for rule in (checked(each.load()) for each in entry_points(group=GROUP))}
    return tuple((_loaded | _own).values())


def checked(rule: Any) -> Rule[Any]:
    """A rule, made if it is a class.

    Raises:
        DiagnosisError: It isn't one.
    """
    made = rule() if isinstance(rule, type) else rule
    missing = [each for each in ("name", "needs", "after", "check") if not hasattr(made, each)]
    if missing or not isinstance(made.name, str) or not callable(made.check):
        raise DiagnosisError(
            f"A rule has name (a string), needs and after (tuples of strings) and check(evidence). Received: {rule!r}"
            f"{f' without {missing}' if missing else ''}."
        )
    for attribute in ("needs", "after"):
        value = getattr(made, attribute)
        if isinstance(value, str) or not all(isinstance(each, str) for each in value):
            raise DiagnosisError(
                f"{attribute} of a rule is a tuple of strings. Received: {made.name!r} with {attribute}={value!r}."
            )
    found: Rule[Any] = made
    return found
