"""Recorded straight to an object store, on each backend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt
from tests.remote.served import Store, gate, server, store
from truetap.errors import RecordingWarning, StoreError

__all__ = ["gate", "server", "store"]

Array = npt.NDArray[Any]

_RNG = np.random.default_rng(0)
X = _RNG.standard_normal((40, 3)).astype(np.float32)
Y = _RNG.standard_normal((40, 1)).astype(np.float32)


def standing_still() -> keras.Model:
    """Its weights stay, so that every prediction is X @ kernel + bias."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="dense")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    return model


def mae_of_all(y_true: Array, y_pred: Array) -> float:
    return float(np.abs(y_true - y_pred).mean())


def test_fit_records_to_a_store(store: Store) -> None:
    model = standing_still()
    recorder = tt.Recorder(
        store.url(), [tt.Outputs(), tt.Activations("dense", every=1)], upload_seconds=0.3, upload_patience=60
    )
    metric = tt.EpochMetric(mae_of_all)
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[recorder, metric])
    recorder.finish()
    kernel, bias = (np.asarray(weight) for weight in model.get_weights())
    wanted = X @ kernel + bias
    np.testing.assert_allclose(history.history["mae_of_all"], [np.abs(Y - wanted).mean()] * 2, rtol=1e-5)
    run = tt.open(store.url())
    run.identify((X, Y))
    assert run.complete
    assert run.verify() == []
    for epoch in (0, 1):
        samples = run.samples(epoch=epoch)
        order = np.argsort(samples.ids)
        np.testing.assert_array_equal(samples.ids[order], np.arange(40))
        assert samples.loss is not None
        np.testing.assert_array_equal(samples.y_true[order], Y)
        np.testing.assert_allclose(samples.y_pred[order], wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(samples.loss[order], ((wanted - Y) ** 2)[:, 0], rtol=1e-4, atol=1e-6)
    assert len(run.history(7)) == 2
    assert run.activations("dense").values.shape == (80, 1)
    assert [key for key in store.keys() if "activations" in key and not key.endswith((".arrow", ".log"))] == []  # noqa: SIM118

    more = tt.Recorder(store.url(), resume=True)
    model.fit(X, Y, batch_size=8, epochs=1, verbose=0, callbacks=[more])
    more.finish()
    assert tt.open(store.url()).phases == {"train": [0, 1, 2]}


class Refusing(keras.callbacks.Callback):  # type: ignore[misc]
    """The store refuses from the end of the first epoch to that of the second."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if epoch == 0:
            self.store.gate.turn("busy")
        if epoch == 1:
            before, end = self.store.gate.refused, time.monotonic() + 60
            while self.store.gate.refused < before + 4:
                assert time.monotonic() < end
                time.sleep(0.05)


def test_a_store_that_refuses_is_said_once_and_training_goes_on(store: Store) -> None:
    model = standing_still()
    recorder = tt.Recorder(store.url(), upload_seconds=0.1)
    with pytest.warns(RecordingWarning, match=r"can't be sent to .* Recording goes on, nothing is lost") as said:
        model.fit(X, Y, batch_size=8, epochs=4, verbose=0, callbacks=[recorder, Refusing(store)])
    assert sum(issubclass(one.category, RecordingWarning) for one in said) == 1
    store.gate.turn("open")
    recorder.finish()
    assert len(tt.open(store.url()).samples(epoch=[0, 1, 2, 3]).y_true) == 160


def test_going_on_needs_to_know_where_the_run_stands(store: Store) -> None:
    store.gate.turn("shut")
    with pytest.raises(StoreError, match="the store can't be reached"):
        tt.Recorder(store.url(), resume=True)


def test_a_bucket_that_is_not_there_is_said_before_training(store: Store, tmp_path: Path) -> None:
    model = standing_still()
    before = model.get_weights()[0].copy()
    with pytest.raises(StoreError, match=r"Can't write to 's3://no-such-bucket/run'"):
        model.fit(X, Y, verbose=0, callbacks=[tt.Recorder("s3://no-such-bucket/run")])
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert list((tmp_path / "cache").rglob("manifest.json")) == []


def test_collected_to_a_store(store: Store) -> None:
    model = standing_still()
    samples = tt.collect(model, (X, Y), to=store.url(), verbose=0)
    kernel, bias = (np.asarray(weight) for weight in model.get_weights())
    np.testing.assert_allclose(samples.y_pred, X @ kernel + bias, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tt.open(store.url()).samples().y_true, Y)
