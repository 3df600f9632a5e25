"""Findings of two runs: new, gone, in both, and those that can't be compared."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from truetap.rules import Finding, Report

__all__ = ["FindingsChange", "compare_findings"]


@dataclass(frozen=True, slots=True)
class FindingsChange:
    """What rules found in two runs.

    Attributes:
        new: Found there, not here, by rules that ran on both.
        gone: Found here, not there, by rules that ran on both.
        both: Found in both: (here, there).
        only_here: Found here by a rule that could not run there; with the reason.
        only_there: Found there by a rule that could not run here; with the reason.
        checked: How many rules ran here, and there: the others lacked what the run did not record.
    """

    new: tuple[Finding, ...] = ()
    gone: tuple[Finding, ...] = ()
    both: tuple[tuple[Finding, Finding], ...] = ()
    only_here: tuple[tuple[Finding, str], ...] = ()
    only_there: tuple[tuple[Finding, str], ...] = ()
    checked: tuple[int, int] = (0, 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "new": [each.to_dict() for each in self.new],
            "gone": [each.to_dict() for each in self.gone],
            "both": [{"here": one.to_dict(), "there": other.to_dict()} for one, other in self.both],
            "only_here": [each.to_dict() | {"not_run_there": why} for each, why in self.only_here],
            "only_there": [each.to_dict() | {"not_run_here": why} for each, why in self.only_there],
            "checked": {"here": self.checked[0], "there": self.checked[1]},
        }


def compare_findings(here: Report, there: Report) -> FindingsChange:
    """Matches findings by rule, output and layers; those left, by rule and output (layers change their names).

    Example:
        >>> from truetap.rules import Severity
        >>> one = Finding("dead_relu", Severity.WARNING, "seen", "why", "do", layers=("dense",))
        >>> found = compare_findings(
        ...     Report("a", "jax", (one,), ("dead_relu",)), Report("b", "jax", (), ("dead_relu",)))
        >>> [each.rule for each in found.gone]
        ['dead_relu']
    """
    left, right = list(here.findings), list(there.findings)
    both: list[tuple[Finding, Finding]] = []
    keys: tuple[Callable[[Finding], Hashable], ...] = (
        lambda each: (each.rule, each.output, each.layers),
        lambda each: (each.rule, each.output),
    )
    for key in keys:
        for one in list(left):
            other = next((each for each in right if key(each) == key(one)), None)
            if other is not None:
                both.append((one, other))
                left.remove(one)
                right.remove(other)
    return FindingsChange(
        new=tuple(each for each in right if each.rule in here.checked),
        gone=tuple(each for each in left if each.rule in there.checked),
        both=tuple(both),
        only_here=tuple((each, _why(there, each)) for each in left if each.rule not in there.checked),
        only_there=tuple((each, _why(here, each)) for each in right if each.rule not in here.checked),
        checked=(len(here.checked), len(there.checked)),
    )


def _why(report: Report, finding: Finding) -> str:
    return report.skipped.get(finding.rule, "there is no such rule")
