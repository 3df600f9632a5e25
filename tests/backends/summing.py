"""Data whose label is the sum of its row, so that a prediction beside another row's label shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

import truetap as tt

Array = npt.NDArray[Any]

ROWS = 26  # 4 batches of 8, the last one of 2 rows
X = np.random.default_rng(1).normal(size=(ROWS, 4)).astype("float32")
Y = X.sum(axis=1)
ROW = np.arange(ROWS)


def summing_model() -> Any:
    """Sums its input up: the prediction of a row is its label, and another row's is not."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(loss="mse")
    return model


def collect(*args: Any, **kwargs: Any) -> Any:
    """`tt.collect`; Any, so that a test may take a loss for granted."""
    return tt.collect(*args, **kwargs)


def check_pairs(samples: Any, rows: int = ROWS) -> None:
    """Every row's truth is the sum of its own input, which the prediction is too."""
    assert len(samples) == rows
    np.testing.assert_allclose(samples.y_pred, samples.y_true, rtol=1e-4, atol=1e-5)


def batches(order: Array | None = None) -> Iterator[Any]:
    rows = ROW if order is None else order
    for at in range(0, len(rows), 8):
        yield X[rows[at : at + 8]], Y[rows[at : at + 8]]
