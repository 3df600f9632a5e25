"""Pieces of a compiled step that the three backends share: coefficients, folding and leaves of a fingerprint.

Everything here runs under a trace, on int32 with wrap-around, and gives the bits that
`truetap.fingerprint` gives on the host. Coefficients are constants up to `CONSTANT_LIMIT` values a
sample (8 bytes for each, once per compiled step); beyond, or when the size isn't known while tracing, the
step computes them from their index: up to 1.3 times the time under XLA.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from truetap.fingerprint import coefficients
from truetap.structure import flatten

__all__ = [
    "CONSTANT_LIMIT",
    "WholeBatch",
    "constant_coefficients",
    "inside",
    "over_leaves",
    "salt_of",
    "step_coefficients",
    "unrolled_bucket",
]

CONSTANT_LIMIT = 1 << 20  # values of a sample


class WholeBatch:
    """Of `InStep`, what is the same wherever a step computes loss and gradients of all that it is given."""

    def replicated_loss(self, loss: Any) -> Any:
        return loss

    def summed_gradient(self, gradient: Any) -> Any:
        return gradient

    def spread(self) -> bool:
        return False


def inside(where: str) -> str:
    """Why a value can't be taken out of a step, and what to do."""
    return f"It exists only inside {where}. Expected: return it from there, and tap it outside, in the step itself."


def salt_of(path: str) -> int:
    """The salt of a leaf among several, as on the host."""
    return zlib.crc32(path.encode())


def over_leaves(
    x: Any,
    without: Collection[str],
    fits: Callable[[Any], bool],
    sums: Callable[[Any, int], Any],
    salt: Callable[[str], int] = salt_of,
) -> Any:
    """The sums of the leaves of a structure, added up with wrap-around; each salted as on the host.

    Args:
        x: A tensor or a nested structure of tensors; None leaves are left out.
        without: Paths of leaves that the caller adds on the host; they count for the salts only.
        fits: Whether a leaf can be done in the step.
        sums: (leaf, salt) to int32 of shape (n, 2).
        salt: `salt_of`, or that in a form that a compiler can see through.

    Raises:
        TypeError: A leaf that doesn't fit and isn't in `without`, or no leaf at all.
    """
    found = {path: leaf for path, leaf in flatten(x).items() if leaf is not None}
    total: Any = None
    for path, leaf in found.items():
        if path in without:
            continue
        if not fits(leaf):
            received = getattr(leaf, "dtype", type(leaf).__name__)
            raise TypeError(
                f"The input {path!r} has no fingerprint inside the step. Received: {received}. "
                "Expected: floats of 16 to 64 bits, integers, bools or complex numbers; for others give "
                "without=[path] and add truetap.fingerprint.pair(x, only=[path]) on the host."
            )
        part = sums(leaf, salt(path) if len(found) > 1 else 0)
        total = part if total is None else total + part
    if total is None:
        raise TypeError(
            f"There is nothing to fingerprint in the step. Received: leaves {list(found)}, without them all."
        )
    return total


def constant_coefficients(size: int, salt: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The coefficients of both sums as int32 arrays of shape (size,)."""
    first, second = coefficients(size, salt)
    return first.view(np.int32), second.view(np.int32)


def step_coefficients(size: Any, salt: int) -> tuple[Any, Any]:
    """The same, computed in the step; the size may be a tensor."""
    index = keras.ops.arange(size, dtype="int32") * 2 + _signed(salt)
    return keras.ops.bitwise_or(_mix(index), 1), keras.ops.bitwise_or(_mix(index + 1), 1)


def _mix(h: Any) -> Any:
    h = keras.ops.bitwise_xor(h, _shifted(h, 16)) * _signed(0x85EBCA6B)
    h = keras.ops.bitwise_xor(h, _shifted(h, 13)) * _signed(0xC2B2AE35)
    return keras.ops.bitwise_xor(h, _shifted(h, 16))


def _shifted(bits: Any, places: int) -> Any:
    """Shifted right without the sign: int32 shifts copy it."""
    return keras.ops.bitwise_and(keras.ops.right_shift(bits, places), (1 << (32 - places)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def unrolled_bucket(values: Any, edges: np.ndarray[Any, Any]) -> Any:
    """How many edges each value has reached, as one comparison per edge: compilers fuse and vectorise it.

    A binary search takes 3 to 13 times as long in compiled code (64 edges, XLA on two cores).
    """
    count = keras.ops.cast(values >= edges[0], "int32")
    for edge in edges[1:]:
        count = count + keras.ops.cast(values >= edge, "int32")
    return count
