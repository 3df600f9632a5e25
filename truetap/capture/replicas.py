"""Values of one step that several replicas of a strategy computed, each from rows of its own.

They leave the step side by side and are put together in the writer's thread: gathering them inside the step
would cost traffic between the devices. Rows lie one behind the other in the order of the replicas, states of
reducers are merged by their reducers, and what a gradient is summed up to is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.capture.plan import Plan
from truetap.columns import concatenate

__all__ = ["ROWS", "Shards", "by_replica", "joined"]

Array = npt.NDArray[Any]

ROWS = "rows"  # how many samples a replica had, beside its other values


@dataclass(frozen=True)
class Shards:
    """One value as the replicas have it, in their order, still on their devices."""

    parts: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """That of all rows together."""
        first = tuple(map(int, self.parts[0].shape))
        return (sum(int(part.shape[0]) for part in self.parts), *first[1:]) if first else ()

    @property
    def dtype(self) -> Any:
        """That of the first."""
        return self.parts[0].dtype


def by_replica(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The values of each replica alone; of a step without replicas all of them."""
    replicas = max((len(value.parts) for value in values.values() if isinstance(value, Shards)), default=0)
    if not replicas:
        return [dict(values)]
    return [{name: value.parts[number] for name, value in values.items()} for number in range(replicas)]


def joined(parts: Sequence[Mapping[str, Any]], plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """One step's values, of those of its replicas.

    Args:
        parts: The values of each replica by name, on the host (see `truetap.capture.extras`); those that were
            packed are taken apart, but for states of reducers.
        plan: The taps.
        say: Is told what can't be put together.

    Returns:
        The values of the whole batch. The loss is the mean of the replicas' losses, weighted by their samples, as
        Keras weighs it over an epoch; what Keras logs ("running/…") is its plain mean, as Keras has it. States of
        reducers lie in a row for each replica.
    """
    kinds = {each.place: each for each in plan.taps}
    sizes = [_size(part) for part in parts]
    whole: dict[str, Any] = {}
    for name, first in parts[0].items():
        several = [part[name] for part in parts]
        form, colon, rest = name.partition(":")
        if name == ROWS:
            continue
        if form == "states" and colon:
            whole[name] = np.stack(several)
        elif form == "raw" and colon:
            place, _, key = rest.partition(":")
            each = kinds[int(place)]
            if each.tap.kind == "gradients":
                whole[name] = first
            elif [len(value) if value.ndim else -1 for value in several] == [
                min(size, each.tap.samples or size) for size in sizes
            ]:
                whole[name] = concatenate(several)[: each.tap.samples]
            else:
                say(
                    f"{key!r} ({each.tap.kind}) has no row per sample, and each replica has a value of its own: it was "
                    "not recorded. Expected: one row per sample, or reduce='mean'."
                )
        elif np.ndim(first) and not name.startswith("running/"):
            whole[name] = concatenate(several)
        else:
            whole[name] = _scalar(name, several, sizes)
    return whole


def _scalar(name: str, several: Sequence[Any], sizes: Sequence[int]) -> Any:
    if name == "skipped":
        return np.any(several)
    weights = None if name.startswith("running/") or not any(sizes) else sizes
    return np.average(several, axis=0, weights=weights)


def _size(part: Mapping[str, Any]) -> int:
    if ROWS in part:
        return int(part[ROWS])
    return max((len(value) for value in part.values() if np.ndim(value)), default=0)
