"""`Report`: what rules found, to read, to raise, to write as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from truetap.errors import DiagnosisError, TruetapError
from truetap.notebook import html
from truetap.rules.finding import Finding, Severity
from truetap.showing import printable

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """What is to be said of a model, its data, a run or a loss; true when there is nothing wrong.

    Attributes:
        subject: What was looked at.
        backend: The backend on which it ran.
        findings: What was found: worst first, of one severity the surest first.
        checked: Names of the rules that ran.
        skipped: Names of the rules that did not, with the reason.
    """

    error: ClassVar[type[TruetapError]] = DiagnosisError

    subject: str
    backend: str
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The errors and warnings: notes are no fault."""
        return tuple(each for each in self.findings if each.severity is not Severity.NOTE)

    @property
    def ok(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return not self.wrong

    def __bool__(self) -> bool:
        return self.ok

    def __len__(self) -> int:
        return len(self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def raise_if_wrong(self) -> None:
        """Raises when there is an error or a warning.

        Raises:
            DiagnosisError: With the words of all of them; of a loss, `LossError`.
        """
        if self.wrong:
            listed = "\n".join(f"- {each}" for each in self.wrong)
            raise self.error(f"{self.subject} {self._verdict} ({self.count}):\n{listed}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "subject": self.subject,
            "backend": self.backend,
            "ok": self.ok,
            "findings": [each.to_dict() for each in self.findings],
            "checked": list(self.checked),
            "skipped": dict(self.skipped),
        }

    @property
    def count(self) -> str:
        """How many errors, warnings and notes, in words."""
        if not self.findings:
            return "nothing found"
        kinds = [sum(each.severity is kind for each in self.findings) for kind in Severity]
        return ", ".join(
            f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in zip(Severity, kinds, strict=True) if count
        )

    _verdict: ClassVar[str] = "is not well"

    @property
    def head(self) -> str:
        """A line: what was looked at, how much was found, how much was checked."""
        left = f", {len(self.skipped)} not run (see skipped)" if self.skipped else ""
        return f"{self.subject} on {self.backend}: {self.count}; {len(self.checked)} checks{left}."

    def __str__(self) -> str:
        return "\n".join(map(printable, [self.head, *(line for each in self.findings for line in _lines(each))]))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html.page(self.head, html.findings(each.to_dict() for each in self.findings))


def _lines(finding: Finding) -> Iterator[str]:
    yield f"- {finding.severity}: {finding.rule}" + ("" if finding.where is None else f" (at {finding.where})")
    yield f"  {finding.seen}"
    yield f"  Why: {finding.why}"
    yield f"  Do: {finding.do}"
    if finding.reference is not None:
        yield f"  See: {finding.reference}"
