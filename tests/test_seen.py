"""What a pass saw: wrap-around, repeated batches, duplicates and missing ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from truetap.seen import Seen, look


def seen(rows: list[int], batch: int = 4, **known: Any) -> Seen:
    prints = np.asarray(rows, np.int64) * 1000 + 7
    return look(np.asarray(rows), prints, np.arange(len(rows)) // batch, **known)


def test_a_clean_pass() -> None:
    found = seen(list(range(10)), expected=10, expected_steps=3)
    assert (found.samples, found.steps, found.unique, found.wrapped_at) == (10, 3, 10, None)
    assert len(found.duplicates) == 0
    assert str(found) == "10 of 10 samples; 3 of 3 batches; 10 different ids, 0 of them more than once"


def test_wrap_around_at_any_row_even_inside_a_batch() -> None:
    assert seen([*range(10), 0, 1]).wrapped_at == 10
    assert seen([*range(10), *range(10), 0]).wrapped_at == 10
    assert seen([*range(8), *range(8)]).repeated_steps == ((2, 0), (3, 1))


def test_an_identical_input_is_no_wrap_around() -> None:
    found = seen([0, 1, 2, 0, 3, 4])
    assert found.wrapped_at is None
    assert found.duplicates.tolist() == [0]


def test_missing_ids() -> None:
    found = seen([0, 1, 4], expected_ids=np.arange(6))
    assert found.missing is not None
    assert found.missing.tolist() == [2, 3, 5]
    assert found.expected == 6


def test_constant_inputs_are_no_wrap_around() -> None:
    assert look(np.arange(6), np.zeros(6, np.int64), np.arange(6)).wrapped_at is None
