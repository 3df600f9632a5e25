"""All reducers of all tensors of a tap, inside the step and back on the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from truetap.errors import TapError
from truetap.reducers.base import Axis, Reducer, State, on_host

__all__ = ["SEPARATOR", "reduce_all", "states"]

SEPARATOR = "\x1f"  # ASCII's unit separator: in no path, and no reducer's name


def reduce_all(named: Mapping[str, Any], reducers: Sequence[Reducer], axis: Axis) -> dict[str, Any]:
    """The states of one batch by flat names, for `states` on the host.

    Called inside the step, such as by `Backend.conditional`. Values are made float32 and cut off from
    gradients here.

    Args:
        named: Tensors by path: floats, integers or bools, of shape (n, ...).
        reducers: What `resolve` gave.
        axis: None: over all elements; 0: for each feature, over the first axis.

    Raises:
        TapError: A complex tensor, or a scalar with axis=0.
    """
    flat = {}
    for path, tensor in named.items():
        values = _as_float(path, tensor, axis)
        for reducer in reducers:
            for key, part in reducer.compute(values, axis).items():
                flat[SEPARATOR.join((path, reducer.name, key))] = part
    return flat


def states(flat: Mapping[str, Any]) -> dict[str, dict[str, State]]:
    """What `reduce_all` gave, on the host: states by path and by reducer's name, as float64."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, part in flat.items():
        path, reducer, key = name.split(SEPARATOR)
        found.setdefault(path, {}).setdefault(reducer, {})[key] = part
    return {path: {name: on_host(state) for name, state in of_path.items()} for path, of_path in found.items()}


def _as_float(path: str, tensor: Any, axis: Axis) -> Any:
    if "complex" in str(tensor.dtype):
        raise TapError(
            f"Complex numbers have no order and are not reduced. Received: {path!r} of dtype {tensor.dtype}. "
            "Expected: real values; record the values themselves (reduce=None) instead."
        )
    if axis == 0 and len(tensor.shape) == 0:
        raise TapError(f"axis=0 needs a first axis. Received: {path!r}, a scalar. Expected: axis=None for it.")
    return ops.cast(ops.stop_gradient(tensor), "float32")
