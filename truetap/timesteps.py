"""Sequences as rows of single steps, without their padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.about import column
from truetap.columns import record_batch
from truetap.errors import TaskError
from truetap.rows import array

__all__ = ["flat_steps", "valid_steps"]

Array = npt.NDArray[Any]


def valid_steps(batch: pa.RecordBatch, output: str) -> Array | None:
    """Which positions of a batch are real: the mask; else weights of steps that aren't 0; else None."""
    names = batch.schema.names
    if column("mask", output) in names:
        return np.asarray(array([batch], column("mask", output)).astype(bool))
    for name in (column("sample_weight", output), "sample_weight"):
        if name in names:
            weight = array([batch], name)
            if weight.ndim > 1 and weight.shape[1:] != (1,):
                return np.asarray(weight != 0)
    return None


def flat_steps(batch: pa.RecordBatch, output: str) -> pa.RecordBatch:
    """One row per valid step: sample_id, fingerprint, step, timestep, y_true, y_pred.

    Raises:
        TaskError: The output has one prediction per sample.
    """
    y_pred = array([batch], column("y_pred", output))
    valid = valid_steps(batch, output)
    if valid is None:
        if y_pred.ndim < 3:
            raise TaskError(
                f"flat_valid is for sequences. Received: predictions of shape {y_pred.shape[1:]} per sample and no "
                "mask. Expected: a mask, weights of steps, or predictions of shape (n, T, …)."
            )
        valid = np.ones(y_pred.shape[:2], bool)
    rank = valid.ndim
    if y_pred.shape[:rank] != valid.shape:
        raise TaskError(
            f"The mask has shape {valid.shape}, the predictions {y_pred.shape}. Expected: a mask over their first "
            "axes; the output averages over the steps."
        )
    owner = np.nonzero(valid)[0]
    position = np.nonzero(valid.reshape(len(valid), -1))[1].astype(np.int32)
    kept = [name for name in ("sample_id", "fingerprint", "epoch", "step") if name in batch.schema.names]
    columns = [(name, array([batch], name)[owner]) for name in kept]
    columns.append(("timestep", position))
    truth = column("y_true", output)
    if truth in batch.schema.names:
        y_true = array([batch], truth)
        if y_true.shape[:rank] != valid.shape:
            raise TaskError(
                f"The labels have shape {y_true.shape}, the mask {valid.shape}. Expected: a label for each step."
            )
        columns.append(("y_true", y_true[valid]))
    columns.append(("y_pred", y_pred[valid]))
    return record_batch(columns)
