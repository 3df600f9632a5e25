"""What `tt.check_loss` found, as rules of runs say it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["of_losses", "retold"]


def of_losses(evidence: Evidence, *names: str) -> Iterator[tuple[OutputEvidence, Finding]]:
    """Errors and warnings of some rules on losses, with the output whose loss it is."""
    reports = evidence.loss_reports or {}
    for output in evidence.labelled or ():
        report = reports.get(output.name)
        if report is None:
            continue
        for finding in report.wrong:
            if finding.rule in names:
                yield output, finding


def retold(finding: Finding, rule: str, output: OutputEvidence, severity: Severity, certainty: float) -> Finding:
    """The finding under the name of a rule of runs."""
    where = f"loss {output.loss_name!r}" + ("" if finding.where is None else f", {finding.where}")
    return replace(finding, rule=rule, severity=severity, where=where, output=output.name, certainty=certainty)
