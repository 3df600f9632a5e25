"""What a report shows, as plain values: the page draws these kinds of parts and knows nothing of runs.

Every string may come from users' files and folders; the page puts them in as text, never as markup.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from truetap.rules import Finding, Report

__all__ = [
    "Cell",
    "Chart",
    "Column",
    "Confusion",
    "Content",
    "Found",
    "Part",
    "Sample",
    "Section",
    "Shown",
    "Table",
    "verdict_of",
]

Value = str | float | int | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its head.
        kind: "text", "number", "sample" (a key of `Content.samples`) or "cell" (a `Cell`).
    """

    title: str
    kind: str = "number"


@dataclass(frozen=True)
class Cell:
    """How many samples there are of a kind, and some of them by key."""

    count: float
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows that can be sorted by each column, and filtered where there are many."""

    kind: ClassVar[str] = "table"

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value | Cell, ...], ...]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification, empty where there is nothing to draw, and in words what is to be seen in it."""

    kind: ClassVar[str] = "chart"

    title: str
    words: str
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix, rows are true classes, whose cells open."""

    kind: ClassVar[str] = "confusion"

    title: str
    names: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


Part = Table | Chart | Confusion


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it.

    Attributes:
        anchor: Its id in the page.
        heading: In words.
        said: Sentences before the parts.
        parts: Tables, charts, matrices.
    """

    anchor: str
    heading: str
    said: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class Found:
    """A finding of `run.diagnose()`, with those of its samples that the report holds."""

    severity: str
    rule: str
    seen: str
    why: str
    do: str
    where: str | None
    reference: str | None
    samples: tuple[str, ...] = ()

    @classmethod
    def of(cls, finding: Finding, samples: tuple[str, ...]) -> Found:
        """A finding with the keys of its samples."""
        return cls(
            severity=str(finding.severity),
            rule=finding.rule,
            seen=finding.seen,
            why=finding.why,
            do=finding.do,
            where=finding.where,
            reference=finding.reference,
            samples=samples,
        )


def verdict_of(report: Report) -> str:
    """What a diagnosis says as a whole."""
    return f"{report.count[:1].upper()}{report.count[1:]}; {len(report.checked)} checks ran."


@dataclass(frozen=True)
class Shown:
    """One input of a sample.

    Attributes:
        path: Its path in the structure of the inputs.
        kind: "image" (a data URI), "text", "series" (rows of numbers, one for each line) or "values" (pairs).
        data: The value.
        shape: As recorded.
    """

    path: str
    kind: str
    data: Any
    shape: str


@dataclass(frozen=True)
class Sample:
    """A sample: its inputs where they were recorded, and what became of it in each epoch.

    Attributes:
        name: Its id.
        phase: The phase that it belongs to.
        inputs: What the model was given.
        heads: Titles of the columns of `visits`.
        visits: A row an epoch: epoch, step, loss, then true and predicted of each output.
    """

    name: str
    phase: str
    inputs: tuple[Shown, ...] = ()
    heads: tuple[str, ...] = ()
    visits: tuple[tuple[Value, ...], ...] = ()


@dataclass(frozen=True)
class Content:
    """All that a report shows.

    Attributes:
        title: The name of the run.
        said: One sentence of what it is.
        facts: Pairs of what and how, of the model, the training and the record.
        findings: Worst first.
        verdict: What the diagnosis says as a whole.
        skipped: Rules that did not run, with the reason.
        sections: The rest, in order.
        samples: Samples by key.
        history: The specification of the chart of a sample's losses; the page gives it the values.
    """

    title: str
    said: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Found, ...]
    verdict: str
    skipped: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    samples: Mapping[str, Sample] = field(default_factory=dict)
    history: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite are None."""
        plain: dict[str, Any] = _plain(self)
        return plain


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        return {"part": value.kind, **fields} if isinstance(value, Part) else fields
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
