"""What an initializer draws, and whether weights are still what it drew."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

__all__ = ["Drawn", "constant", "drawn", "still_as_drawn"]

_OF_TRUNCATED = 0.87962566  # the deviation of a normal distribution that is cut at two deviations
_SURE = 5.0  # standard errors: one layer in 1.7 million
_FEWEST = 16


@dataclass(frozen=True)
class Drawn:
    """The mean and standard deviation of what is drawn."""

    mean: float
    std: float


def constant(initializer: str | None) -> bool:
    """Whether an initializer, as the facts have it, gives all weights of a layer the same value."""
    return initializer is not None and initializer.partition("(")[0] in ("Zeros", "Ones", "Constant")


def drawn(initializer: str | None, shape: tuple[int, ...]) -> Drawn | None:
    """What an initializer draws for a kernel; None of one that isn't Keras', or draws nothing.

    Args:
        initializer: As the facts have it, such as "RandomNormal(mean=0, stddev=1)".
        shape: The kernel's.
    """
    if initializer is None or len(shape) < 2:
        return None
    name, _, rest = initializer.partition("(")
    given = {key: float(value) for key, value in re.findall(r"(\w+)=([-+\w.]+)", rest)}
    field = int(np.prod(shape[:-2]))
    ins, outs = shape[-2] * field, shape[-1] * field
    spread = {
        "GlorotUniform": 2 / (ins + outs),
        "GlorotNormal": 2 / (ins + outs),
        "HeUniform": 2 / ins,
        "HeNormal": 2 / ins,
        "LecunUniform": 1 / ins,
        "LecunNormal": 1 / ins,
    }
    if name in spread:
        return Drawn(0.0, float(np.sqrt(spread[name])))
    if name == "RandomNormal":
        return Drawn(given.get("mean", 0.0), given.get("stddev", 0.05))
    if name == "TruncatedNormal":
        return Drawn(given.get("mean", 0.0), given.get("stddev", 0.05) * _OF_TRUNCATED)
    if name == "RandomUniform":
        low, high = given.get("minval", -0.05), given.get("maxval", 0.05)
        return Drawn((low + high) / 2, (high - low) / np.sqrt(12))
    return None


def still_as_drawn(expected: Drawn, mean: float, std: float, size: int) -> bool | None:
    """Whether the mean and deviation of a layer's weights are those of its initializer, within the errors of a draw.

    The error of a mean of n values is std / sqrt(n), that of a deviation of a normal distribution std / sqrt(2 n), of
    a uniform one less. None of so few weights that it can't be told.
    """
    if size < _FEWEST or expected.std <= 0:
        return None
    near = abs(mean - expected.mean) <= _SURE * expected.std / np.sqrt(size)
    return bool(near and abs(std / expected.std - 1) <= _SURE / np.sqrt(2 * size))
