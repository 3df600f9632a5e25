"""What `EpochMetric` and `EpochLoss` refuse, in words; and how they read the rows of a pass."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
from keras import layers

import truetap as tt
from tests.backends.epoch_models import SEQUENCES, TAGS, Array, X, Y, bias, dense, fit, heads
from truetap.about import About
from truetap.columns import record_batch
from truetap.epoch_values.passes import PassRows, chunks
from truetap.store import RunReader, RunWriter


@pytest.fixture(scope="module")
def fit_again(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`fit` with one recorder and one model, which are compiled once."""
    return functools.partial(fit, tt.Recorder(tmp_path_factory.mktemp("again") / "run"), model=dense())


def test_no_recorder_or_one_that_comes_later(tmp_path: Path) -> None:
    with pytest.raises(tt.TapError, match=r"there is none\. Received: callbacks=\[EpochMetric, History\]\. Expected"):
        fit(tt.EpochMetric(bias))
    with pytest.raises(tt.TapError, match=r"comes before the recorder .* callbacks=\[EpochLoss, Recorder, History\]"):
        fit(tt.EpochLoss(), tt.Recorder(tmp_path / "run"))
    other = tt.Recorder(tmp_path / "other")
    with pytest.raises(tt.TapError, match=r"does not record this model now"):
        fit(tt.EpochMetric(bias, recorder=other))


def test_a_monitor_that_comes_too_early(tmp_path: Path) -> None:
    stop = keras.callbacks.EarlyStopping("val_bias", mode="min")
    with pytest.raises(tt.TapError, match=r"EarlyStopping monitors 'val_bias' and comes before the EpochMetric"):
        fit(tt.Recorder(tmp_path / "run"), stop, tt.EpochMetric(bias), validation_data=(X, Y))


@pytest.mark.parametrize(
    ("taps", "said"),
    [
        (tt.Outputs(samples=5), "only some of them are recorded"),
        (tt.Outputs(every=2), "only some of them are recorded"),
        (tt.Outputs(phases="val"), "none is recorded"),
        (tt.Weights("*"), "none is recorded"),
    ],
)
def test_a_record_of_some_samples(tmp_path: Path, taps: Any, said: str) -> None:
    with pytest.raises(tt.TapError, match=rf"EpochMetric needs every sample of phase 'train', and {said}\."):
        fit(tt.Recorder(tmp_path / "run", taps), tt.EpochMetric(bias))


