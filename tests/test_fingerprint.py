"""Fingerprints: the same bits by an independent few lines, and hardly ever the same for two inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from truetap.fingerprint import coefficients, fingerprint


def by_hand(row: np.ndarray[Any, Any], salt: int = 0) -> int:
    """The definition with Python's own integers."""
    odd_1, odd_2 = coefficients(row.size, salt)
    sums = [0, 0]
    for place, value in enumerate(row.astype(np.float32).reshape(-1).view(np.uint32).tolist()):
        folded = value ^ (value >> 16) ^ (value >> 23)
        sums[0] = (sums[0] + folded * int(odd_1[place])) % 2**32
        sums[1] = (sums[1] + folded * int(odd_2[place])) % 2**32
    whole = (sums[0] << 32) | sums[1]
    return whole - 2**64 if whole >= 2**63 else whole


def test_equals_the_definition() -> None:
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("float32")
    assert fingerprint(x).tolist() == [by_hand(row) for row in x]


def test_blocks_do_not_matter() -> None:
    x = np.random.default_rng(0).normal(size=(300, 1000)).astype("float32")
    one_by_one = np.concatenate([fingerprint(x[i : i + 1]) for i in range(len(x))])
    np.testing.assert_array_equal(fingerprint(x), one_by_one)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int64", "uint8", "bool"])
def test_what_every_backend_sees_is_what_counts(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (4, 9)).astype(dtype)
    seen = values.astype("float32" if values.dtype.kind == "f" else "int32")
    np.testing.assert_array_equal(fingerprint(values), fingerprint(seen))


def test_int64_beyond_32_bits_keeps_the_low_ones() -> None:
    assert fingerprint(np.asarray([[2**40 + 5]])).tolist() == fingerprint(np.asarray([[5]])).tolist()


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0), (0.0, 0.5)])
def test_images_of_two_values_do_not_collide(values: tuple[float, float]) -> None:
    """Values that differ in their top bits only: a plain sum of products keeps 9 bits of them."""
    bits = np.random.default_rng(1).random((100_000, 32)) < 0.5
    images = np.where(bits, *values).astype("float32")
    assert len(np.unique(fingerprint(images))) == len(np.unique(bits, axis=0))


def test_nearby_samples_differ() -> None:
    x = np.zeros((257, 64), "uint8")
    x[np.arange(1, 257), np.arange(256) % 64] = np.arange(256) // 64 + 1
    assert len(np.unique(fingerprint(x))) == 257


def test_zero_padding_of_the_first_axis_changes_nothing() -> None:
    steps = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
    padded = np.pad(steps, ((0, 0), (0, 4), (0, 0)))
    np.testing.assert_array_equal(fingerprint(steps), fingerprint(padded))


def test_swapped_inputs_differ_and_names_matter_only_among_several() -> None:
    a, b = np.ones((2, 3)), np.full((2, 3), 2.0)
    assert (fingerprint({"a": a, "b": b}) != fingerprint({"a": b, "b": a})).all()
    np.testing.assert_array_equal(fingerprint({"image": a}), fingerprint(a))


def test_strings_have_fingerprints() -> None:
    x = np.asarray(["a film", "a play", "a film"], dtype=object)
    prints = fingerprint(x)
    assert prints[0] == prints[2] != prints[1]
    np.testing.assert_array_equal(prints, fingerprint(np.asarray([b"a film", b"a play", b"a film"])))


def test_a_dtype_without_bits_is_refused() -> None:
    with pytest.raises(TypeError, match=r"has no fingerprint\. Expected: numbers, bools or strings"):
        fingerprint(np.zeros((2, 2), "datetime64[s]"))


def test_extent_of_zero_and_no_rows() -> None:
    assert fingerprint(np.zeros((2, 0))).tolist() == [0, 0]
    assert fingerprint(np.zeros((0, 3))).tolist() == []
