"""JAX: a step that several processes run together, on arrays of which each has a part.

What has a row for each sample is laid out like the batch, so that each process has the rows of its own samples; all
else is the same everywhere. Nothing is sent for it that the step wouldn't send. With one process none of this is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import keras
import numpy as np

from truetap.backends.jax_in_step import spread
from truetap.capture.plan import Plan
from truetap.errors import ModelError
from truetap.structure import leaves

__all__ = ["check_processes", "laid_out", "own_parts"]


def check_processes(phase: str) -> None:
    """Refuses what several processes can't record.

    Raises:
        ModelError: See the text.
    """
    if not spread():
        return
    distribution = keras.distribution.distribution()
    if not isinstance(distribution, keras.distribution.DataParallel):
        raise ModelError(
            f"Over several processes data-parallel training is recorded. Received: {type(distribution).__name__}, "
            "under which a process may have no whole sample. Expected: keras.distribution.DataParallel."
        )
    if phase == "predict":
        raise ModelError(
            "Keras 3.15 can't predict over several processes: it asks for rows of the others. Received: predict with "
            f"{jax.process_count()} processes. Expected: evaluate; or predict in a process of its own."
        )


def laid_out(extras: Mapping[str, Any], x: Any, plan: Plan) -> dict[str, Any]:
    """Extras inside the step, as the processes shall have them.

    Args:
        extras: By name, see `truetap.capture.extras`.
        x: The inputs of the batch of all processes.
        plan: The taps.
    """
    distribution = keras.distribution.distribution()
    rows = next(leaf.shape[0] for leaf in leaves(x) if leaf is not None)
    same = jax.sharding.NamedSharding(distribution.device_mesh.backend_mesh, jax.sharding.PartitionSpec())
    kinds = {str(each.place): each.tap.kind for each in plan.taps}

    def layout(name: str, value: Any) -> Any:
        form, colon, rest = name.partition(":")
        of_step = colon and (form in ("states", "scalars") or kinds.get(rest.partition(":")[0]) == "gradients")
        if of_step or not value.shape or value.shape[0] != rows:
            return same
        return distribution.get_data_layout(value.shape).backend_layout

    return {name: jax.lax.with_sharding_constraint(value, layout(name, value)) for name, value in extras.items()}


class _Part:
    """What this process has of an array, as one array."""

    def __init__(self, array: jax.Array) -> None:
        found = {_first_row(shard.index): shard.data for shard in array.addressable_shards}  # copies count once
        self._data = [data for _, data in sorted(found.items(), key=lambda pair: pair[0])]
        self.dtype = array.dtype
        first = self._data[0].shape
        self.shape = (sum(data.shape[0] for data in self._data), *first[1:]) if first else ()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        parts = [np.asarray(data) for data in self._data]
        return np.asarray(np.concatenate(parts) if self.shape else parts[0], dtype)


def own_parts(extras: Mapping[str, Any]) -> dict[str, Any]:
    """Extras after the step: of what is spread over processes, the part of this one."""
    return {name: value if value.is_fully_addressable else _Part(value) for name, value in extras.items()}


def _first_row(index: tuple[slice, ...]) -> int:
    return (index[0].start or 0) if index else 0
