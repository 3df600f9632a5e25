"""Statistics of layers or weights over the recorded steps, ready for rules to compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["Series"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Series:
    """One kind of statistics ("gradients", …), of one phase.

    Attributes:
        values: By path, then by statistic, the number of each recorded step, float64.
        steps: By path, then by statistic, those steps.
    """

    values: Mapping[str, Mapping[str, Array]]
    steps: Mapping[str, Mapping[str, Array]]

    @classmethod
    def of(cls, run: Run | None, kind: str, phase: str) -> Series | None:
        """The reduced values of a kind, one number a step; None when there are none."""
        if run is None or kind not in run.tables:
            return None
        table = getattr(run, kind)().to_arrow()
        table = table.filter(
            pc.and_(
                pc.and_(pc.equal(table["phase"], phase), pc.equal(table["over"], "batch")), pc.is_valid(table["value"])
            )
        )
        if not table.num_rows:
            return None
        codes = {}
        for name in ("path", "statistic"):
            coded = table.column(name).combine_chunks().dictionary_encode()
            codes[name] = np.asarray(coded.indices), coded.dictionary.to_pylist()
        (paths, path_names), (statistics, statistic_names) = codes["path"], codes["statistic"]
        steps = table.column("step").to_numpy()
        numbers = table.column("value").to_numpy()
        order = np.lexsort((steps, statistics, paths))
        keys = paths[order] * len(statistic_names) + statistics[order]
        values: dict[str, dict[str, Array]] = {path: {} for path in path_names}
        at: dict[str, dict[str, Array]] = {path: {} for path in path_names}
        for part in np.split(order, np.flatnonzero(np.diff(keys)) + 1):
            path, statistic = path_names[paths[part[0]]], statistic_names[statistics[part[0]]]
            values[path][statistic] = numbers[part]
            at[path][statistic] = steps[part]
        return cls(values, at)

    @property
    def paths(self) -> tuple[str, ...]:
        """The layers or weights, in the order in which they were first recorded: of layers that of their calls."""
        return tuple(self.values)

    def of_path(self, path: str, statistic: str) -> Array:
        """One statistic of one path over the steps; empty where it wasn't recorded."""
        return np.asarray(self.values.get(path, {}).get(statistic, ()), np.float64)

    def size(self, path: str) -> Array:
        """The root mean square of a path's values over the steps, of their mean and deviation; empty without these."""
        mean, deviation = self.of_path(path, "mean"), self.of_path(path, "std")
        return np.hypot(mean, deviation) if len(mean) == len(deviation) else mean[:0]

    def each(self, statistic: str) -> dict[str, Array]:
        """One statistic of every path that has it."""
        return {path: found[statistic] for path, found in self.values.items() if statistic in found}

    def first(self, statistic: str) -> dict[str, float]:
        """Its value at the first recorded step, of every path that has it."""
        return {path: float(found[0]) for path, found in self.each(statistic).items()}

    def last(self, statistic: str) -> dict[str, float]:
        """Its value at the last recorded step."""
        return {path: float(found[-1]) for path, found in self.each(statistic).items()}

    def median(self, statistic: str) -> dict[str, float]:
        """Its median over the recorded steps, of finite values."""
        found = {path: values[np.isfinite(values)] for path, values in self.each(statistic).items()}
        return {path: float(np.median(values)) for path, values in found.items() if len(values)}
