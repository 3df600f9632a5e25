"""`run.hardest`: the samples that a training had most trouble with, whatever the task."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from truetap.dynamics.subject import Subject
from truetap.dynamics.table import OfLosses, dynamics, summed_up
from truetap.dynamics.visits import Stream
from truetap.errors import StoreError, TaskError, near_names

__all__ = ["hardest"]

_OF_LOSS = ("mean_loss", "last_loss")
_LOW_IS_HARD = ("confidence", "correctness", "aum")


def hardest(subject: Subject, count: int, by: str) -> pa.Table:
    """The samples that are hardest by one column, hardest first; see `Run.hardest`.

    Raises:
        StoreError: There is no such column.
        TaskError: No loss of each sample was recorded; or, of other columns, see `dynamics`.
    """
    if by in _OF_LOSS:
        if "loss" not in subject.columns:
            raise TaskError(
                f"No loss of single samples is recorded in phase {subject.phase!r}. Received: by={by!r}, columns "
                f"{subject.columns}. Expected: by= another column of run.dynamics()."
            )
        table = summed_up(Stream(subject.samples, None), [OfLosses()])
    else:
        table = dynamics(subject)
    numbers = [field.name for field in table.schema if not pa.types.is_string(field.type) and field.name != "sample_id"]
    if by not in numbers:
        raise StoreError(f"Samples can't be ranked by that. Received: by={by!r}. {near_names(by, numbers)}")
    values = table.column(by).to_numpy().astype(np.float64)
    if by == "mean_residual":
        values = np.abs(values)
    trouble = -values if by in _LOW_IS_HARD else values
    trouble[np.isnan(trouble)] = np.inf  # never learned, or a loss that is no number
    return table.take(pa.array(np.argsort(-trouble, kind="stable")[: max(0, count)]))
