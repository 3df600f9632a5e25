"""What recording has cost, from the table `overhead` that the recorder keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from truetap.notebook.objects import overhead_html

__all__ = ["OverheadSummary"]


@dataclass(frozen=True)
class OverheadSummary:
    """Sums over all epochs and phases.

    Attributes:
        steps: Steps that were recorded.
        rows: Rows written.
        bytes: Their size.
        seconds_in_training_thread: What the training itself waited or worked for the recorder.
        seconds_in_writer: Work of the writer's thread, beside the training.
        seconds_waiting: How long the training was held by a full queue.
        dropped: Batches that were not recorded since the queue was full.
        queue_peak_bytes: The most that waited for the writer at once.
        table: A row an epoch and phase.
    """

    steps: int
    rows: int
    bytes: int
    seconds_in_training_thread: float
    seconds_in_writer: float
    seconds_waiting: float
    dropped: int
    queue_peak_bytes: int
    table: pa.Table = field(repr=False, compare=False)

    @classmethod
    def of(cls, table: pa.Table) -> OverheadSummary:
        """From the table as it was recorded; columns that it lacks count as 0."""

        def values(name: str) -> Any:
            return table.column(name).to_numpy() if name in table.schema.names else np.zeros(1)

        peak = values("queue_peak_bytes")
        counts = {name: int(np.nansum(values(name))) for name in _COUNTS}
        seconds: dict[str, Any] = {name: float(np.nansum(values(name))) for name in _SECONDS}
        return cls(**counts, **seconds, queue_peak_bytes=int(peak.max(initial=0)), table=table)

    def __repr__(self) -> str:
        dropped = f"{self.dropped:,} batches dropped" if self.dropped else "nothing dropped"
        return (
            f"Recording: {self.rows:,} rows, {_size(self.bytes)} of {self.steps:,} steps; "
            f"{self.seconds_in_training_thread:.2f} s in the training thread ({self.seconds_waiting:.2f} s waiting for "
            f"the queue, which held {_size(self.queue_peak_bytes)} at most), {self.seconds_in_writer:.2f} s in the "
            f"writer's; {dropped}."
        )

    def _repr_html_(self) -> str:
        return overhead_html(self)


_COUNTS = ("steps", "rows", "bytes", "dropped")
_SECONDS = ("seconds_in_training_thread", "seconds_in_writer", "seconds_waiting")


def _size(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
