"""Rows as a recorder gives them, which follow from their step; and how they are found again."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from truetap import columns
from truetap.store import RunReader

from .helpers import Array

BATCH = 8
STEPS_PER_EPOCH = 5


def part(step: int) -> tuple[str, int]:
    return "train", step // STEPS_PER_EPOCH


def sample_rows(step: int, size: int = BATCH) -> dict[str, Array]:
    """Columns of the samples of one step; the samples of an epoch come in another order each time."""
    phase, epoch = part(step)
    rng = np.random.default_rng(step)
    order = np.random.default_rng(epoch).permutation(STEPS_PER_EPOCH * size)
    batch = step % STEPS_PER_EPOCH
    ids = (order[batch * size : (batch + 1) * size] * 7919) - 10**6
    return {
        "phase": np.full(size, phase, object),
        "epoch": np.full(size, epoch, np.int32),
        "step": np.full(size, step, np.int64),
        "batch": np.full(size, batch, np.int32),
        "position": np.arange(size, dtype=np.int32),
        "sample_id": ids,
        "fingerprint": -ids,
        "y_true": ids % 3,
        "y_pred": rng.standard_normal((size, 2, 3)).astype(np.float32),
        "loss": rng.random(size, np.float32),
    }


def sample_batch(step: int, size: int = BATCH) -> pa.RecordBatch:
    return columns.record_batch(sample_rows(step, size).items())


def expected(steps: Iterable[int], size: int = BATCH) -> dict[str, Array]:
    parts = [sample_rows(step, size) for step in steps]
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def read(batches: Iterable[pa.RecordBatch]) -> dict[str, Array]:
    """Columns end to end."""
    found = list(batches)
    return {name: np.concatenate([columns.decode(one.column(name)) for one in found]) for name in found[0].schema.names}


def assert_rows(reader: RunReader, steps: Iterable[int], table: str = "samples", **options: Any) -> None:
    """The table holds the rows of these steps, each once, in this order, as they were given."""
    wanted = expected(steps)
    found = read(reader.batches(table, **options))
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        assert found[name].dtype == values.dtype, name
        np.testing.assert_array_equal(found[name], values, err_msg=name)
