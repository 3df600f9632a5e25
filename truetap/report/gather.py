"""A run as the content of a report: each section from what was recorded, in the order of interest.

Costs one pass over the last epoch for metrics, one over all epochs for rankings, one for the histories of at most 500
samples. What a run has no data for is left out, or said in a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from truetap.report import charts
from truetap.report.content import Content, Found, Section, verdict_of
from truetap.report.cost import cost
from truetap.report.curves import curves
from truetap.report.facts import facts_of, kind_of
from truetap.report.layers import layers
from truetap.report.outputs import looked_at, outputs
from truetap.report.ranked import hardest, suspects, with_values
from truetap.report.roster import Roster

if TYPE_CHECKING:
    from truetap.rules import Finding
    from truetap.run import Run

__all__ = ["gather"]

_MOST_OF_FINDING = 12


def gather(run: Run, model: Any = None, data: Any = None) -> Content:
    """All that a report of the run shows.

    Args:
        run: The run; it may still be written.
        model: The model, if it is at hand: then its loss is checked, too.
        data: The data, if they are at hand: then inputs that were not recorded are shown, too.
    """
    roster = Roster(run)
    report = run.diagnose(model)
    findings = tuple(_found(run, each, roster) for each in report)
    sections = tuple(section for section in _sections(run, roster) if section is not None)
    samples = roster.samples(data)
    sections = tuple(with_values(each, samples) if each.anchor == "hardest" else each for each in sections)
    name = os.path.basename(os.path.abspath(run.path))
    return Content(
        title=name,
        said=f"{kind_of(run)}, {run.path}",
        facts=facts_of(run),
        findings=findings,
        verdict=verdict_of(report),
        skipped=tuple(report.skipped.items()),
        sections=sections,
        samples=samples,
        history=charts.history(),
    )


def _sections(run: Run, roster: Roster) -> Iterable[Section | None]:
    yield curves(run)
    looked = looked_at(run)
    hard, wrong = hardest(run, roster), suspects(run, roster)  # before the cells: their samples come first
    yield from [] if looked is None else outputs(run, looked, roster)
    yield hard
    yield wrong
    yield layers(run)
    yield cost(run)


def _found(run: Run, finding: Finding, roster: Roster) -> Found:
    phase = "train" if "train" in run.sample_epochs else next(iter(run.sample_epochs), "")
    return Found.of(finding, roster.keys(phase, finding.sample_ids[:_MOST_OF_FINDING]) if phase else ())
