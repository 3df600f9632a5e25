"""Pairing by name, never by sorted position; alignment of ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from truetap.errors import StructureError
from truetap.pairing import Outputs, align, pair

ONE = Outputs(("",), ("",), "", "head")
DICT = Outputs(("z", "a"), ("z", "a"), {"z": "z", "a": "a"})
LIST = Outputs(("age", "sex"), ("0", "1"), ["age", "sex"])
NESTED = Outputs(("0", "1/q"), ("0", "1/q"), ["0", {"q": "1/q"}])


@pytest.mark.parametrize(
    ("values", "outputs", "expected"),
    [
        (1, ONE, {"": 1}),
        ([1], ONE, {"": 1}),
        ({"head": 1}, ONE, {"": 1}),
        ({"a": 1, "z": 2}, DICT, {"z": 2, "a": 1}),
        ({"a": 1}, DICT, {"a": 1}),
        ([1, 2], LIST, {"age": 1, "sex": 2}),
        ((1, 2), LIST, {"age": 1, "sex": 2}),
        ({"sex": 2, "age": 1}, LIST, {"age": 1, "sex": 2}),
        ([1, {"q": 2}], NESTED, {"0": 1, "1/q": 2}),
    ],
)
def test_by_name(values: Any, outputs: Outputs, expected: dict[str, int]) -> None:
    assert pair(values, outputs) == (expected, None)


def test_a_list_for_dict_outputs_goes_by_declared_order_and_is_said() -> None:
    paired, said = pair([1, 2], DICT)
    assert paired == {"z": 1, "a": 2}
    assert said is not None
    assert "declared order ['z', 'a']" in said
    assert "sorted order ['a', 'z']" in said


@pytest.mark.parametrize(
    ("values", "outputs", "words"),
    [
        ([1, 2], ONE, r"Received: \['0', '1'\]. Expected: one array"),
        ({"haed": 1}, ONE, "named 'haed', and the model's output is named 'head'"),
        ({"z": 1, "b": 2}, DICT, "a key that no output has. Received: 'b'"),
        (1, DICT, r"Received: one array. Expected: values for \['z', 'a'\]"),
        ([1, 2, 3], LIST, r"Expected: values for \['age', 'sex'\]"),
    ],
)
def test_what_does_not_match(values: Any, outputs: Outputs, words: str) -> None:
    with pytest.raises(StructureError, match=words):
        pair(values, outputs)


def test_one_weight_weighs_every_output() -> None:
    assert pair(7, LIST, what="sample weights") == ({"age": 7, "sex": 7}, None)


@pytest.mark.parametrize(
    ("y_true", "y_pred", "aligned"),
    [
        ((4,), (4, 1), (4, 1)),
        ((4, 1), (4,), (4,)),
        ((4,), (4, 3), (4,)),
        ((4, 1), (4, 3), (4, 1)),
        ((4, 5), (4, 5, 1), (4, 5, 1)),
        ((4, 5, 1), (4, 5), (4, 5)),
        ((4, 5, 1), (4, 5, 3), (4, 5, 1)),
        ((1,), (1, 1), (1, 1)),
    ],
)
def test_align(y_true: tuple[int, ...], y_pred: tuple[int, ...], aligned: tuple[int, ...]) -> None:
    assert align(np.zeros(y_true), y_pred).shape == aligned
