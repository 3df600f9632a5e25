"""Rules, one after the other, over some evidence.

A rule runs after those it gives way to. One that raises is said to have failed, and the others go on:
nothing that was found is lost by a user's own rule.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from truetap.errors import DiagnosisWarning, TruetapError, near_names
from truetap.rules.finding import Finding, Severity
from truetap.rules.rule import ANY, Rule

__all__ = ["Answers", "run_rules"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What rules said.

    Attributes:
        findings: Worst first, of one severity the surest first.
        checked: Names of the rules that ran.
        skipped: Names of the rules that could not, with the reason.
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: dict[str, str]


def run_rules(
    rules: Sequence[Rule[Any]], evidence: Any, ignore: Collection[str] = (), error: type[TruetapError] = TruetapError
) -> Answers:
    """Runs rules over evidence.

    Args:
        rules: The rules.
        evidence: What they read; has `without(need)`.
        ignore: Names of rules to leave out.
        error: What is raised for a name that no rule has.

    Raises:
        TruetapError: A name in `ignore` that no rule has, or two rules of one name.
    """
    names = [rule.name for rule in rules]
    for name in sorted(set(ignore) - set(names)):
        raise error(f"There is no rule {name!r}. {near_names(name, names)}")
    for name in names:
        if names.count(name) > 1:
            raise error(f"Two rules are called {name!r}. Expected: a name of its own for each.")
    findings: list[Finding] = []
    checked: list[str] = []
    skipped: dict[str, str] = {}
    for rule in _ordered(rules):
        said = {each.rule for each in findings if each.severity is not Severity.NOTE}
        explained = said if ANY in rule.after else said & set(rule.after)
        missing = [need for need in rule.needs if getattr(evidence, need) is None]
        if rule.name in ignore:
            skipped[rule.name] = "ignored"
        elif explained:
            skipped[rule.name] = f"explained by {min(explained)}"
        elif missing:
            skipped[rule.name] = evidence.without(missing[0])
        else:
            try:
                findings += rule.check(evidence)
            except Exception as failure:  # of a rule that anybody may have written; it is said, and kept
                words = f"{type(failure).__name__}: {' '.join(str(failure).split())[:200]}"
                warnings.warn(f"The rule {rule.name!r} failed: {words}", DiagnosisWarning, stacklevel=4)
                skipped[rule.name] = f"failed, {words}"
            else:
                checked.append(rule.name)
    order = list(Severity)
    findings.sort(key=lambda each: (order.index(each.severity), -each.certainty))
    return Answers(tuple(findings), tuple(checked), skipped)


def _ordered(rules: Sequence[Rule[Any]]) -> list[Rule[Any]]:
    """The rules, each behind those it gives way to, those that give way to all at the end; else in the order given."""
    by_name = {rule.name: rule for rule in rules}
    done: dict[str, Rule[Any]] = {}

    first = [rule for rule in rules if ANY not in rule.after]

    def add(rule: Rule[Any], above: tuple[str, ...]) -> None:
        if rule.name in done or rule.name in above:  # two rules that give way to each other: the first goes first
            return
        for name in rule.after:
            if name in by_name:
                add(by_name[name], (*above, rule.name))
        done[rule.name] = rule

    for rule in first:
        add(rule, ())
    return [*done.values(), *(rule for rule in rules if ANY in rule.after)]
