"""Reducers by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from truetap.errors import TapError, near_names
from truetap.reducers.base import Reducer
from truetap.reducers.extremes import Max, Min
from truetap.reducers.histogram import Histogram
from truetap.reducers.moments import Mean, Std
from truetap.reducers.norms import L1, L2
from truetap.reducers.quantiles import Quantiles
from truetap.reducers.shares import NonFinite, Zeros
from truetap.reducers.units import Dead, NearOne, NearZero, Twins

__all__ = ["resolve"]

_BY_NAME: dict[str, Callable[[], Reducer]] = {
    "mean": Mean,
    "std": Std,
    "min": Min,
    "max": Max,
    "l1": L1,
    "l2": L2,
    "norm": lambda: L2("norm"),
    "zeros": Zeros,
    "nonfinite": NonFinite,
    "near_one": NearOne,
    "near_zero": NearZero,
    "dead": Dead,
    "twins": Twins,
    "histogram": Histogram,
    "quantiles": Quantiles,
}


def listed(spec: Any) -> list[Any]:
    """What a tap is given as `reduce=`, one or several, as a list."""
    return list(spec) if isinstance(spec, list | tuple) else [spec]


def resolve(spec: Any) -> tuple[Reducer, ...]:
    """Reducers as a tap is given them.

    Args:
        spec: A name, a `Reducer`, or a list of these.

    Raises:
        TapError: A name that there is not, something that is no reducer, or two of one name.

    Example:
        >>> [each.name for each in resolve(["mean", Quantiles([0.5])])]
        ['mean', 'quantiles']
    """
    found = tuple(map(_one, listed(spec)))
    names = [each.name for each in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TapError(
            f"Reducers of one tap need names of their own. Received: {twice[0]!r} {names.count(twice[0])} times. "
            "Expected: such as Quantiles([0.5], name='median')."
        )
    if not found:
        raise TapError("reduce=[] names no reducer. Expected: at least one, or None for the values themselves.")
    return found


def _one(spec: Any) -> Reducer:
    if isinstance(spec, Reducer):
        if not spec.name or "\x1f" in spec.name:
            raise TapError(
                f"A reducer needs a name, as its attribute. Received: {type(spec).__name__}.name={spec.name!r}."
            )
        return spec
    if isinstance(spec, type) and issubclass(spec, Reducer):
        return _one(spec())
    if not isinstance(spec, str):
        raise TapError(
            f"A reducer is a name or a truetap.reducers.Reducer. Received: {spec!r}. Expected: such as 'mean', or an "
            "object with compute(values, axis) and result(state)."
        )
    if spec not in _BY_NAME:
        raise TapError(f"There is no reducer {spec!r}. {near_names(spec, _BY_NAME)}")
    return _BY_NAME[spec]()