def test_phases_may_be_left_out(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", tt.Outputs(phases="val"))
    history = fit(recorder, tt.EpochMetric(bias, phases="val"), validation_data=(X, Y)).history
    assert [name for name in history if "bias" in name] == ["val_bias"]
    callbacks = [tt.Recorder(tmp_path / "other", tt.Outputs(phases="train")), tt.EpochMetric(bias)]
    with pytest.raises(tt.TapError, match=r"needs every sample of phase 'val', and none is recorded"):
        fit(*callbacks, validation_data=(X, Y))


def test_several_outputs_and_none_chosen(tmp_path: Path) -> None:
    y = {"z": TAGS, "a": TAGS[..., :1]}
    for number, (callback, error) in enumerate(
        [
            (
                tt.EpochMetric(bias),
                r"Received: EpochMetric 'bias' of none of them. Expected: output= one of \['z', 'a'\]",
            ),
            (tt.EpochLoss("mae"), r"Received: EpochLoss\('mean_absolute_error'\) of none of them"),
            (tt.EpochMetric(bias, output="zz"), r"There is no output named 'zz'\. Near names: 'z'"),
        ]
    ):
        with pytest.raises(tt.StructureError, match=error):
            heads().fit(SEQUENCES, y, verbose=0, callbacks=[tt.Recorder(tmp_path / str(number)), callback])
    with pytest.raises(tt.StructureError, match=r"The model has one output\. Received: output='z'"):
        fit(tt.Recorder(tmp_path / "one"), tt.EpochMetric(bias, output="z"))


def test_values_that_are_no_number(fit_again: Any) -> None:
    def each(y_true: Array, y_pred: Array) -> Array:
        return np.asarray(y_pred - y_true)

    with pytest.raises(tt.TaskError, match=r"'each' needs one number\. Received: float32 of shape \(11, 1\)"):
        fit_again(tt.EpochMetric(each))
    with pytest.raises(tt.TaskError, match=r"Received: 'all': float32 of shape \(11, 1\)"):
        fit_again(tt.EpochMetric(lambda t, p: {"all": t}, name="m"))
    with pytest.raises(tt.TaskError, match=r"The logs have a value named 'loss' already\. .* name='epoch_loss'"):
        fit_again(tt.EpochMetric(bias, name="loss"))
    with pytest.raises(tt.TaskError, match=r"Labels were asked for\. Received: an output whose task is regression"):
        fit_again(tt.EpochMetric(bias, of="labels"))


def test_lengths_that_no_mask_tells() -> None:
    batches = [record_batch([("y_true", np.ones((2, T))), ("y_pred", np.ones((2, T)))]) for T in (3, 4)]
    found: Any = batches
    with pytest.raises(tt.TaskError, match=r"no mask says what is padding\. Received: .* \[\(\(3,\), \(3,\)\), "):
        tt.EpochMetric(bias)._values(found, About(), "epoch 0")


class Unlabelled(keras.Model):  # type: ignore[misc]
    """Learns to give its input back, without labels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = layers.Dense(4)

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        return keras.ops.mean(keras.ops.square(x - y_pred))


def test_data_without_labels(tmp_path: Path) -> None:
    for number, (callback, error, said) in enumerate(
        [
            (tt.EpochMetric(bias), tt.TaskError, r"'bias' needs labels\. Received: data without them"),
            (tt.EpochLoss("mse"), tt.LossError, r"needs labels\. Received: epoch 0 of phase 'train' without them"),
        ]
    ):
        model = Unlabelled()
        model.compile(keras.optimizers.SGD())
        with pytest.warns(tt.RecordingWarning, match="doesn't call a compiled loss"), pytest.raises(error, match=said):
            model.fit(X, verbose=0, callbacks=[tt.Recorder(tmp_path / str(number)), callback])


def test_a_function_that_raises_says_where(fit_again: Any) -> None:
    def broken(y_true: Array, y_pred: Array) -> float:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        fit_again(tt.EpochMetric(broken))
    said = (
        r"In EpochMetric 'broken', epoch \d of phase 'train', called with y_true float32 of shape \(11, 1\) and y_pred "
    )
    assert re.fullmatch(said + r"float32 of shape \(11, 1\)\.", caught.value.__notes__[0])


@pytest.mark.parametrize(
    ("make", "args", "error", "said"),
    [
        (tt.EpochMetric, {"fn": "f1"}, tt.TapError, r"takes a function fn\(y_true, y_pred\)\. Received: 'f1'"),
        (tt.EpochMetric, {"fn": lambda t, p: 0}, tt.TapError, r"A lambda has no name .* name='my_metric'"),
        (tt.EpochMetric, {"fn": bias, "of": "label"}, tt.TapError, r"'scores' or 'labels'\. Received: of='label'"),
        (tt.EpochMetric, {"fn": bias, "phases": "vall"}, tt.TapError, r"'vall' with labels\. Near names: 'val'"),
        (tt.EpochMetric, {"fn": bias, "recorder": "x"}, tt.TapError, r"recorder= is a tt\.Recorder\. Received: 'x'"),
        (tt.EpochLoss, {"loss": "huberr"}, tt.LossError, r"Keras knows no loss 'huberr'\. Near names: 'huber'"),
        (tt.EpochLoss, {"loss": 3}, tt.LossError, r"loss= is a Keras loss, its name, or a function .* Received: 3"),
        (tt.EpochLoss, {"normalize": "mean"}, tt.LossError, r"'weights' or None\. Received: normalize='mean'"),
    ],
)
def test_arguments(make: Any, args: dict[str, Any], error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        make(**args)


# --- reading ---------------------------------------------------------------------------------------------------------


def rows_of(phase: str, epoch: int, steps: list[int]) -> pa.RecordBatch:
    rows = len(steps)
    return record_batch(
        [
            ("phase", pa.array([phase] * rows)),
            ("epoch", np.full(rows, epoch, np.int32)),
            ("step", np.asarray(steps, np.int64)),
            ("y_pred", np.full((rows, 1), epoch, np.float32)),
        ]
    )


def test_the_last_pass_is_found_from_the_end(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", gather_bytes=0) as run:
        for epoch in range(3):
            run.write("samples", rows_of("train", epoch, [2 * epoch, 2 * epoch]))
            run.write("samples", rows_of("test", 7 + epoch, [epoch]))
            run.write("samples", rows_of("train", epoch, [2 * epoch + 1]))
            if epoch != 1:
                run.write("samples", rows_of("val", epoch, [epoch]))
    reader = RunReader(tmp_path / "run")

    def found(phase: str, epoch: int) -> tuple[int, int]:
        rows = PassRows.last(reader, phase, epoch)
        return rows.num_rows, rows.steps()

    assert found("train", 2) == (3, 2)
    assert found("val", 2) == found("test", 9) == (1, 1)
    assert found("train", 3) == found("val", 3) == found("predict", 0) == (0, 0)
    assert PassRows.last(reader, "train", 2).select(["y_pred"])[-1].schema.names == ["y_pred"]


def test_chunks_have_one_size() -> None:
    def batch(first: int, rows: int, width: int) -> pa.RecordBatch:
        values = np.arange(first, first + rows, dtype=np.float64)
        return record_batch([("a", np.repeat(values[:, None], width, 1)), ("b", values)])

    batches = [batch(0, 3000, 2), batch(3000, 6000, 2), batch(9000, 5, 3)]
    found = list(chunks(batches))
    assert [chunk["a"].shape for chunk in found] == [(4096, 2), (4096, 2), (808, 2), (5, 3)]
    np.testing.assert_array_equal(np.concatenate([chunk["b"] for chunk in found]), np.arange(9005))
    wide = record_batch([("a", np.zeros((3, 1 << 20)))])
    assert [chunk["a"].shape for chunk in chunks([wide])] == [(1, 1 << 20)] * 3
