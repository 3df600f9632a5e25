"""Ids: int64 or strings, exact, one per sample."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest

from truetap.errors import IdError
from truetap.ids import as_ids, repeated


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([2**53 + 1, 5], [2**53 + 1, 5]),
        (np.asarray([3, 4], "uint16"), [3, 4]),
        (np.asarray([[1], [2]]), [1, 2]),
        ([np.int64(2**60 + 1)], [2**60 + 1]),
        (range(3), [0, 1, 2]),
        ([b"a/b.png", b"\xc3\xa9"], ["a/b.png", "é"]),
        (np.asarray(["x", "yy"]), ["x", "yy"]),
        ([PurePosixPath("a/b")], ["a/b"]),
        ([], []),
    ],
)
def test_what_is_taken(given: Any, expected: list[Any]) -> None:
    ids = as_ids(given)
    assert ids.tolist() == expected
    assert ids.dtype in (np.dtype("int64"), np.dtype(object))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.asarray([1.0, 2.0]), "floats lose digits above 2\\*\\*53"),
        ([1, "a"], "Received: int and str. Expected: one kind"),
        ([2**63], "too large for int64. Received: 9223372036854775808"),
        (np.asarray([2**63], "uint64"), "too large for int64"),
        (np.zeros((2, 3), int), "one value per sample. Received: shape \\(2, 3\\)"),
        ([None, "a"], "Received: NoneType and str"),
        ([True, False], "Ids are"),
    ],
)
def test_what_is_refused(given: Any, words: str) -> None:
    with pytest.raises(IdError, match=words):
        as_ids(given)


def test_one_per_sample() -> None:
    with pytest.raises(IdError, match=r"There are 2 ids for 3 samples\. Expected: one id per sample"):
        as_ids([1, 2], 3)


def test_repeated_in_order_of_appearance() -> None:
    assert repeated(np.asarray([5, 1, 5, 2, 1, 9])).tolist() == [5, 1]
    assert repeated(np.asarray(["b", "a", "b"], object)).tolist() == ["b"]
