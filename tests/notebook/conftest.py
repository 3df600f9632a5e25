"""A small training on digits, recorded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The run's folder, and the model."""
    import keras
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    path = tmp_path_factory.mktemp("notebook") / "run"
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(16, activation="relu", name="hidden"), keras.layers.Dense(10, name="scores")]
    model = keras.Sequential([keras.Input((64,)), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    taps = [tt.Outputs(), tt.Activations("*", every=5, reduce=["mean", "std"]), tt.Activations("hidden", samples=8)]
    recorder = tt.Recorder(path, taps=taps)
    model.fit(x[:1200], y[:1200], validation_data=(x[1200:], y[1200:]), epochs=2, verbose=0, callbacks=[recorder])
    recorder.finish()
    return path, model
