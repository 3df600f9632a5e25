"""TensorBoard's event files, written with its own messages and record format, without TensorFlow.

Values are 32-bit floats, as TensorBoard has them: NaN and infinities stay, larger numbers become infinite. Written by
`tensorboard` itself rather than by tensorboardX: whoever wants to look has it, for this it loads neither TensorFlow nor
a server (0.2 s), and histograms keep the bins in which they were recorded.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from truetap.exporting.distributions import Histogram
from truetap.exporting.series import Curve

__all__ = ["EventFile"]


class EventFile(contextlib.AbstractContextManager["EventFile", None]):
    """One event file.

    Args:
        folder: Its folder: a run of TensorBoard.
        time: The wall time of all its events, in seconds since 1970.
    """

    def __init__(self, folder: Path, time: float) -> None:
        folder.mkdir(parents=True)
        self._time = time
        self._writer = RecordWriter((folder / f"events.out.tfevents.{int(time):010d}.truetap").open("wb"))
        self._put(Event(file_version="brain.Event:2"))

    def add_curve(self, tag: str, curve: Curve) -> None:
        """A scalar for each point."""
        for at, value in zip(curve.at.tolist(), curve.values.astype(np.float32).tolist(), strict=True):
            self._put(Event(step=at, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)])))

    def add_histogram(self, tag: str, found: Histogram) -> None:
        """A histogram at its step."""
        counts, edges = found.counts, found.edges
        middles = (edges[1:] + edges[:-1]) / 2
        guessed = (float(counts.sum()), float(counts @ middles), float(counts @ middles**2))
        number, total, squares = found.moments or guessed
        # the bins of this message have right edges alone: an empty one ends where the first begins
        proto = HistogramProto(
            min=edges[0],
            max=edges[-1],
            num=number,
            sum=total,
            sum_squares=squares,
            bucket_limit=edges.tolist(),
            bucket=[0.0, *counts.tolist()],
        )
        self._put(Event(step=found.step, summary=Summary(value=[Summary.Value(tag=tag, histo=proto)])))

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def _put(self, event: Event) -> None:
        event.wall_time = self._time
        self._writer.write(event.SerializeToString())
