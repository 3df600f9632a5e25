"""What recording cost, as a section."""

from __future__ import annotations

from typing import TYPE_CHECKING

from truetap.report.content import Column, Section, Table

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["cost"]

_MOST_ROWS = 500


def cost(run: Run) -> Section | None:
    """Sums, and a row for each epoch and phase; None where no epoch has ended."""
    if "overhead" not in run.tables or not run.reader.num_rows("overhead"):
        return None
    summary = run.overhead()
    names = [name for name in summary.table.schema.names if name not in ("phase", "epoch")]
    columns = (Column("phase", "text"), Column("epoch"), *(Column(name.replace("_", " ")) for name in names))
    last = summary.table.slice(max(0, summary.table.num_rows - _MOST_ROWS)).to_pylist()
    rows = tuple((row["phase"], row["epoch"], *(row[name] for name in names)) for row in last)
    return Section("cost", "What recording cost", (str(summary),), (Table("By phase and epoch", columns, rows),))
