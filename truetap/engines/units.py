"""Units of work: rows of the data that are collected together, or not at all.

Which rows are in which unit follows from the data, the batch size and nothing else, not from the
machines that do the work: a unit's number means the same in every attempt. A unit holds whole
batches, and a batch never holds rows of two files, so the batches are those of a single process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from truetap.errors import DataError

__all__ = ["MOST_UNITS", "Part", "Task", "Unit", "cut"]

MOST_UNITS = 100_000  # of one run: the store numbers their folders with five digits
_BYTES = 16 << 20  # of input in a unit, about: what is lost with a worker, and what waits in memory
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class Part:
    """A file, or arrays, as far as it matters for cutting.

    Attributes:
        path: The file; "" for arrays in memory.
        rows: Its rows.
        nbytes: What they take in memory, about.
        whole: Whether it can only be read as a whole, so that it becomes one unit.
        ends: Where its row groups end, if it has any: a group is decoded from its beginning.
    """

    path: str
    rows: int
    nbytes: int
    whole: bool = False
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """Some rows of one part.

    Attributes:
        number: Its place among all units.
        part: Index of its part.
        start: Its first row in the part.
        stop: The row after its last one.
        first_row: Rows of all units before it.
        first_step: Batches of all units before it.
    """

    number: int
    part: int
    start: int
    stop: int
    first_row: int
    first_step: int

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Task:
    """One unit, as far as a worker has to know it.

    Attributes:
        number: Its number.
        first_step: Batches of all units before it.
    """

    number: int
    first_step: int


def cut(
    parts: Sequence[Part], batch_size: int, *, unit_rows: int | None = None, steps: int | None = None
) -> tuple[Unit, ...]:
    """The units of some data.

    Args:
        parts: The files, in order.
        batch_size: Rows per batch.
        unit_rows: Rows of a unit, rounded up to whole batches; by default so many that they take some
            16 MB, and at most 8,192, but always few enough units.
        steps: Batches in all; by default those that there are.

    Raises:
        DataError: There are more units than a run can hold.

    Example:
        >>> [unit.rows for unit in cut([Part("a", 70, 0), Part("b", 10, 0)], 32, unit_rows=40)]
        [64, 6, 10]
    """
    size = _rows_of_a_unit(parts, batch_size, unit_rows)
    left = None if steps is None else steps
    units: list[Unit] = []
    first_row = first_step = 0
    for index, part in enumerate(parts):
        rows = part.rows if left is None else min(part.rows, left * batch_size)
        for start in range(0, rows, max(rows, 1) if part.whole else size):
            stop = rows if part.whole else min(start + size, rows)
            units.append(Unit(len(units), index, start, stop, first_row, first_step))
            first_row += stop - start
            first_step += -(-(stop - start) // batch_size)
        if left is not None:
            left -= -(-rows // batch_size)
    if len(units) > MOST_UNITS:
        raise DataError(
            f"The data make {len(units):,} units of work. Expected: at most {MOST_UNITS:,} for one run; "
            + ("a larger unit_rows." if unit_rows else "fewer, larger files; or several runs.")
        )
    return tuple(units)


def _rows_of_a_unit(parts: Sequence[Part], batch_size: int, unit_rows: int | None) -> int:
    rows = sum(part.rows for part in parts)
    wanted = unit_rows
    if wanted is None:
        row_bytes = max(1, sum(part.nbytes for part in parts) // max(rows, 1))
        divisible = max(1, MOST_UNITS - len(parts))  # every file may end with a shorter unit
        wanted = max(min(_ROWS, _BYTES // row_bytes), -(-rows // divisible))
    return -(-max(1, wanted) // batch_size) * batch_size
