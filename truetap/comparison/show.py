"""A comparison as plain text, as HTML and for rich: what is wrong first, then numbers, samples, settings.

All three are made of the same tables of strings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetap.notebook import html
from truetap.rules import Finding
from truetap.showing import Table, as_rich_parts, as_text_parts, number

if TYPE_CHECKING:
    from truetap.comparison.result import Comparison

__all__ = ["as_html", "as_rich", "as_text"]

_MOST_ROWS = 10
_MOST_WIDE = 60


def parts(comparison: Comparison) -> list[Table | str]:
    """Tables and sentences, in the order of interest."""
    classes, few = _most_changed(comparison.per_class)
    title = "Classes by F1" if few else f"Classes by F1: the {_MOST_ROWS} that changed most"
    found = [
        _findings(comparison),
        _values("Metrics", comparison.metrics, ("metric",)),
        _values(title, classes, ("name",), counts=True),
        _values("Slices", comparison.slices, ("slice", "metric"), counts=True),
        *_of_samples(comparison),
        _settings(comparison),
    ]
    return [each for each in found if each is not None]


def as_text(comparison: Comparison) -> str:
    """Plain text without any escape codes."""
    return as_text_parts(_headline(comparison), parts(comparison), comparison.notes)


def as_rich(comparison: Comparison) -> Any:
    """A renderable for rich."""
    return as_rich_parts(_headline(comparison), parts(comparison), comparison.notes)


def as_html(comparison: Comparison) -> str:
    """HTML for a notebook."""
    return html.page(_headline(comparison), *parts(comparison), notes=comparison.notes)


def _headline(comparison: Comparison) -> str:
    which = "no samples are compared"
    if comparison.phase is not None:
        places = "" if comparison.epochs[0] is None else f", epochs {comparison.epochs[0]} and {comparison.epochs[1]}"
        how = f"{comparison.matched:,} samples in both" if comparison.paired else "no sample in common"
        which = f"phase {comparison.phase!r}{places}: {how}"
    return f"From {comparison.here} (here) to {comparison.there} (there), {which}."


def _findings(comparison: Comparison) -> Table | str:
    found = comparison.findings
    rows = [("new", each) for each in found.new]
    rows += [("gone", each) for each in found.gone]
    rows += [("both", other) for _, other in found.both]
    rows += [(f"only here ({why} there)", each) for each, why in found.only_here]
    rows += [(f"only there ({why} here)", each) for each, why in found.only_there]
    if not rows:
        here, there = found.checked
        return f"Findings: none in either run; {here} rules ran here, {there} there."
    return Table("Findings", ("", "severity", "rule", "seen"), tuple((how, *_finding(each)) for how, each in rows), 4)


def _finding(finding: Finding) -> tuple[str, str, str]:
    return str(finding.severity), finding.rule, finding.seen


def _values(title: str, table: pa.Table, keys: Sequence[str], *, counts: bool = False) -> Table | None:
    if not table.num_rows:
        return None
    several = len(set(table["output"].to_pylist())) > 1
    names = [*(["output"] if several else []), *keys]
    one = counts and table["count_here"].equals(table["count_there"])
    columns = {"count_here": "rows" if one else "rows here"} | ({} if one else {"count_there": "rows there"})
    rows = []
    for row in table.to_pylist():
        cells = [str(row[name]) for name in names]
        cells += [f"{row[name]:,}" for name in columns] if counts else []
        ends = "" if row["low"] is None else f"[{row['low']:+.4g}, {row['high']:+.4g}]"
        better = {"there": "better", "here": "worse", None: ""}[row["better"]]
        rows.append((*cells, number(row["here"]), number(row["there"]), number(row["difference"], "+"), ends, better))
    head = (*names, *(columns.values() if counts else ()), "here", "there", "difference", "95%", "")
    return Table(title, head, tuple(rows), len(names))


def _most_changed(table: pa.Table) -> tuple[pa.Table, bool]:
    """The classes whose F1 changed most, and whether these are all."""
    rows = table.filter(pc.equal(table["metric"], "f1"))
    if rows.num_rows <= _MOST_ROWS:
        return rows, True
    size = np.nan_to_num(np.abs(rows["difference"].to_numpy()), nan=-1.0)
    return rows.take(pa.array(np.argsort(-size, kind="stable")[:_MOST_ROWS])), False


def _of_samples(comparison: Comparison) -> list[Table | str]:
    """What is said of single samples: nothing where none are in both runs, and no right or wrong of numbers."""
    if not comparison.paired:
        return []
    found = [_samples("Loss changed most", comparison.changed)]
    if any(name in ("accuracy", "subset_accuracy") for name in comparison.metrics["metric"].to_pylist()):
        newly = (("Newly right", comparison.newly_right), ("Newly wrong", comparison.newly_wrong))
        found = [*(_samples(*each) for each in newly), *found]
    return found


def _samples(title: str, table: pa.Table) -> Table | str:
    if not table.num_rows:
        return f"{title}: none."
    columns = [
        name
        for name in table.column_names
        if table[name].null_count < table.num_rows
        and not (name == "output" and table["output"].unique().to_pylist() == [""])
    ]
    rows = [tuple(_cell(row[name]) for name in columns) for row in table.slice(0, _MOST_ROWS).to_pylist()]
    left = table.num_rows - len(rows)
    more = f"… {left:,} more" if left > 0 else ""
    return Table(f"{title}: {table.num_rows:,}", tuple(columns), tuple(rows), 0, more)


def _settings(comparison: Comparison) -> Table | str:
    if not comparison.settings:
        return "Settings: no difference is recorded."
    rows = tuple((each.what, _short(each.here), _short(each.there)) for each in comparison.settings)
    return Table("Settings that differ", ("what", "here", "there"), rows, 3)


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) or value is None else str(value)


def _short(value: Any) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= _MOST_WIDE else text[: _MOST_WIDE - 1] + "…"
