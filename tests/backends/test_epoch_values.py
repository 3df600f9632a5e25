"""`EpochMetric` against scikit-learn; every call of Keras, what the logs see, and what can't be told."""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn import metrics

import truetap as tt
from tests.backends.epoch_models import (
    BINARY,
    CLOSE,
    SEQUENCES,
    STEP_WEIGHT,
    TAG_CLASSES,
    TAGS,
    VALID,
    WEIGHT,
    Array,
    N,
    X,
    Y,
    bias,
    dense,
    forward,
    heads,
    sequences,
)
from tests.backends.models import BACKEND


class Predicts(keras.callbacks.Callback):  # type: ignore[misc]
    """What the model gives for x after each epoch, by hand."""

    def __init__(self, x: Any) -> None:
        super().__init__()
        self.x = x
        self.found: list[Any] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.found.append(forward(self.model, self.x))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Four epochs with validation after the first and the third, and what the model gives after each."""
    folder = tmp_path_factory.mktemp("fitted")
    model = dense(activation="sigmoid", loss="binary_crossentropy")
    predicts = Predicts(X)
    callbacks = [
        tt.Recorder(folder / "run"),
        tt.EpochMetric(metrics.roc_auc_score),
        tt.EpochMetric(metrics.f1_score, of="labels", name="f1"),
        tt.EpochMetric(metrics.average_precision_score, weighted=True, phases="val"),
        tt.EpochMetric(lambda t, p: {"low": p.min(), "high": p.max()}, name="score", phases=("train",)),
        tt.EpochMetric(metrics.accuracy_score, of="labels", weighted=True, phases="train"),
        tt.EpochMetric(functools.partial(metrics.fbeta_score, beta=2.0), of="labels"),
        predicts,
        keras.callbacks.CSVLogger(str(folder / "log.csv")),
    ]
    history = model.fit(
        X,
        BINARY,
        batch_size=4,
        epochs=4,
        verbose=0,
        validation_data=(X, BINARY, WEIGHT),
        validation_freq=[1, 3],
        callbacks=callbacks,
    )
    return history.history, predicts.found, folder


def test_validation_against_scikit_learn(fitted: Any) -> None:
    history, predicted, _ = fitted
    after = [predicted[0], predicted[2]]
    expected = {
        "val_roc_auc_score": [metrics.roc_auc_score(BINARY, pred[:, 0]) for pred in after],
        "val_f1": [metrics.f1_score(BINARY, pred[:, 0] >= 0.5) for pred in after],
        "val_average_precision_score": [
            metrics.average_precision_score(BINARY, pred[:, 0], sample_weight=WEIGHT) for pred in after
        ],
        "val_fbeta_score": [metrics.fbeta_score(BINARY, pred[:, 0] >= 0.5, beta=2.0) for pred in after],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-9, err_msg=name)
    assert "average_precision_score" not in history
    assert len(history["roc_auc_score"]) == 4


def test_training_against_what_was_recorded(fitted: Any) -> None:
    history, _, folder = fitted
    run = tt.open(folder / "run")
    for epoch in range(4):
        samples = run.samples("train", epoch)
        truth, pred = samples.y_true[:, 0], samples.y_pred[:, 0]
        assert len(pred) == N
        assert history["roc_auc_score"][epoch] == metrics.roc_auc_score(truth, pred)
        assert history["accuracy_score"][epoch] == np.mean((pred >= 0.5) == truth), "no weights count as ones"
        assert history["f1"][epoch] == metrics.f1_score(truth, pred >= 0.5)
        assert (history["score_low"][epoch], history["score_high"][epoch]) == (pred.min(), pred.max())


def test_all_loggers_see_the_values(fitted: Any) -> None:
    history, _, folder = fitted
    with open(folder / "log.csv") as file:
        logged = list(csv.DictReader(file))
    assert [float(row["f1"]) for row in logged] == history["f1"]
    assert [row["val_f1"] for row in logged][1::2] == ["NA", "NA"]
    epochs = tt.open(folder / "run").epochs()
    assert epochs.column("roc_auc_score").to_pylist() == history["roc_auc_score"]
    first, third = history["val_f1"]
    assert epochs.column("val_f1").to_pylist() == [first, None, third, None]


def test_early_stopping_stops(tmp_path: Path) -> None:
    values = iter([0.2, 0.5, 0.4, 0.3, 0.9])

    def quality(y_true: Array, y_pred: Array) -> float:
        return next(values)

    best = tmp_path / "best.keras"
    model = dense()
    history = model.fit(
        X,
        Y,
        epochs=5,
        verbose=0,
        validation_data=(X, Y),
        callbacks=[
            tt.Recorder(tmp_path / "run"),
            tt.EpochMetric(quality, phases="val"),
            keras.callbacks.EarlyStopping("val_quality", mode="max", patience=2),
            keras.callbacks.ModelCheckpoint(best, monitor="val_quality", mode="max", save_best_only=True),
        ],
    )
    assert history.history["val_quality"] == [0.2, 0.5, 0.4, 0.3]
    assert len(history.epoch) == 4
    assert best.exists()


def test_masked_steps_are_left_out(tmp_path: Path) -> None:
    model = sequences(3, activation="softmax", loss="sparse_categorical_crossentropy")
    seen: dict[str, Any] = {}

    def spy(y_true: Array, y_pred: Array, sample_weight: Array) -> float:
        seen["scores"] = (y_true, y_pred, sample_weight)
        return 0.0

    accuracy = tt.EpochMetric(metrics.accuracy_score, of="labels")
    callbacks = [tt.Recorder(tmp_path / "run"), accuracy, tt.EpochMetric(spy, weighted=True)]
    model.evaluate(SEQUENCES, TAG_CLASSES, 4, verbose=0, sample_weight=STEP_WEIGHT, callbacks=callbacks)
    pred = forward(model, SEQUENCES)
    expected = metrics.accuracy_score(TAG_CLASSES[VALID], pred.argmax(-1)[VALID])
    assert accuracy.results == {"accuracy_score": expected}
    y_true, y_pred, weight = seen["scores"]
    np.testing.assert_array_equal(y_true, TAG_CLASSES[VALID])
    np.testing.assert_allclose(y_pred, pred[VALID], rtol=1e-5)
    np.testing.assert_allclose(weight, STEP_WEIGHT[VALID])


def test_one_of_several_outputs(tmp_path: Path) -> None:
    model = heads()
    y = {"z": TAGS, "a": TAGS[..., :1]}
    metric = tt.EpochMetric(metrics.mean_absolute_error, output="z")
    model.evaluate(SEQUENCES, y, 4, verbose=0, callbacks=[tt.Recorder(tmp_path / "run"), metric])
    pred = forward(model, SEQUENCES, "z")
    np.testing.assert_allclose(metric.results["z_mean_absolute_error"], np.abs(pred - TAGS)[VALID].mean(), **CLOSE)


# --- calls of fit and evaluate ---------------------------------------------------------------------------------------


def test_second_fit_resumed_run_and_evaluate(tmp_path: Path) -> None:
    model, metric = dense(), tt.EpochMetric(bias)
    recorder = tt.Recorder(tmp_path / "run")
    found = []
    for _ in range(2):
        found += model.fit(X, Y, 4, epochs=2, verbose=0, callbacks=[recorder, metric]).history["bias"]
        model.evaluate(X, Y, 8, verbose=0, callbacks=[recorder, metric])
        expected = bias(Y, forward(model, X))
        np.testing.assert_allclose(metric.results["bias"], expected, **CLOSE)
    recorder.finish()
    resumed = tt.Recorder(tmp_path / "run", resume=True)
    found += model.fit(X, Y, 4, initial_epoch=7, epochs=8, verbose=0, callbacks=[resumed, metric]).history["bias"]
    run = tt.open(tmp_path / "run")
    epochs = run.epochs()
    assert epochs.column("epoch").to_pylist() == [0, 1, 2, 3, 7]
    assert epochs.column("bias").to_pylist() == found
    for epoch, value in zip(epochs.column("epoch").to_pylist(), found, strict=True):
        samples = run.samples("train", epoch)
        assert bias(samples.y_true, samples.y_pred) == value


@pytest.mark.skipif(BACKEND == "torch", reason="torch has no steps_per_execution")
def test_steps_per_execution(tmp_path: Path) -> None:
    model = dense(optimizer=keras.optimizers.SGD(0.0), steps_per_execution=2)
    expected = bias(Y, forward(model, X))
    callbacks = [tt.Recorder(tmp_path / "run"), tt.EpochMetric(bias)]
    history = model.fit(X, Y, 2, epochs=2, verbose=0, validation_data=(X, Y), callbacks=callbacks).history
    np.testing.assert_allclose(history["bias"] + history["val_bias"], [expected] * 4, **CLOSE)


class Evaluates(keras.callbacks.Callback):  # type: ignore[misc]
    """Evaluates on other data in the midst of fit."""

    def __init__(self, callbacks: list[Any]) -> None:
        super().__init__()
        self.callbacks = callbacks

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.evaluate(-X, Y, 4, verbose=0, callbacks=self.callbacks)


def test_evaluate_within_fit(tmp_path: Path) -> None:
    inner, recorder = tt.EpochMetric(bias, phases="test"), tt.Recorder(tmp_path / "run")
    model = dense(optimizer=keras.optimizers.SGD(0.0))
    callbacks = [recorder, Evaluates([recorder, inner]), tt.EpochMetric(bias)]
    history = model.fit(X, Y, 4, epochs=2, verbose=0, validation_data=(X, Y), callbacks=callbacks).history
    expected = bias(Y, forward(model, X))
    np.testing.assert_allclose(history["bias"] + history["val_bias"], [expected] * 4, **CLOSE)
    np.testing.assert_allclose(inner.results["bias"], bias(Y, forward(model, -X)), **CLOSE)


class Forwards(keras.callbacks.Callback):  # type: ignore[misc]
    """A callback that calls another."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.inner.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        self.inner.on_train_begin(logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.inner.on_epoch_end(epoch, logs)


