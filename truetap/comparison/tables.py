"""The tables of a comparison: Arrow, a row for each number, null for what isn't a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from truetap.comparison.parts import Part, Value
from truetap.tasks.labels import class_name

__all__ = ["ClassNames", "metrics_table", "per_class_table", "slices_table"]

_NUMBERS = ("here", "there", "difference", "low", "high")


@dataclass(frozen=True, slots=True)
class ClassNames:
    """Names of the classes of an output; their numbers where there are none."""

    names: Sequence[str]

    def __getitem__(self, index: int) -> str:
        return class_name(self.names, index)


def metrics_table(parts: Sequence[tuple[str, Part]]) -> pa.Table:
    """output, metric, here, there, difference (there minus here), low, high, better ("here", "there" or null)."""
    rows = [(output, name, value) for output, part in parts for name, value in part.metrics.items()]
    return pa.table(
        {
            "output": _strings([output for output, _, _ in rows]),
            "metric": _strings([name for _, name, _ in rows]),
            **_values([value for _, _, value in rows]),
            "better": _strings([value.better(name) for _, name, value in rows]),
        }
    )


def slices_table(parts: Sequence[tuple[str, str, Part]]) -> pa.Table:
    """The columns of `metrics`, with slice, count_here and count_there (rows)."""
    rows = [
        (output, part, name, value, whole) for output, part, whole in parts for name, value in whole.metrics.items()
    ]
    return pa.table(
        {
            "output": _strings([row[0] for row in rows]),
            "slice": _strings([row[1] for row in rows]),
            "count_here": pa.array([row[4].counts[0] for row in rows], pa.int64()),
            "count_there": pa.array([row[4].counts[1] for row in rows], pa.int64()),
            "metric": _strings([row[2] for row in rows]),
            **_values([row[3] for row in rows]),
            "better": _strings([value.better(name) for _, _, name, value, _ in rows]),
        }
    )


def per_class_table(parts: Sequence[tuple[str, Part, ClassNames]]) -> pa.Table:
    """output, class, name, count_here, count_there (true rows or steps), metric, and the columns of `metrics`."""
    rows = [
        (output, index, names[index], part.supports, metric, value)
        for output, part, names in parts
        for (index, metric), value in part.classes.items()
    ]
    return pa.table(
        {
            "output": _strings([row[0] for row in rows]),
            "class": pa.array([row[1] for row in rows], pa.int64()),
            "name": _strings([row[2] for row in rows]),
            "count_here": pa.array([int(row[3][0][row[1]]) for row in rows], pa.int64()),
            "count_there": pa.array([int(row[3][1][row[1]]) for row in rows], pa.int64()),
            "metric": _strings([row[4] for row in rows]),
            **_values([row[5] for row in rows]),
            "better": _strings([row[5].better(row[4]) for row in rows]),
        }
    )


def _values(values: Sequence[Value]) -> dict[str, pa.Array]:
    columns = {
        "here": [each.here for each in values],
        "there": [each.there for each in values],
        "difference": [each.difference for each in values],
        "low": [each.interval.low for each in values],
        "high": [each.interval.high for each in values],
    }
    return {name: pa.array([None if math.isnan(x) else x for x in columns[name]], pa.float64()) for name in _NUMBERS}


def _strings(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())
