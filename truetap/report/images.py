"""Arrays as pictures: 8-bit PNG in a data URI, written with zlib alone.

https://www.w3.org/TR/png-3/ section 5: a signature, then chunks of length, type, data and checksum.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_pixels", "data_uri", "is_picture", "shrunk"]

Array = npt.NDArray[Any]

_CHANNELS = {1: 0, 3: 2, 4: 6}  # PNG's colour types by number of channels
_FIRST = (1, 3)  # numbers of channels that are told by a first axis
_LEAST = 4


def is_picture(shape: tuple[int, ...], *, in_order: bool) -> bool:
    """Whether values of this shape are an image: (h, w), (h, w, channels) or (channels, h, w).

    Args:
        shape: Without the axis of samples.
        in_order: Whether the model reads its inputs as sequences, so that two axes are time and features.
    """
    if len(shape) == 2:
        return not in_order and min(shape) >= 2 * _LEAST and max(shape) <= 2 * min(shape)
    if len(shape) != 3:
        return False
    return (shape[2] in _CHANNELS and min(shape[:2]) >= _LEAST) or (shape[0] in _FIRST and min(shape[1:]) >= _LEAST)


def as_pixels(value: Array, low: float, high: float) -> Array:
    """An image as uint8 of shape (h, w, channels), values from `low` to `high` as 0 to 255."""
    image = np.asarray(value, np.float64)
    if image.ndim == 2:
        image = image[:, :, None]
    elif image.shape[2] not in _CHANNELS:
        image = np.moveaxis(image, 0, 2)
    scaled = (np.nan_to_num(image, nan=low, posinf=high, neginf=low) - low) / ((high - low) or 1.0)
    return np.asarray((scaled.clip(0, 1) * 255).round(), np.uint8)


def shrunk(pixels: Array, side: int) -> Array:
    """The image with no side longer than `side`: means of squares, what is left over at the end cut off."""
    factor = -(-max(pixels.shape[:2]) // side)
    if factor <= 1:
        return pixels
    height, width = (size // factor or 1 for size in pixels.shape[:2])
    cut = pixels[: height * factor, : width * factor]
    rows = np.add.reduceat(cut.astype(np.float64), np.arange(0, len(cut), factor), axis=0)
    sums = np.add.reduceat(rows, np.arange(0, cut.shape[1], factor), axis=1)
    counts = np.minimum(factor, len(cut)) * np.minimum(factor, cut.shape[1])
    return np.asarray((sums / counts).round(), np.uint8)


def data_uri(pixels: Array) -> str:
    """A PNG of an uint8 image of shape (h, w, 1, 3 or 4) as a data URI."""
    height, width, channels = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # no filter
    header = struct.pack(">IIBBBBB", width, height, 8, _CHANNELS[channels], 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
