"""What a run says of itself, as small tables: findings, the hardest samples, labels that are probably wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from truetap.errors import NotRecordedError, StructureError, TaskError
from truetap.exporting.chosen import Chosen
from truetap.json_values import json_value
from truetap.rules import Report

__all__ = ["Listed", "listed"]

_MOST = 200


@dataclass(frozen=True)
class Listed:
    """A table to be shown.

    Attributes:
        name: "findings", "hardest_samples", "suspect_labels"; of one output among several "suspect_labels_age".
        columns: Its columns, each a list of plain values.
    """

    name: str
    columns: dict[str, list[Any]]

    @property
    def rows(self) -> list[list[Any]]:
        """Its rows; numbers that are not finite are None, as JSON has none."""
        return [[json_value(value) for value in row] for row in zip(*self.columns.values(), strict=True)]


def listed(chosen: Chosen, report: Report) -> Iterator[Listed]:
    """The findings of a report; where samples are exported, also the hardest and the suspect ones, 200 at most.

    Those are of the chosen phase, or of training; without labels, or where labels are no classes, one is left out.
    """
    yield _findings(report)
    recorded = chosen.parts.get("samples", {})
    phase = next((each for each in ("train", "val") if each in recorded), None)
    if phase is None:
        return
    for output in chosen.run.output_names:
        suffix = f"_{output}" if output else ""
        for name, table in _of_output(chosen, phase, output or None):
            yield Listed(f"{name}{suffix}", table.to_pydict())


def _findings(report: Report) -> Listed:
    found = [each.to_dict() for each in report]
    heads = ("severity", "rule", "where", "seen", "why", "do", "certainty", "reference")
    return Listed("findings", {head: [each[head] for each in found] for head in heads})


def _of_output(chosen: Chosen, phase: str, output: str | None) -> Iterator[tuple[str, pa.Table]]:
    run, epochs = chosen.run, chosen.epochs("samples", phase)
    try:
        hardest = run.hardest(_MOST, phase=phase, output=output, epoch=epochs)
        yield "hardest_samples", hardest
    except (TaskError, NotRecordedError, StructureError):  # no losses
        pass
    try:
        issues = run.label_issues(phase, output=output, epoch=epochs)
    except (TaskError, NotRecordedError, StructureError):  # no classes
        return
    yield "suspect_labels", issues.filter(pc.field("flagged"))[:_MOST]
