"""Numbers in findings, and when two of them count as the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["distributions", "probabilities", "same", "shown"]

Array = npt.NDArray[Any]


def shown(value: float) -> str:
    """A number in a sentence."""
    return f"{value:.4g}"


def same(one: Any, other: Any, tolerance: float = 1e-3) -> bool:
    """Whether two results agree up to what float32 and another order of summing leave, NaN being equal to NaN."""
    first, second = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if first.shape != second.shape:
        return False
    scale = max(float(np.max(np.abs(first), initial=0.0, where=np.isfinite(first))), 1e-6)
    return bool(np.allclose(first, second, rtol=tolerance, atol=1e-5 * scale, equal_nan=True))


def probabilities(values: Array) -> bool:
    """Whether values lie between 0 and 1, as behind a sigmoid or a softmax."""
    return bool(values.min() >= 0 and values.max() <= 1)


def distributions(values: Array) -> bool:
    """Whether the last axis sums to 1, as behind a softmax."""
    return values.shape[-1] > 1 and probabilities(values) and bool(np.allclose(values.sum(axis=-1), 1, atol=1e-3))
