"""Where a run stands: from its rows, so that one left by a killed process goes on rightly too."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from truetap.capture.feed import Clock
from truetap.store import RunReader

__all__ = ["clock_of"]


def clock_of(reader: RunReader) -> tuple[Clock, int, dict[str, int]]:
    """The clock of a run, its last trained epoch (-1 for none), and how many passes of test and predict it has."""
    last: dict[str, tuple[int, int]] = {}
    if "scalars" in reader.tables:
        for batch in reader.batches("scalars"):
            for phase in pc.unique(batch.column("phase")).to_pylist():
                rows = batch.filter(pc.equal(batch.column("phase"), phase))
                step, epoch = (int(pc.max(rows.column(name)).as_py()) for name in ("step", "epoch"))
                before = last.get(phase, (-1, -1))
                last[phase] = (max(before[0], step), max(before[1], epoch))
    clock = Clock(steps={phase: step + 1 for phase, (step, _) in last.items()})
    clock.epoch = max(last.get("train", (0, 0))[1], 0)
    passes: dict[str, Any] = {phase: last.get(phase, (-1, -1))[1] + 1 for phase in ("test", "predict")}
    return clock, last.get("train", (-1, -1))[1], passes
