"""A recorder that keeps the last epochs, through a whole training, a resumed one and callbacks that read it."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

import truetap as tt
from truetap.errors import NotRecordedError, RecordingWarning, StoreError

ROWS = 40


def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    made = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4, "relu", name="hidden"), keras.layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((ROWS, 5)).astype(np.float32)
    return x, x.sum(axis=1)


def test_the_last_epochs_of_a_training(tmp_path: Path) -> None:
    x, y = data()
    raw = [tt.Activations("hidden"), tt.Inputs(samples=8, epochs=[0])]
    taps = [tt.Outputs(), *raw, tt.Gradients("*kernel", reduce="norm")]
    recorder = tt.Recorder(tmp_path / "run", taps, keep_last=2)
    mean_loss = tt.EpochLoss(name="whole_epoch")
    history = model().fit(
        x, y, validation_data=(x[:8], y[:8]), epochs=5, batch_size=16, verbose=0, callbacks=[recorder, mean_loss]
    )
    recorder.finish()
    run = tt.open(tmp_path / "run")
    assert run.sample_epochs == {"train": [3, 4], "val": [3, 4]}
    assert set(run.activations["hidden"].epochs.tolist()) == {3, 4}
    assert len(run.inputs["x"].values) == 8  # they are of the first epoch, and of no other
    assert run.phases == {"train": [0, 1, 2, 3, 4], "val": [0, 1, 2, 3, 4]}
    assert len(history.history["whole_epoch"]) == 5  # read in each epoch before it went
    last = run.samples(phase="train", epoch=4)
    np.testing.assert_allclose(np.asarray(last.loss).mean(), history.history["loss"][-1], rtol=1e-5)
    with pytest.raises(NotRecordedError, match=r"were removed to keep the run small\).*Received: epoch 0"):
        run.samples(phase="train", epoch=0)
    assert not [problem for problem in run.verify() if problem.damage]

    resumed = tt.Recorder(tmp_path / "run", taps, keep_last=1, resume=True)
    model().fit(x, y, epochs=2, batch_size=16, verbose=0, callbacks=[resumed])
    resumed.finish()
    assert tt.open(tmp_path / "run").sample_epochs == {"train": [6], "val": [4]}


def test_an_epoch_that_is_more_than_may_be_kept(tmp_path: Path) -> None:
    x, y = data()
    recorder = tt.Recorder(tmp_path / "run", max_bytes=6_000, flush_seconds=0.01)
    mean_loss = tt.EpochLoss(name="whole_epoch")
    with pytest.warns(RecordingWarning, match="max_bytes= removes the oldest"):
        model().fit(x, y, epochs=3, batch_size=1, verbose=0, callbacks=[recorder, mean_loss])
    recorder.finish()
    run = tt.open(tmp_path / "run")
    assert run.reader.removed_rows("samples") > 0
    assert run.phases["train"][-1] == 2


def test_limits_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"keep_last= is a number of epochs.*Received: keep_last=0"):
        tt.Recorder(tmp_path / "run", keep_last=0)
    assert not (tmp_path / "run").exists()
