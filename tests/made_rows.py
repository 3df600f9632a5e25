"""What runs made by hand share: the key columns of rows, a commit of its own, softmax in NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import columns
from truetap.store import RunWriter

Array = npt.NDArray[Any]


def keys(phase: str, epoch: int, step: int, count: int, batch: int | None = None) -> dict[str, Array]:
    """The key columns of `count` rows of a step."""
    return {
        "phase": np.full(count, phase, object),
        "epoch": np.full(count, epoch, np.int32),
        "step": np.full(count, step, np.int64),
        "batch": np.full(count, step if batch is None else batch, np.int32),
    }


def put(writer: RunWriter, table: str, values: Mapping[str, Any]) -> None:
    """Rows as a commit of their own."""
    arrays = {name: each if isinstance(each, pa.Array) else np.asarray(each) for name, each in values.items()}
    writer.write(table, columns.record_batch(arrays.items()))
    writer.flush()


def softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
