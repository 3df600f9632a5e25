"""Changes inputs so that readers get further than their first check: numbers at their limits, bytes moved, JSON bent.

A mutation is drawn from a generator, so an input follows from its seed and can be made again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

_NUMBERS = (0, 1, 2, 3, 7, 8, 127, 128, 255, 256, 32767, 65535, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**33)
_LARGE = (2**40, 2**60, 2**62, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1)
_EDGE = 2048  # bytes at the beginning and the end of a file, where its structure is
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**63), 2**64, 10**30, 0.5, -0.0, 1e308, float("nan")),
    *(
        "",
        "a",
        "../..",
        "/etc/passwd",
        "\0",
        "\ud800",
        "é",
        "x" * 300,
        "train",
        "softmax",
        [],
        {},
        [[]],
        [None],
        {"": 0},
    ),
    *([0, "a"], {"a": {"b": []}}, [[1, 2], [3]], "0", "1e9", "worker-00000", "phase=train/epoch=0/part-000000.parquet"),
)


def changed(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """The input after one to six changes."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 7))):
        _change(content, others, rng)
    return bytes(content)


def changed_json(data: bytes, others: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """A JSON text after one to four changes of its values, its keys or, now and then, of its bytes."""
    if rng.random() < 0.2:
        return changed(data, others, rng)
    try:
        value = json.loads(data)
        other = json.loads(others[int(rng.integers(len(others)))])
    except ValueError:
        return changed(data, others, rng)
    for _ in range(int(rng.integers(1, 5))):
        value = _bent(value, other, rng)
    return json.dumps(value).encode()


def _change(content: bytearray, others: Sequence[bytes], rng: np.random.Generator) -> None:
    size = len(content)
    at = _place(size, rng)
    match int(rng.integers(10)):
        case 0 | 1 if size:
            content[at] ^= 1 << int(rng.integers(8))
        case 2 if size:
            content[at] = int(rng.integers(256))
        case 3 | 4 | 5:
            width = int(rng.choice((1, 2, 4, 8)))
            number = _number(size, rng) % (1 << 8 * width)
            start = at // width * width if rng.random() < 0.7 else at
            content[start : start + width] = number.to_bytes(width, "little")
        case 6:
            del content[at : at + int(rng.integers(1, 64))]
        case 7:
            piece = content[at : at + int(rng.integers(1, 128))]
            to = _place(size, rng)
            content[to : to + (len(piece) if rng.random() < 0.7 else 0)] = piece
        case 8:
            other = others[int(rng.integers(len(others)))]
            start = _place(len(other), rng)
            content[at : at + 64] = other[start : start + int(rng.integers(1, 128))]
        case _ if rng.random() < 0.2:
            del content[at:]
        case _:
            content[at : at + 16] = bytes([int(rng.choice((0, 255)))]) * int(rng.integers(1, 17))


def _place(size: int, rng: np.random.Generator) -> int:
    if not size:
        return 0
    where = rng.random()
    if where < 0.4:
        return int(rng.integers(size))
    near = int(rng.integers(min(size, _EDGE)))
    return near if where < 0.7 else size - 1 - near


def _number(size: int, rng: np.random.Generator) -> int:
    kind = rng.random()
    if kind < 0.2:
        return int(size + rng.integers(-9, 10)) % 2**64
    if kind < 0.4:
        return int(rng.integers(0, 2**63))
    options = _NUMBERS if kind < 0.8 else _LARGE
    return (options[int(rng.integers(len(options)))] + int(rng.integers(-1, 2))) % 2**64


def _bent(value: Any, other: Any, rng: np.random.Generator) -> Any:
    """The value with something in it changed, at a place drawn on the way down."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key: Any = keys[int(rng.integers(len(keys)))]
        deeper = other
        if isinstance(other, dict) and other:
            deeper = other.get(key, list(other.values())[int(rng.integers(len(other)))])
        match int(rng.integers(12)):
            case 0:
                del value[key]
            case 1 if isinstance(value, dict):
                value[str(_VALUES[int(rng.integers(len(_VALUES)))])] = copy.deepcopy(value[key])
            case 1 if isinstance(value, list) and len(value) < 100:
                value.append(copy.deepcopy(value[key]))
            case 2:
                value[key] = copy.deepcopy(deeper)
            case _:
                value[key] = _bent(value[key], deeper, rng)
        return value
    if isinstance(value, int) and not isinstance(value, bool) and rng.random() < 0.6:
        return _number(100, rng) * int(rng.choice((1, -1)))
    return copy.deepcopy(_VALUES[int(rng.integers(len(_VALUES)))])
