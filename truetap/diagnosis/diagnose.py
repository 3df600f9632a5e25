"""`run.diagnose()`: the rules over what a run has recorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.rules import RULES
from truetap.errors import DiagnosisError
from truetap.rules.registry import checked, registered
from truetap.rules.report import Report
from truetap.rules.rule import Rule
from truetap.rules.running import run_rules

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["chosen_rules", "diagnose"]


def diagnose(
    run: Run, model: Any = None, *, rules: Sequence[Rule[Any]] | None = None, ignore: Collection[str] = ()
) -> Report:
    """See `Run.diagnose`."""
    evidence = Evidence(run, model)
    answers = run_rules(chosen_rules(rules), evidence, ignore, DiagnosisError)
    backend = str(run.metadata.get("recorder", {}).get("backend", "an unknown backend"))
    return Report(f"Run {run.path!r}", backend, answers.findings, answers.checked, answers.skipped)


def chosen_rules(rules: Sequence[Rule[Any]] | None) -> list[Rule[Any]]:
    """The rules given, or truetap's with those that were registered; of one name the registered one."""
    if rules is not None:
        return [checked(rule) for rule in rules]
    by_name: dict[str, Rule[Any]] = {rule.name: rule for rule in RULES}
    return list((by_name | {rule.name: rule for rule in registered()}).values())
