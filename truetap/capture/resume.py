"""Where a run stands: from its rows, so that one left by a killed process goes on rightly too."""

from __future__ import annotations

import pyarrow.compute as pc

from truetap.capture.feed import Clock
from truetap.store import RunReader

__all__ = ["clock_of"]


def clock_of(reader: RunReader, worker: int = 0) -> tuple[Clock, int]:
    """The clock of a run's worker, and its last trained epoch (-1 for none)."""
    last: dict[str, tuple[int, int]] = {}
    if "scalars" in reader.tables:
        for batch in reader.batches("scalars", worker=worker):
            for phase in pc.unique(batch.column("phase")).to_pylist():
                rows = batch.filter(pc.equal(batch.column("phase"), phase))
                step, epoch = (int(pc.max(rows.column(name)).as_py()) for name in ("step", "epoch"))
                before = last.get(phase, (-1, -1))
                last[phase] = (max(before[0], step), max(before[1], epoch))
    trained = last.get("train", (-1, -1))[1]
    clock = Clock(epoch=max(trained, 0), steps={phase: step + 1 for phase, (step, _) in last.items()})
    clock.passes = {phase: last[phase][1] + 1 for phase in ("test", "predict") if phase in last}
    return clock, trained
