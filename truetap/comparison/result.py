"""`Comparison`: what changed between two runs, as one immutable value that prints itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from truetap.comparison.findings import FindingsChange
from truetap.comparison.settings import Setting
from truetap.comparison.show import as_html, as_rich, as_text
from truetap.json_values import json_value

__all__ = ["Comparison"]

_MOST_LISTED = 1_000


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changed from one run (here) to another (there); differences are there minus here.

    Intervals hold 95% of the differences of resampled samples (percentile bootstrap: Efron and Tibshirani 1993, An
    Introduction to the Bootstrap, chapter 13): they say what the choice of samples may account for, not what another
    seed of the training would give.

    Attributes:
        here: The folder of the run that compares.
        there: The folder of the other.
        phase: Whose samples are compared; None where no samples are.
        epochs: The epoch compared, here and there.
        paired: Whether samples are compared one by one; else each run is measured over its own.
        matched: How many samples both runs have.
        metrics: output, metric, here, there, difference, low, high, better: "here" or "there" where the interval
            leaves out 0, else null.
        per_class: The same for precision, recall, F1 of each class, with class, name, count_here and count_there.
        slices: The same for slices, with slice, count_here and count_there.
        newly_right: output, sample_id, unit, label, pred_here, pred_there, loss_here, loss_there: predicted right
            there and wrong here; the greatest change of loss first. `unit` is the label meant of multi-label outputs.
        newly_wrong: Likewise, predicted wrong there and right here.
        changed: sample_id, loss_here, loss_there, difference: those whose loss changed most.
        findings: Of `run.diagnose()`: new, gone, in both.
        settings: What differs in how they were trained: (what, here, there).
        resamples: How many resamples the intervals are of.
        seed: That they were drawn with.
        notes: What to know about these numbers, one sentence each.
    """

    here: str
    there: str
    phase: str | None
    epochs: tuple[int | None, int | None]
    paired: bool
    matched: int
    metrics: pa.Table
    per_class: pa.Table
    slices: pa.Table
    newly_right: pa.Table
    newly_wrong: pa.Table
    changed: pa.Table
    findings: FindingsChange
    settings: tuple[Setting, ...]
    resamples: int
    seed: int
    notes: tuple[str, ...] = field(default=())

    def to_dict(self, most: int = _MOST_LISTED) -> dict[str, Any]:
        """Everything as dicts, lists, strings and numbers that `json.dumps` takes.

        Args:
            most: How many samples are listed of each table of samples; `…_count` says how many there are.
        """
        plain: dict[str, Any] = {
            name: getattr(self, name) for name in ("here", "there", "phase", "paired", "matched", "resamples", "seed")
        }
        plain["epochs"] = list(self.epochs)
        for name in ("metrics", "per_class", "slices"):
            plain[name] = [json_value(row) for row in getattr(self, name).to_pylist()]
        for name in ("newly_right", "newly_wrong", "changed"):
            table = getattr(self, name)
            plain[f"{name}_count"] = table.num_rows
            plain[name] = [json_value(row) for row in table.slice(0, most).to_pylist()]
        plain["findings"] = self.findings.to_dict()
        plain["settings"] = [json_value(each._asdict()) for each in self.settings]
        plain["notes"] = list(self.notes)
        return plain

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__

    def __rich__(self) -> Any:
        return as_rich(self)

    def _repr_html_(self) -> str:
        return as_html(self)
