"""Numbers over time, for tools that draw them: a value a step, or an epoch.

What wasn't recorded has no point; NaN and infinities that were recorded have one. A run says when it began, not when
each step was: every point has that time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap.exporting.chosen import Chosen

__all__ = ["Curve", "begun", "by_epoch", "by_step"]

Array = npt.NDArray[Any]

_KEYS = ("phase", "epoch", "step", "batch", "samples")


@dataclass(frozen=True)
class Curve:
    """Numbers of one name.

    Attributes:
        phase: The phase that they are of.
        name: "loss", "learning_rate", "running/accuracy"; of an epoch as Keras' logs have it, "val_loss" included.
        at: The steps, counted over the run within the phase, or the epochs; int64 (n,).
        values: float64 (n,).
    """

    phase: str
    name: str
    at: Array
    values: Array


def begun(chosen: Chosen) -> float:
    """When the run began, in seconds since 1970."""
    return datetime.fromisoformat(chosen.moment.reader.created).timestamp()


def by_step(chosen: Chosen) -> Iterator[Curve]:
    """What each step measured: its own loss, learning rate, Keras' running means, in the order of the steps."""
    whole = chosen.whole("scalars")
    if whole is None:
        return
    for phase in pc.unique(whole.column("phase")).to_pylist():
        rows = whole.filter(pc.equal(whole.column("phase"), phase)).sort_by("step")
        for name in rows.schema.names:
            if name not in _KEYS:
                known = rows.filter(pc.is_valid(rows.column(name)))
                if known.num_rows:
                    yield Curve(phase, name, _numbers(known, "step", np.int64), _numbers(known, name, np.float64))


def by_epoch(chosen: Chosen) -> Iterator[Curve]:
    """What Keras said at the end of each epoch."""
    whole = chosen.whole("epochs")
    if whole is None:
        return
    pairs = zip(whole.column("phase").to_pylist(), whole.column("name").to_pylist(), strict=True)
    for phase, name in dict.fromkeys(pairs):
        chosen_rows = pc.and_(pc.equal(whole.column("phase"), phase), pc.equal(whole.column("name"), name))
        rows = whole.filter(pc.and_(chosen_rows, pc.is_valid(whole.column("value")))).sort_by("epoch")
        if rows.num_rows:
            yield Curve(phase, name, _numbers(rows, "epoch", np.int64), _numbers(rows, "value", np.float64))


def _numbers(rows: pa.Table, name: str, dtype: type[np.generic]) -> Array:
    column = rows.column(name)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return np.asarray(column.to_numpy()).astype(dtype)
