"""Which rows are in which unit, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from truetap.engines.units import MOST_UNITS, Part, cut
from truetap.errors import DataError


def test_units_hold_whole_batches_and_rows_of_one_file() -> None:
    units = cut([Part("a", 70, 0), Part("b", 0, 0), Part("c", 33, 0)], 8, unit_rows=20)  # 24 rows, rounded up
    assert [(unit.part, unit.start, unit.stop) for unit in units] == [
        (0, 0, 24),
        (0, 24, 48),
        (0, 48, 70),
        (2, 0, 24),
        (2, 24, 33),
    ]
    assert [unit.number for unit in units] == [0, 1, 2, 3, 4]
    assert [unit.first_row for unit in units] == [0, 24, 48, 70, 94]
    assert [unit.first_step for unit in units] == [0, 3, 6, 9, 12]  # 70 rows are 9 batches, the last of 6


def test_every_row_is_in_one_unit_whatever_the_sizes() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        parts = [Part(str(index), int(rng.integers(0, 300)), 0) for index in range(rng.integers(1, 6))]
        size, rows = int(rng.integers(1, 40)), int(rng.integers(1, 120))
        units = cut(parts, size, unit_rows=rows)
        seen = [(unit.part, row) for unit in units for row in range(unit.start, unit.stop)]
        assert seen == [(index, row) for index, part in enumerate(parts) for row in range(part.rows)]
        assert all(unit.start % size == 0 for unit in units)
        assert [unit.first_row for unit in units] == [0, *np.cumsum([unit.rows for unit in units])[:-1].tolist()][
            : len(units)
        ]


def test_steps_cut_the_data_off() -> None:
    units = cut([Part("a", 20, 0), Part("b", 100, 0)], 8, unit_rows=16, steps=5)  # 3 batches of a, 2 of b
    assert [(unit.part, unit.start, unit.stop) for unit in units] == [(0, 0, 16), (0, 16, 20), (1, 0, 16)]


def test_a_part_that_is_read_whole_is_one_unit() -> None:
    assert [unit.rows for unit in cut([Part("a", 100, 0, whole=True), Part("b", 7, 0, whole=True)], 8)] == [100, 7]


def test_by_default_units_are_of_16_megabytes_and_few_enough() -> None:
    of_images = cut([Part("a", 100_000, 100_000 * 4096)], 32)
    assert of_images[0].rows == 4096
    of_numbers = cut([Part("a", 100_000, 100_000 * 8)], 32)
    assert of_numbers[0].rows == 8192
    huge = cut([Part("a", 10**9, 10**9 * 4096)], 32)
    assert len(huge) <= MOST_UNITS
    assert huge[-1].stop == 10**9


def test_too_many_units_are_refused() -> None:
    with pytest.raises(DataError, match=r"make 100,001 units of work. Expected: at most 100,000 .* larger unit_rows"):
        cut([Part("a", 100_001, 0)], 1, unit_rows=1)
