"""Rows that were sorted by sample are put back into the order they came in."""

from __future__ import annotations

import numpy as np
import pytest

from truetap.store.parquet_reader import in_order


@pytest.mark.parametrize(
    ("steps", "positions"),
    [
        ([], []),
        ([5], [3]),
        (np.repeat(np.arange(100, 130), 32), np.tile(np.arange(32), 30)),  # whole batches
        (np.repeat(np.arange(3), 32)[:70], np.tile(np.arange(32), 3)[:70]),  # the last one smaller
        ([0, 10**12, 2**62, -(2**62)], [0, 0, 1, 5]),  # far apart
        ([4, 4, 4, 3], [1, 0, 1, 0]),  # a place twice
        ([4, 4, 3], [-1, 0, -2]),  # damaged
        ([0, 0, 0], [0, 2**31 - 1, 7]),
    ],
)
def test_it_is_the_order_of_steps_and_positions(steps: list[int], positions: list[int]) -> None:
    rng = np.random.default_rng(0)
    mixed = rng.permutation(len(steps))
    one, other = np.asarray(steps, np.int64)[mixed], np.asarray(positions, np.int32)[mixed]
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    found = in_order(one, other).tolist()
    assert sorted(found) == list(range(len(steps)))
    assert [pairs[row] for row in found] == sorted(pairs)
