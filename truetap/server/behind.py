"""What takes long: the diagnosis, rankings of samples, exact metrics, comparisons. Worked out behind the page."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from truetap.errors import StoreError, StructureError, TaskError
from truetap.evaluation import Evaluation
from truetap.report.content import Column, Found, Section, Table, verdict_of
from truetap.report.outputs import metrics_table
from truetap.report.ranked import ranked_phase, suspects_table
from truetap.report.roster import values_of
from truetap.rules import Finding
from truetap.server.moment import Moment
from truetap.server.plain import found_json, section_json

if TYPE_CHECKING:
    from truetap.comparison import Comparison

__all__ = ["Flagged", "compared", "evaluated", "findings", "hardest", "suspects"]

_MOST_OF_FINDING = 12
_MOST_LISTED = 500


def findings(moment: Moment) -> dict[str, Any]:
    """What `run.diagnose()` says; samples are named by phase and id."""
    report = moment.diagnose()
    phase = "train" if "train" in moment.sample_epochs else next(iter(moment.sample_epochs), "")
    return {
        "verdict": verdict_of(report),
        "findings": found_json(tuple(_found(each, phase) for each in report)),
        "skipped": [list(pair) for pair in report.skipped.items()],
    }


def _found(finding: Finding, phase: str) -> Found:
    ids = finding.sample_ids[:_MOST_OF_FINDING] if phase else ()
    return Found.of(finding, tuple(f"{phase}:{each}" for each in ids))


def hardest(moment: Moment, output: str) -> dict[str, Any] | None:
    """The samples with the highest mean loss over the training; None where none was recorded."""
    phase = ranked_phase(moment)
    if phase is None:
        return None
    said = f"By the mean of their losses over all epochs of phase {phase!r}. Open one to see its history."
    try:
        found = moment.hardest(_MOST_LISTED, phase=phase, output=output or None)
    except (TaskError, StoreError) as error:
        return section_json(Section("hardest", "Hardest samples", (f"They could not be ranked: {error}",)))
    ids = found["sample_id"].to_pylist()
    told = values_of(moment.samples(phase, -1), output, ids)
    rows = [
        (f"{phase}:{name}", *told.get(name, (None, None)), row["mean_loss"], row["last_loss"], row["visits"])
        for name, row in zip(ids, found.to_pylist(), strict=True)
    ]
    words = (Column("true", "text"), Column("predicted last", "text"))
    columns = (Column("sample", "sample"), *words, Column("mean loss"), Column("last loss"), Column("visits"))
    table = Table(f"The {len(rows)} hardest samples", columns, tuple(rows))
    return section_json(Section("hardest", "Hardest samples", (said,), (table,)))


class Flagged:
    """The labels of an output that are probably wrong.

    Attributes:
        section: As the page draws it; None where labels are no classes.
        ids: The samples that are flagged.
    """

    def __init__(self, section: dict[str, Any] | None, ids: list[Any]) -> None:
        self.section, self.ids = section, ids


def suspects(moment: Moment, output: str) -> Flagged:
    """Labels that are flagged, the most suspicious first."""
    phase = ranked_phase(moment)
    if phase is None:
        return Flagged(None, [])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            table = moment.label_issues(phase, output=output or None)
        except (TaskError, StoreError, StructureError) as error:
            why = f"Labels can't be judged here: {error}"
            return Flagged(section_json(Section("labels", "Labels that are probably wrong", (why,))), [])
    kept = table.filter(table.column("flagged"))
    more = f"; the {_MOST_LISTED} most suspicious are listed" if kept.num_rows > _MOST_LISTED else ""
    said = [str(each.message) for each in caught]
    said.append(f"{kept.num_rows:,} of {table.num_rows:,} labels are flagged as probably wrong{more}.")
    names = moment.samples(phase, -1).class_names
    listed = kept.slice(0, _MOST_LISTED).to_pylist()
    parts = (suspects_table(listed, names, "Suspect labels", lambda name: f"{phase}:{name}"),) if listed else ()
    section = Section("labels", "Labels that are probably wrong", tuple(said), parts)
    return Flagged(section_json(section), list(dict.fromkeys(kept.column("sample_id").to_pylist())))


def evaluated(view: Any) -> dict[str, Any] | None:
    """What `samples.evaluate()` says of an output: its metrics, and what is to be known of them."""
    try:
        evaluation = view.evaluate()
    except TaskError as error:
        return section_json(Section("exact", "Exact metrics", (f"There are none: {error}",)))
    assert isinstance(evaluation, Evaluation)
    said = (f"Of {evaluation.num_samples:,} samples.", *evaluation.notes)
    return section_json(Section("exact", "Exact metrics", said, (metrics_table(evaluation, "Exact metrics"),)))


def compared(here: Moment, there: Moment) -> dict[str, Any]:
    """What `run.compare` says, as a section; samples are named by phase and id."""
    found = here.compare(there)
    names = [os.path.basename(os.path.abspath(each.path)) for each in (here, there)]
    said = [f"From {names[0]} to {names[1]}; differences are the second minus the first."]
    if found.phase is not None:
        pairing = f"{found.matched:,} samples are in both" if found.paired else "samples are not the same ones"
        epochs = " and ".join("all" if each is None else str(each) for each in found.epochs)
        said.append(f"Samples of {found.phase or 'the collection'}, epochs {epochs}; {pairing}.")
    said += found.notes
    parts = list(_comparison_tables(found, found.phase or "train"))
    return {"section": section_json(Section("compared", "What changed", tuple(said), tuple(parts)))}


def _comparison_tables(found: Comparison, phase: str) -> Iterable[Table]:
    plain = found.to_dict(_MOST_LISTED)
    changes = [("new", plain["findings"].get("new", [])), ("gone", plain["findings"].get("gone", []))]
    rows = [(what, *_said(each)) for what, listed in changes for each in listed]
    if rows:
        yield Table("Findings", (Column("change", "text"), Column("rule", "text"), Column("seen", "text")), tuple(rows))
    if plain["metrics"]:
        yield _metrics("Metrics, with intervals of 95%", plain["metrics"])
    if plain["per_class"]:
        yield _metrics("Classes", plain["per_class"][:_MOST_LISTED], "name")
    for key, title in (("newly_right", "Newly right"), ("newly_wrong", "Newly wrong")):
        if plain[key]:
            yield _calls(f"{title}: {plain[f'{key}_count']:,} samples", plain[key], phase)
    if plain["changed"]:
        names = ("loss_here", "loss_there", "difference")
        columns = (Column("sample", "sample"), *(Column(name.replace("_", " ")) for name in names))
        listed = tuple((f"{phase}:{row['sample_id']}", *(row[name] for name in names)) for row in plain["changed"])
        yield Table("Losses that changed most", columns, listed)
    if plain["settings"]:
        columns = (Column("setting", "text"), Column("here", "text"), Column("there", "text"))
        settings = tuple((row["what"], _text(row["here"]), _text(row["there"])) for row in plain["settings"])
        yield Table("How they were trained", columns, settings)


def _metrics(title: str, rows: list[dict[str, Any]], key: str | None = None) -> Table:
    numbers = ("here", "there", "difference", "low", "high")
    several = any(row["output"] for row in rows)
    heads = [*(["output"] if several else []), *([key] if key else []), "metric"]
    columns = (*(Column(name, "text") for name in heads), *map(Column, numbers), Column("better", "text"))
    listed = tuple(
        (*(_text(row[name]) for name in heads), *(row[name] for name in numbers), _text(row["better"])) for row in rows
    )
    return Table(title, columns, listed)


def _calls(title: str, rows: list[dict[str, Any]], phase: str) -> Table:
    labels = ("label", "pred_here", "pred_there")
    columns = (Column("sample", "sample"), *(Column(name.replace("_", " "), "text") for name in labels))
    columns += (Column("loss here"), Column("loss there"))
    listed = tuple(
        (f"{phase}:{row['sample_id']}", *(_text(row[name]) for name in labels), row["loss_here"], row["loss_there"])
        for row in rows
    )
    return Table(title, columns, listed)


def _said(finding: Any) -> tuple[str, str]:
    if isinstance(finding, dict):
        return _text(finding.get("rule")), _text(finding.get("seen"))
    return _text(finding), ""


def _text(value: Any) -> str:
    return "\N{EN DASH}" if value is None else str(value)
