"""Statistics of layers and variables, from the states that left the step; in the writer's thread.

Those over an epoch or the run are merged batch by batch: one state for each path and reducer, whatever
the number of batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.capture.plan import Chosen
from truetap.reducers.base import State, on_host

__all__ = ["Statistics"]

Array = npt.NDArray[Any]
Found = dict[tuple[str, str], Array]  # results by path and statistic


class Statistics:
    """Finishes states, or holds them until their epoch or run ends."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int, str, str], State] = {}

    def add(self, phase: str, each: Chosen, states: Mapping[tuple[str, str], State]) -> Found:
        """Results of a batch; nothing when they are over more than one."""
        reducers = {reducer.name: reducer for reducer in each.reducers}
        if each.tap.over == "batch":
            return {key: np.asarray(reducers[key[1]].result(state)) for key, state in states.items()}
        for (path, name), state in states.items():
            key = (phase, each.place, path, name)
            before = self._held.get(key)
            self._held[key] = state if before is None else reducers[name].merge(before, state)
        return {}

    def take(self, phase: str, each: Chosen) -> Found:
        """Results over what has been added; the next begins anew."""
        reducers = {reducer.name: reducer for reducer in each.reducers}
        keys = [key for key in self._held if key[:2] == (phase, each.place)]
        return {
            (path, name): np.asarray(reducers[name].result(self._held.pop((phase, place, path, name))))
            for phase, place, path, name in keys
        }

    def of_values(self, phase: str, each: Chosen, values: Mapping[str, Array]) -> Found:
        """Results for variables, whose values are on the host."""
        states: dict[tuple[str, str], State] = {}
        for path, value in values.items():
            if value.dtype.kind not in "fiub":
                continue
            tensor = ops.convert_to_tensor(value, dtype="float32")
            axis = each.tap.axis if value.ndim else None
            for reducer in each.reducers:
                states[path, reducer.name] = on_host(reducer.compute(tensor, axis))
        return self.add(phase, each, states)
