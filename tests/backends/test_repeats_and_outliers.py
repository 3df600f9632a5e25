"""Duplicates, overlap and outliers of recorded runs, against what was put into the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt

RNG = np.random.default_rng(3)


def trained(path: Path, x: Any, y: Any, taps: Any = None, **arguments: Any) -> tt.Run:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4,)), keras.layers.Dense(8, activation="relu", name="features"), keras.layers.Dense(3)]
    model = keras.Sequential([*layers, keras.layers.Softmax()])
    model.compile("adam", "sparse_categorical_crossentropy")
    recorder = tt.Recorder(path, taps)
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[recorder], **arguments)
    recorder.finish()
    return tt.open(path)


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> tuple[tt.Run, Any, Any]:
    """60 samples, of which row 50 is row 3 with another label, and rows 51 and 52 are row 7; 5 are validated on too."""
    x, y = RNG.normal(size=(60, 4)).astype("float32"), RNG.integers(0, 3, 60)
    x[50], y[50] = x[3], (y[3] + 1) % 3
    x[51] = x[52] = x[7]
    y[51] = y[52] = y[7]
    fresh = RNG.normal(size=(15, 4)).astype("float32")
    val_x = np.concatenate([x[10:15], fresh])
    val_y = np.concatenate([y[10:15], RNG.integers(0, 3, 15)])
    val_y[0] = (y[10] + 1) % 3
    taps = [tt.Outputs(), tt.Inputs()]
    run = trained(tmp_path_factory.mktemp("run") / "r", x, y, taps, validation_data=(val_x, val_y), epochs=2)
    return run, x, y


def order_of(run: tt.Run, x: Any) -> list[int]:
    """The rows of the data in the order in which an epoch had them: told by the inputs themselves, not by prints."""
    inputs = np.asarray(run.inputs("x", phase="train", epoch=0).values)
    return [int(np.flatnonzero((x == each).all(1))[0]) for each in inputs]


def test_duplicates_are_told_by_their_inputs(repeated: tuple[tt.Run, Any, Any]) -> None:
    run, _, _ = repeated
    found = run.duplicates().to_pylist()
    assert [row["count"] for row in found] == [3, 2]
    assert [row["conflicting"] for row in found] == [False, True]
    assert run.duplicates("val").num_rows == 0


def test_duplicates_have_the_names_that_samples_were_given(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(20, 4)).astype("float32"), RNG.integers(0, 3, 20)
    x[5] = x[2]
    data = tt.with_ids((x, y), ids=np.arange(100, 120))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
    samples = tt.collect(model, data, to=tmp_path / "c")
    run = tt.open(tmp_path / "c")
    assert len(samples) == 20
    assert sorted(run.duplicates().to_pylist()[0]["sample_ids"]) == [102, 105]


def test_overlap_is_what_was_put_into_both(repeated: tuple[tt.Run, Any, Any]) -> None:
    run, x, _ = repeated
    found = run.overlap().to_pylist()
    assert len(found) == 5
    assert sum(row["conflicting"] for row in found) == 1
    assert all((row["train"], row["val"]) == (1, 1) for row in found)
    rows = dict(zip(run.samples("train", 0).fingerprints.tolist(), order_of(run, x), strict=True))
    assert sorted(rows[row["fingerprint"]] for row in found) == [10, 11, 12, 13, 14]


def test_one_phase_does_not_overlap_with_itself(repeated: tuple[tt.Run, Any, Any]) -> None:
    with pytest.raises(tt.NotRecordedError, match=r"Received: 'val' twice\. Expected: run\.duplicates\('val'\)"):
        repeated[0].overlap("val", "val")
    with pytest.raises(tt.NotRecordedError, match="test"):
        repeated[0].overlap("train", "test")


def test_outliers_lie_apart_from_their_class(tmp_path: Path) -> None:
    centres = np.eye(3, 4, dtype="float32") * 4
    y = np.arange(90) % 3
    x = (centres[y] + RNG.normal(scale=0.3, size=(90, 4))).astype("float32")
    x[7] = centres[y[7]] + 40
    taps = [tt.Outputs(), tt.Activations("features", every="epoch", samples=90)]
    run = trained(tmp_path / "r", x, y, taps, epochs=3)
    report = run.identify((x, y))
    assert report.kept
    found = run.outliers("features")
    assert found.num_rows == 90
    assert found.column("sample_id")[0].as_py() == 7
    assert found.column("flagged")[0].as_py()
    assert sum(found.column("flagged").to_pylist()) <= 9

    values = run.activations("features", epoch=-1)
    rows = {each: row for row, each in enumerate(np.asarray(values.ids).tolist())}
    own = [each for each in rows if y[each] == y[7] and each != 7]
    features = np.asarray(values.values, np.float64)
    distances = np.sort([np.linalg.norm(features[rows[7]] - features[rows[each]]) for each in own])
    np.testing.assert_allclose(found.column("distance")[0].as_py(), distances[4], rtol=1e-5)


def test_outliers_say_what_they_lack(repeated: tuple[tt.Run, Any, Any], tmp_path: Path) -> None:
    run, x, _ = repeated
    assert run.outliers().num_rows == 60  # by the outputs
    with pytest.raises(tt.NotRecordedError, match=r"No activations of 'features' were recorded"):
        run.outliers("features")
    with pytest.raises(tt.TaskError, match=r"neighbors= is a number from 1\. Received: neighbors=0"):
        run.outliers(neighbors=0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x.sum(1), verbose=0, callbacks=[tt.Recorder(tmp_path / "r")])
    with pytest.raises(tt.TaskError):
        tt.open(tmp_path / "r").outliers()


def test_a_class_of_few_has_no_outliers(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(20, 4)).astype("float32"), np.repeat([0, 1], [17, 3])
    found = trained(tmp_path / "r", x, y).outliers().to_pylist()
    assert all((row["score"] is None) == (row["label"] == 1) for row in found)
    assert not any(row["flagged"] for row in found if row["label"] == 1)
