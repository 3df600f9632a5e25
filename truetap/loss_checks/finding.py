"""What a rule has to say: what was seen, why it matters, what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

__all__ = ["Finding", "Severity"]


class Severity(StrEnum):
    """How bad it is; `raise_if_wrong` raises on errors and warnings, never on notes."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing, about a loss.

    Attributes:
        rule: The name of the rule that found it.
        severity: Error: training is wrong or stops. Warning: it is under conditions that are likely.
            Note: true and worth knowing, and no fault.
        seen: What was seen, with the numbers.
        why: Why it matters.
        do: What to do.
        where: The operation or argument that causes it, if that is known.
        reference: A page or a paper.
    """

    rule: str
    severity: Severity
    seen: str
    why: str
    do: str
    where: str | None = None
    reference: str | None = None

    def __str__(self) -> str:
        place = "" if self.where is None else f" (at {self.where})"
        source = "" if self.reference is None else f" See {self.reference}."
        return f"{self.severity}: {self.rule}{place}: {self.seen} {self.why} {self.do}{source}"

    def to_dict(self) -> dict[str, str | None]:
        """The attributes by name, for JSON."""
        return {key: None if value is None else str(value) for key, value in asdict(self).items()}
