"""Where a run stands: from its rows, so that one left by a killed process goes on rightly too.

Each table is committed by itself, so a killed process may have left one a few steps ahead of the others. Cost: the
scalars, one row a step, are read; of the other tables the columns of those rows that the last process left in Arrow.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from truetap.capture.feed import Clock
from truetap.store import RunReader

__all__ = ["clock_of"]

_KEYS = ("phase", "epoch", "step")


def clock_of(reader: RunReader, worker: int = 0) -> tuple[Clock, int]:
    """The clock of a run's worker, and its last trained epoch (-1 for none)."""
    last: dict[str, tuple[int, int]] = {}
    for table in reader.tables:
        batches = reader.batches(table, worker=worker) if table == "scalars" else reader.arrow(table, worker=worker)
        if all(set(_KEYS) <= set(schema.names) for schema in batches.schemas()):
            _look(batches.select(_KEYS), last)
    trained = last.get("train", (-1, -1))[1]
    clock = Clock(epoch=max(trained, 0), steps={phase: step + 1 for phase, (step, _) in last.items()})
    clock.passes = {phase: last[phase][1] + 1 for phase in ("test", "predict") if phase in last}
    return clock, trained


def _look(batches: Iterable[pa.RecordBatch], last: dict[str, tuple[int, int]]) -> None:
    """Raises the last step and epoch of each phase to those of some rows."""
    for batch in batches:
        for phase in pc.unique(batch.column("phase")).to_pylist():
            rows = batch.filter(pc.equal(batch.column("phase"), phase))
            step, epoch = (pc.max(rows.column(name)).as_py() for name in ("step", "epoch"))
            before = last.get(phase, (-1, -1))
            last[phase] = (max(before[0], -1 if step is None else step), max(before[1], -1 if epoch is None else epoch))
