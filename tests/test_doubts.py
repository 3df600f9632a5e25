"""What looks wrong is said; what is merely unusual is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from truetap.data.doubts import doubt_about_names, doubts_about_batch
from truetap.data.element import Parts

RNG = np.random.default_rng(0)
FLOATS = RNG.normal(size=(32, 6))
CLASSES = RNG.integers(0, 10, 32)


def said(x: Any, y: Any, weight: Any = None) -> str:
    return " ".join(doubts_about_batch(Parts(x, y, weight, 32)))


@pytest.mark.parametrize(
    "weight", [CLASSES, np.eye(3)[CLASSES % 3], CLASSES.astype("float32")], ids=["classes", "one-hot", "float classes"]
)
def test_labels_in_the_weight_slot(weight: Any) -> None:
    assert "looks like labels" in said(FLOATS, RNG.normal(size=(32, 4)), weight)


def test_binary_labels_of_a_pair_of_inputs() -> None:
    second = RNG.normal(size=FLOATS.shape)
    assert "looks like labels" in said(FLOATS, second, (CLASSES > 3).astype("float32"))
    assert "looks like labels" in said(FLOATS, second, np.zeros(32))
    assert said(FLOATS, FLOATS, (CLASSES > 3).astype("float32")) == ""


@pytest.mark.parametrize(
    ("y", "weight"),
    [
        (CLASSES, RNG.random(32)),
        (CLASSES, np.ones(32)),
        (CLASSES, (CLASSES > 3).astype("float32")),
        (CLASSES, (CLASSES > 3).astype("int64")),
        (CLASSES, np.where(CLASSES == 1, 20.0, 1.0)),
        (np.eye(10)[CLASSES], np.where(CLASSES == 1, 2.0, 1.0)),
        (RNG.normal(size=(32, 4)), RNG.random((32, 4))),
        (RNG.normal(size=(32, 4)), np.ones(32)),
        (RNG.normal(size=(32, 4)), (CLASSES > 3).astype("float32")),
    ],
)
def test_weights_are_weights(y: Any, weight: Any) -> None:
    assert said(FLOATS, y, weight) == ""


def test_a_window_that_holds_its_target() -> None:
    series = RNG.normal(size=64)
    windows = np.stack([series[i : i + 3] for i in range(32)])
    assert "at position (0,)" in said(windows, series[:32])
    assert "at position (2, 0)" in said(windows[..., None], series[2:34, None])
    assert said(windows, series[3:35]) == ""


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (FLOATS, FLOATS),
        (FLOATS, CLASSES),
        (np.zeros((32, 4)), np.zeros(32)),
        ((FLOATS > 0) * 1.0, (FLOATS[:, 0] > 0) * 1),
    ],
    ids=["autoencoder", "classes", "constant", "two values"],
)
def test_targets_are_targets(x: Any, y: Any) -> None:
    assert said(x, y) == ""


def test_names_sorted_as_text() -> None:
    doubt = doubt_about_names(["1", "10", "2"])
    assert doubt is not None
    assert "index 1 is class '10', not '2'" in doubt
    assert doubt_about_names(["0", "1", "2"]) is None
    assert doubt_about_names(["cat", "dog"]) is None
    assert doubt_about_names([]) is None
