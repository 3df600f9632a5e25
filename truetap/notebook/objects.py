"""What runs, recorded values, costs, agreements and selections show in a notebook.

Cheap: nothing is read for it but what the plain text of the same object reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from truetap.notebook.html import page
from truetap.reading.choice import spans
from truetap.showing import Table, number, size_words

if TYPE_CHECKING:
    from truetap.agreement.result import Agreement
    from truetap.reading.overhead import OverheadSummary
    from truetap.reading.recorded import Recorded
    from truetap.run import Run

__all__ = ["Listing", "agreement_html", "overhead_html", "recorded_html", "recordings_html", "run_html"]

_MOST_ROWS = 20


def run_html(run: Run) -> str:
    """Phases, tables with their rows, and the metrics of the last epochs."""
    phases = tuple((phase, spans(epochs)) for phase, epochs in run.phases.items())
    rows = tuple((table, f"{run.reader.num_rows(table):,}") for table in run.tables)
    parts = [Table("Phases", ("phase", "epochs"), phases, 2)] if phases else []
    parts += [Table("Tables", ("table", "rows"), rows)] if rows else []
    if "epochs" in run.tables and run.reader.num_rows("epochs"):
        found = run.epochs()
        names = [name for name in found.column_names if name not in ("phase", "epoch")]
        last = found.slice(max(0, found.num_rows - 3)).to_pylist()
        cells = tuple((str(row["epoch"]), *(number(row[name]) for name in names)) for row in last)
        parts.append(Table("Last epochs", ("epoch", *names), cells))
    state = "" if run.complete else " (not complete)"
    return page(f"Run {run.path!r}{state}{'' if parts else ': no table yet'}", *parts)


def recordings_html(noun: str, count: int, found: Sequence[Recorded]) -> str:
    """A row for each path that was recorded."""
    if not count:
        return page(f"No {noun} were recorded.")
    rows = tuple((each.path, each.raw_words, ", ".join(each.statistic_names), each.where_words) for each in found)
    more = f"… {count - len(rows):,} more" if count > len(rows) else ""
    said = f"Recorded {noun} of {count:,} path{'' if count == 1 else 's'}"
    return page(said, Table("", ("path", "raw values", "statistics", "where"), rows, 4, more))


def recorded_html(noun: str, recorded: Recorded) -> str:
    """Where one path was recorded, and of each statistic its course in numbers."""
    parts: list[Table | str] = [recorded.raw_words] if recorded.raw_words else []
    rows: list[tuple[str, ...]] = []
    for name in recorded.statistic_names[:_MOST_ROWS]:
        values = np.asarray(recorded.statistics[name])
        if values.ndim != 1 or values.dtype.kind not in "fiu" or not len(values):
            rows.append((name, f"{len(values):,}", f"shape {values.shape[1:]}", "", "", ""))
            continue
        finite = values[np.isfinite(values)]
        ends = (finite.min(), finite.max()) if len(finite) else (np.nan, np.nan)
        rows.append((name, f"{len(values):,}", *(number(float(each)) for each in (values[0], values[-1], *ends))))
    if rows:
        parts.append(Table("Statistics", ("statistic", "steps", "first", "last", "lowest", "highest"), tuple(rows)))
    return page(f"Recorded {noun} of {recorded.path!r}: {recorded.where_words}", *parts)


def overhead_html(summary: OverheadSummary) -> str:
    """The sentence, and a row for each epoch and phase."""
    known = [name for name in summary.table.schema.names if name not in ("phase", "epoch")]
    rows = [
        (row["phase"], str(row["epoch"]), *(_cost(name, row[name]) for name in known))
        for row in summary.table.slice(max(0, summary.table.num_rows - _MOST_ROWS)).to_pylist()
    ]
    names = (name.replace("_", " ") for name in known)
    more = f"… {summary.table.num_rows - len(rows):,} before these" if summary.table.num_rows > len(rows) else ""
    return page(repr(summary), Table("", ("phase", "epoch", *names), tuple(rows), 1, more))


def agreement_html(agreement: Agreement) -> str:
    """The verdict, the reasons, the variables that change differently."""
    head, *_ = str(agreement).split("\n")
    parts: list[Table | str] = []
    if agreement.findings:
        found = tuple((each.rule, each.text) for each in agreement.findings)
        parts.append(Table("Why", ("rule", "what the loop does, and what to do"), found, 2))
    wrong = [each for each in agreement.updates if not each.agrees]
    if wrong:
        rows = tuple(
            (each.path, f"{each.fit:.3e}", f"{each.loop:.3e}", f"{each.relative:.1e}", f"{each.max_abs:.1e}")
            for each in wrong[:_MOST_ROWS]
        )
        more = f"… {len(wrong) - len(rows):,} more" if len(wrong) > len(rows) else ""
        title = f"{len(wrong)} of {len(agreement.updates)} variables change differently"
        columns = ("variable", "change by fit", "by the loop", "they differ by", "at most, in an element")
        parts.append(Table(title, columns, rows, 1, more))
    elif agreement.updates:
        parts.append(f"All {len(agreement.updates)} variables change alike.")
    return page(head, *parts, notes=agreement.notes)


class Listing(str):
    """Text that shows itself as a table in a notebook.

    Args:
        text: The text.
        head: Its first line.
        columns: Headings of the table.
        rows: Its rows.
    """

    _head: str
    _table: Table

    def __new__(cls, text: str, head: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Listing:
        made = super().__new__(cls, text)
        made._head, made._table = head, Table("", columns, tuple(rows), len(columns))
        return made

    def _repr_html_(self) -> str:
        return page(self._head, *([self._table] if self._table.rows else []))


def _cost(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith("bytes"):
        return size_words(int(value))
    return f"{value:,.3f}" if name.startswith("seconds") else f"{value:,}"
