"""One recorded run for all tests of exports, and clients that keep to their folder and to this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import truetap as tt
from tests.exporting import made
from truetap.reducers import Histogram, Quantiles
from truetap.run import Run
from truetap.store import wait_for

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when it is imported
os.environ["WANDB_ERROR_REPORTING"] = "false"


@pytest.fixture(autouse=True, scope="session")
def _at_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """W&B keeps files that wait to be synced in the user's folders."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONFIG", "CACHE", "DATA", "ARTIFACT"):
            patch.setenv(f"WANDB_{name}_DIR", str(home))
        patch.setenv("WANDB_MODE", "offline")
        yield


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> made.Made:
    return made.write(tmp_path_factory.mktemp("made") / "run")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two epochs over scikit-learn's digits."""
    path = tmp_path_factory.mktemp("recorded") / "digits"
    digits = load_digits()
    x, y = (digits.images[:300] / 16).astype("float32")[..., None], digits.target[:300].astype("int64")
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(12, "relu", name="features"),
        keras.layers.Dense(10, "softmax", name="digit"),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    taps = [
        tt.Outputs(),
        tt.Inputs(samples=64),
        tt.Activations("features", every="epoch", samples=64),
        tt.Activations("features", every=4, reduce=["mean", "histogram", Quantiles([0.1, 0.9])]),
        tt.Gradients("*kernel", every=4, reduce=["norm", Histogram(np.linspace(-1, 1, 9))]),
        tt.Gradients("*bias", every=8),
        tt.OptimizerState("*momentum*", reduce=Histogram([-1, -0.01, 0, 0.01, 1])),
    ]
    recorder = tt.Recorder(path, taps=taps)
    model.fit(
        x[:200], y[:200], validation_data=(x[200:], y[200:]), epochs=2, batch_size=32, verbose=0, callbacks=[recorder]
    )
    wait_for(path)  # until its tables are Parquet: a test copies the folder
    return tt.open(path)
