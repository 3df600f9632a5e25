"""`LossReport`: what `check_loss` found, to read, to raise, to write as JSON."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from truetap.errors import LossError
from truetap.loss_checks.finding import Finding, Severity

__all__ = ["LossReport"]


@dataclass(frozen=True, slots=True)
class LossReport:
    """What is to be said of a loss; true when it is fine.

    Attributes:
        loss: The loss' name.
        backend: The backend on which it ran.
        findings: What was found, worst first.
        checked: Names of the rules that ran.
        skipped: Names of the rules that could not, with the reason.
    """

    loss: str
    backend: str
    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    skipped: dict[str, str]

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

    def raise_if_wrong(self) -> None:
        """Raises when there is an error or a warning.

        Raises:
            LossError: With the words of all of them.
        """
        if self.wrong:
            listed = "\n".join(f"- {each}" for each in self.wrong)
            raise LossError(f"The loss {self.loss!r} is not what it seems to be ({self._count()}):\n{listed}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "loss": self.loss,
            "backend": self.backend,
            "ok": self.ok,
            "findings": [each.to_dict() for each in self.findings],
            "checked": list(self.checked),
            "skipped": dict(self.skipped),
        }

    def __str__(self) -> str:
        head = f"Loss {self.loss!r} on {self.backend}: {self._count()}; {len(self.checked)} checks"
        left = f", {len(self.skipped)} not run" if self.skipped else ""
        return "\n".join([f"{head}{left}.", *(f"- {each}" for each in self.findings)])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(each.severity)}</td><td>{html.escape(each.rule)}</td>"
            f"<td>{html.escape(each.seen)}</td><td>{html.escape(each.why)} {html.escape(each.do)}</td></tr>"
            for each in self.findings
        )
        head = f"<strong>{html.escape(self.loss)}</strong> on {html.escape(self.backend)}: {self._count()}"
        return f"<div>{head}<table>{rows}</table></div>"

    def _count(self) -> str:
        if not self.findings:
            return "nothing found"
        kinds = [sum(each.severity is kind for each in self.findings) for kind in Severity]
        return ", ".join(
            f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in zip(Severity, kinds, strict=True) if count
        )
