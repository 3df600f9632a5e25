"""What a rule has to say: what was seen, where, why it matters, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from truetap.notebook import html

__all__ = ["Finding", "Severity"]


class Severity(StrEnum):
    """How bad it is; `raise_if_wrong` raises on errors and warnings, never on notes."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        rule: The name of the rule that found it.
        severity: Error: training is wrong or stops. Warning: it is under conditions that are likely.
            Note: true and worth knowing, and no fault.
        seen: What was seen, with the numbers.
        why: Why it matters.
        do: What to do.
        where: The operation, argument or layer that causes it, in words, if that is known.
        reference: A page or a paper.
        numbers: The numbers of `seen` by name, for programs.
        output: The output that is meant, of a model with several.
        layers: Paths of the layers or weights that are meant.
        steps: The steps that are meant, numbers over the run.
        sample_ids: Some of the samples that are meant: ids, or fingerprints.
        certainty: From 0 to 1: how sure the rule is that this is the cause. Of two findings of one severity the
            surer stands first.
    """

    rule: str
    severity: Severity
    seen: str
    why: str
    do: str
    where: str | None = None
    reference: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    output: str | None = None
    layers: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    sample_ids: tuple[int | str, ...] = ()
    certainty: float = 0.5

    def __str__(self) -> str:
        place = "" if self.where is None else f" (at {self.where})"
        source = "" if self.reference is None else f" See {self.reference}."
        return f"{self.severity}: {self.rule}{place}: {self.seen} {self.why} {self.do}{source}"

    def _repr_html_(self) -> str:
        return html.page("", html.findings([self.to_dict()]))

    def to_dict(self) -> dict[str, Any]:
        """The attributes by name, for JSON; numbers that are not finite are None."""
        numbers = {name: _plain(value) for name, value in self.numbers.items()}
        return {
            "rule": self.rule,
            "severity": str(self.severity),
            "seen": self.seen,
            "why": self.why,
            "do": self.do,
            "where": self.where,
            "reference": self.reference,
            "numbers": numbers,
            "output": self.output,
            "layers": list(self.layers),
            "steps": [int(step) for step in self.steps],
            "sample_ids": [each if isinstance(each, str) else int(each) for each in self.sample_ids],
            "certainty": float(self.certainty),
        }


def _plain(value: float) -> float | None:
    number = float(value)
    return number if abs(number) < float("inf") else None