def test_the_recorder_may_be_given(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run")
    metric = tt.EpochMetric(bias, recorder=recorder)
    history = dense().fit(X, Y, verbose=0, callbacks=[recorder, Forwards(metric)]).history
    assert history["bias"] == [metric.results["bias"]]
    metric = tt.EpochMetric(bias)
    with pytest.raises(
        tt.TapError, match=r"Received: a callback that no list of callbacks calls\. Expected: callbacks"
    ):
        dense().fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "other"), Forwards(metric)])


# --- what can't be told ----------------------------------------------------------------------------------------------


class InTheWay(keras.callbacks.Callback):  # type: ignore[misc]
    """A file where the recorder wants a folder: recording fails as on a full disk."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def on_train_begin(self, logs: Any = None) -> None:
        self.path.touch()


def test_recording_that_fails(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run")
    callbacks = [recorder, InTheWay(tmp_path / "run" / "samples"), tt.EpochMetric(bias), tt.EpochLoss()]
    with pytest.warns(tt.RecordingWarning) as warned:
        history = dense().fit(X, Y, 4, epochs=2, verbose=0, callbacks=callbacks).history
    assert list(history) == ["loss"], "training went on; no wrong number"
    texts = [str(each.message) for each in warned]
    assert sum("Recording to" in text for text in texts) == 1
    left_out = " is left out of the logs from epoch 0 of phase 'train' on: recording has failed. Training goes on."
    assert sorted(text for text in texts if "left out" in text) == [f"'bias'{left_out}", f"'epoch_loss'{left_out}"]


def test_recording_that_fails_and_raises(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", on_error="raise")
    callbacks = [recorder, InTheWay(tmp_path / "run" / "samples"), tt.EpochMetric(bias)]
    with pytest.raises(tt.StoreError):
        dense().fit(X, Y, 4, epochs=2, verbose=0, callbacks=callbacks)


def test_steps_that_were_dropped(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", when_full="drop", queue_bytes=1)
    with pytest.warns(
        tt.RecordingWarning, match=r"'bias' is left out .* for epoch 0 of phase 'train': \d+ of its 11 steps are in"
    ):
        history = dense().fit(X, Y, 1, verbose=0, callbacks=[recorder, tt.EpochMetric(bias)]).history
    assert list(history) == ["loss"]
