"""Lists of samples: the hardest to learn, and labels that are probably wrong."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from truetap.errors import StoreError, StructureError, TaskError
from truetap.report.content import Column, Part, Sample, Section, Table, Value
from truetap.report.roster import Roster
from truetap.tasks.labels import class_name

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["hardest", "ranked_phase", "suspects", "suspects_table", "with_values"]

_MOST = 50
_OUTPUT = ", output "


def hardest(run: Run, roster: Roster) -> Section | None:
    """The samples with the highest mean loss over the training; None where no training was recorded."""
    phase = ranked_phase(run)
    if phase is None:
        return None
    parts: list[Part] = []
    said = [f"By the mean of their losses over all epochs of phase {phase!r}. Open one to see its history."]
    for name in run.output_names:
        try:
            table = run.hardest(_MOST, phase=phase, output=name or None)
        except (TaskError, StoreError) as error:
            said.append(f"{name or 'They'} could not be ranked: {error}")
            continue
        rows = []
        for row in table.to_pylist():
            key = roster.key(phase, row["sample_id"])
            if key is not None:
                rows.append((key, row["mean_loss"], row["last_loss"], row["visits"]))
        columns = (Column("sample", "sample"), Column("mean loss"), Column("last loss"), Column("visits"))
        parts.append(Table(_of(f"The {len(rows)} hardest samples", name), columns, tuple(rows)))
    return Section("hardest", "Hardest samples", tuple(said), tuple(parts))


def with_values(section: Section, samples: Mapping[str, Sample]) -> Section:
    """The section, whose tables also say what each sample's label is and what was predicted last.

    Args:
        section: Tables of samples, one for each output that could be ranked.
        samples: All that is shown, with their visits.
    """
    return replace(section, parts=tuple(_with_values(part, samples) for part in section.parts))


def _with_values(part: Part, samples: Mapping[str, Sample]) -> Part:
    assert isinstance(part, Table)
    output = part.title.partition(_OUTPUT)[2]
    names = [f"{kind} {output}" if output else kind for kind in ("true", "predicted")]
    rows = []
    for row in part.rows:
        sample = samples.get(str(row[0]))
        last = dict(zip(sample.heads, sample.visits[-1], strict=True)) if sample is not None else {}
        rows.append((row[0], *(last.get(name) for name in names), *row[1:]))
    if all(value is None for row in rows for value in row[1:3]):  # neither labels nor predictions were recorded
        return part
    columns = (part.columns[0], Column("true", "text"), Column("predicted last", "text"), *part.columns[1:])
    return replace(part, columns=columns, rows=tuple(rows))


def suspects(run: Run, roster: Roster) -> Section | None:
    """Labels that are flagged, the most suspicious first; None where labels are no classes."""
    phase = ranked_phase(run)
    if phase is None:
        return None
    parts: list[Part] = []
    said: list[str] = []
    for name in run.output_names:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                table = run.label_issues(phase, output=name or None)
            except (TaskError, StoreError, StructureError):  # no classes
                continue
        said += [str(each.message) for each in caught]
        flagged = [row for row in table.to_pylist() if row["flagged"]]
        said.append(
            _of(f"{len(flagged):,} of {table.num_rows:,} labels are flagged as probably wrong", name)
            + (f"; the {_MOST} most suspicious are listed." if len(flagged) > _MOST else ".")
        )
        if flagged:
            names = run.samples(phase, 0 if 0 in run.sample_epochs[phase] else -1).class_names
            title = _of("Suspect labels", name)
            parts.append(suspects_table(flagged[:_MOST], names, title, partial(roster.key, phase)))
    return Section("labels", "Labels that are probably wrong", tuple(said), tuple(parts)) if said else None


def suspects_table(
    flagged: list[dict[str, Any]], names: tuple[str, ...] | None, title: str, key: Callable[[int | str], str | None]
) -> Table:
    """Rows of `run.label_issues`.

    Args:
        flagged: The rows, one or more.
        names: Of the classes.
        title: Of the table.
        key: What the page calls a sample; None for one that it can't show, which is left out.
    """
    units = "unit" in flagged[0]
    columns = [Column("sample", "sample"), *([Column("unit")] if units else [])]
    columns += [Column("label", "text"), Column("suggested", "text"), Column("score")]
    rows: list[tuple[Value, ...]] = []
    for row in flagged:
        called = key(row["sample_id"])
        if called is None:
            continue
        labels = [str(row[kind]) if units else class_name(names, row[kind]) for kind in ("label", "suggested_label")]
        rows.append((called, *([row["unit"]] if units else []), *labels, row["score"]))
    return Table(title, tuple(columns), tuple(rows))


def _of(words: str, output: str) -> str:
    return f"{words}{_OUTPUT}{output}" if output else words


def ranked_phase(run: Run) -> str | None:
    """Training where it is recorded, else validation: the phases that come again and again."""
    return next((phase for phase in ("train", "val") if phase in run.sample_epochs), None)
