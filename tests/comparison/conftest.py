"""Two small trainings, recorded once for all tests of comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import truetap as tt
from truetap.run import Run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Digits, two epochs each: a small model, and a larger one with dropout and another optimizer."""
    import keras
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    folder = tmp_path_factory.mktemp("compared")

    def fit(name: str, units: int, rate: float, optimizer: Any, batch_size: int) -> Run:
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(units, activation="relu")]
        layers += [keras.layers.Dropout(rate)] if rate else []
        model = keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10, activation="softmax")])
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        recorder = tt.Recorder(folder / name)
        data = {"validation_data": (x[1200:], y[1200:])}
        model.fit(x[:1200], y[:1200], epochs=2, batch_size=batch_size, verbose=0, callbacks=[recorder], **data)
        recorder.finish()
        return tt.open(folder / name)

    small = fit("small", 8, 0.0, keras.optimizers.SGD(0.05), 64)
    large = fit("large", 64, 0.1, keras.optimizers.Adam(0.01), 32)
    return small, large
