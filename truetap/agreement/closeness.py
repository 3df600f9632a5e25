"""When two numbers of two steps count as the same.

Two correct steps differ by rounding: one is compiled, the other not, and sums are taken in another
order. The limits are relative, by the narrowest dtype that the model computes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Tolerance", "norm", "ratio", "tolerance_of"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Relative limits.

    Attributes:
        loss: Of a loss.
        gradient: Of the norm of the difference of two gradients, or of two changes of a variable.
    """

    loss: float
    gradient: float

    def same_loss(self, one: float, other: float) -> bool:
        """Whether two losses are the same."""
        return abs(one - other) <= self.loss * max(abs(one), abs(other)) + 1e-9

    def same(self, one: Array, other: Array, floor: float = 0.0) -> bool:
        """Whether two gradients or changes are; `floor` is the norm of what is only rounding."""
        return norm(one - other) <= self.gradient * max(norm(one), norm(other)) + floor


_BY_DTYPE = {"float16": Tolerance(5e-3, 5e-2), "bfloat16": Tolerance(3e-2, 2e-1)}
_FULL = Tolerance(1e-5, 1e-3)


def tolerance_of(model: Any) -> Tolerance:
    """The limits for a model: 1e-5 and 1e-3 in float32; 5e-3 and 5e-2 in float16; 3e-2 and 2e-1 in bfloat16."""
    dtypes = {model.compute_dtype, *(layer.compute_dtype for layer in model.layers)}
    return max((_BY_DTYPE.get(dtype, _FULL) for dtype in dtypes), key=lambda each: each.loss)


def norm(values: Array) -> float:
    """The Euclidean norm over all elements."""
    return float(np.sqrt(np.sum(np.square(values))))


def ratio(values: Sequence[Array], base: Sequence[Array]) -> float | None:
    """The number c for which c times `base` is nearest to `values`; None if `base` is 0."""
    below = sum(float(np.sum(np.square(each))) for each in base)
    if below == 0.0:
        return None
    return sum(float(np.sum(one * other)) for one, other in zip(values, base, strict=True)) / below
