"""Pictures: a PNG is read back by the rules of its specification."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from truetap.report.images import as_pixels, data_uri, is_picture, shrunk

Array = npt.NDArray[Any]


def read(uri: str) -> Array:
    """The pixels of an unfiltered 8-bit PNG; every checksum is looked at."""
    head, _, text = uri.partition(",")
    assert head == "data:image/png;base64"
    png = base64.b64decode(text, validate=True)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        body = png[at + 4 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(body),)
        chunks[body[:4]] = body[4:]
        at += 12 + size
    width, height, depth, kind, *_ = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert depth == 8
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, {0: 1, 2: 3, 6: 4}[kind])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_is_read_back(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    np.testing.assert_array_equal(read(data_uri(pixels)), pixels)


def test_values_become_shades() -> None:
    value = np.asarray([[0.0, 0.5], [1.0, np.nan]])
    assert as_pixels(value, 0, 1)[:, :, 0].tolist() == [[0, 128], [255, 0]]
    assert as_pixels(np.zeros((3, 5, 6)), -1, 1).shape == (5, 6, 3)


def test_a_large_picture_is_shrunk_to_means() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 3), dtype=np.uint8)
    small = shrunk(pixels, 4)
    assert small.shape == (3, 2, 3)
    assert small[1, 1].tolist() == pixels[3:6, 3:6].reshape(9, 3).mean(axis=0).round().tolist()
    assert shrunk(pixels, 10) is pixels


@pytest.mark.parametrize(
    ("shape", "in_order", "picture"),
    [
        ((28, 28), False, True),
        ((28, 28), True, False),
        ((8, 8, 1), False, True),
        ((3, 32, 32), False, True),
        ((20, 2), False, False),
        ((6,), False, False),
        ((4, 4, 16), False, False),
    ],
)
def test_what_is_a_picture(shape: tuple[int, ...], in_order: bool, picture: bool) -> None:
    assert is_picture(shape, in_order=in_order) is picture
