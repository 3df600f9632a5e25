"""`collect` itself: memory, progress, buffers that are filled anew, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt

Array = npt.NDArray[Any]

PEAK = """
import resource, sys
import numpy as np, keras
import truetap as tt
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4000, activation="softmax")])
model.compile(loss="sparse_categorical_crossentropy")
rng = np.random.default_rng(0)
batches = ((rng.normal(size=(100, 8)).astype("float32"), rng.integers(0, 4000, 100)) for _ in range(int(sys.argv[1])))
samples = tt.collect(model, batches, to=sys.argv[2])
assert len(samples) == 100 * int(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.fixture
def line() -> Any:
    """A model that returns its two inputs, so that what was read can be seen."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Activation("linear")])
    model.compile(loss="mse")
    return model


def test_memory_is_flat_with_to(tmp_path: Path) -> None:
    """160 MB of predictions more must not be seen in the peak."""
    peaks = []
    for batches in (2, 100):
        command = [sys.executable, "-c", PEAK, str(batches), str(tmp_path / str(batches))]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < 1.1 * peaks[0], f"peak memory in KB at 200 and 10,000 rows: {peaks}"


def test_a_bar_is_shown_when_asked_for_and_not_into_a_file(line: Any, capfd: pytest.CaptureFixture[str]) -> None:
    data = (np.arange(140, dtype="float32").reshape(70, 2), np.ones((70, 2), "float32"))
    tt.collect(line, data)
    assert capfd.readouterr() == ("", "")
    tt.collect(line, data, verbose=1)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "3/3 batches, 70 samples" in shown.err


def test_a_generator_may_fill_the_same_buffers_again(line: Any) -> None:
    def batches() -> Iterator[tuple[Array, Array, Array]]:
        x, y, weight = np.empty((4, 2), "float32"), np.empty((4, 2), "float32"), np.empty(4, "float32")
        for step in range(6):
            x[:], y[:], weight[:] = step, 10 * step, step + 0.5
            yield x, y, weight
        x[:], y[:], weight[:] = -1, -1, -1

    samples = tt.collect(line, batches(), inputs=True)
    steps = np.repeat(np.arange(6), 4)
    np.testing.assert_array_equal(samples.y_pred[:, 0], steps)
    np.testing.assert_array_equal(samples.inputs[:, 0], steps)
    np.testing.assert_array_equal(samples.y_true[:, 0], 10 * steps)
    np.testing.assert_array_equal(samples.sample_weight, steps + 0.5)
    assert len(np.unique(samples.fingerprints)) == 6


def test_arrays_may_change_afterwards(line: Any) -> None:
    x, y = np.ones((5, 2), "float32"), np.ones((5, 2), "float32")
    samples = tt.collect(line, (x, y), inputs=True)
    x[:], y[:] = 7, 7
    assert (samples.y_true == 1).all()
    assert (samples.inputs == 1).all()


def test_no_value_is_held_twice(line: Any) -> None:
    """A column that was asked for as a whole is the memory of its batches too."""
    data = np.arange(140, dtype="float32").reshape(70, 2)
    samples = tt.collect(line, (data, data))
    whole = samples.y_pred
    batch = samples.record_batches[1].column("y_pred").to_numpy_ndarray()
    assert np.shares_memory(whole, batch)
    np.testing.assert_array_equal(batch, data[32:64])


def test_stream_draws_nothing_that_was_not_asked_for(line: Any) -> None:
    drawn = []

    def batches() -> Iterator[tuple[Array, Array]]:
        for step in range(5):
            drawn.append(step)
            yield np.full((3, 2), step, "float32"), np.zeros((3, 2))

    source = batches()
    for batch in tt.stream(line, source):
        if batch.y_pred[0, 0] == 1:
            break
    assert drawn == [0, 1]
    rest = tt.collect(line, source, steps=2)
    assert drawn == [0, 1, 2, 3]
    assert rest.y_pred[:, 0].tolist() == [2, 2, 2, 3, 3, 3]


def test_padding_that_differs_from_batch_to_batch(tmp_path: Path) -> None:
    """Batches of 3, 5 and 4 steps: padded to 5 at the end, in memory and on disk."""
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.Activation("linear")])
    lengths = [3, 5, 5, 4]
    x = [np.full((2, steps, 2), row + 0.5, "float32") for row, steps in enumerate(lengths)]

    def batches() -> Iterator[tuple[Array, Array]]:
        yield from ((each, each) for each in x)

    expected = np.zeros((8, 5, 2), "float32")
    for row, each in enumerate(x):
        expected[2 * row : 2 * row + 2, : each.shape[1]] = each
    held = tt.collect(model, batches)
    written = tt.collect(model, batches, to=tmp_path / "run")
    for samples in (held, written, tt.open(tmp_path / "run").samples()):
        np.testing.assert_array_equal(samples.y_pred, expected)
        np.testing.assert_array_equal(samples.y_true, expected)
        np.testing.assert_array_equal(samples[[7, 0]].y_pred[:, :3], expected[[7, 0], :3])
        assert samples.to_arrow().num_rows == 8


def test_a_call_that_failed_at_once_leaves_nothing_in_the_way(line: Any, tmp_path: Path) -> None:
    x = np.arange(8, dtype="float32").reshape(4, 2)
    with pytest.raises(tt.StructureError):
        tt.collect(line, (x, [x, x]), to=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert len(tt.collect(line, (x, x), to=tmp_path / "run")) == 4


def test_what_was_said_is_in_the_run(line: Any, tmp_path: Path) -> None:
    x = np.arange(8, dtype="float32").reshape(4, 2)
    twice = [(x, x), (x, x)]
    with pytest.warns(tt.DataWarning, match="From row 4 on the source starts over"):
        written = tt.collect(line, iter(twice), to=tmp_path / "run")
    opened = tt.open(tmp_path / "run").samples()
    assert opened.notices == written.notices
    assert "From row 4 on" in opened.notices[0]


def test_rows_before_an_early_end_are_in_the_error_and_on_disk(line: Any, tmp_path: Path) -> None:
    x = np.arange(8, dtype="float32").reshape(4, 2)
    with pytest.raises(tt.DataEndedEarly, match="ended after 1 of 3 batches") as raised:
        tt.collect(line, iter([(x, x)]), steps=3, to=tmp_path / "run")
    assert raised.value.samples is not None
    np.testing.assert_array_equal(raised.value.samples.y_pred, x)
    run = tt.open(tmp_path / "run")
    assert not run.complete
    assert len(run.samples()) == 4


class Loop(keras.layers.Layer):  # type: ignore[misc]
    """Calls its inner layer three times, in a loop that TensorFlow and JAX compile."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner = keras.layers.Dense(2, use_bias=False, kernel_initializer="ones", name="inner")

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        start = (keras.ops.convert_to_tensor(0), x)
        return keras.ops.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, self.inner(h)), start)[1]


def test_a_layer_in_a_users_own_loop_is_seen_or_refused() -> None:
    model = keras.Sequential([keras.Input((2,)), Loop(name="loop")])
    x = np.asarray([[1, 2], [0, 1]], "float32")
    np.testing.assert_array_equal(tt.collect(model, (x, x), layers="loop").layers["loop"], [[12, 12], [4, 4]])
    if keras.backend.backend() == "torch":  # op by op, so each call is seen
        layers = tt.collect(model, (x, x), layers="inner").layers
        assert [layers[key][0, 0] for key in ("loop/inner", "loop/inner#1", "loop/inner#2")] == [3, 6, 12]
        return
    with pytest.raises(tt.LayerError, match=r"inside a compiled loop or branch .* Received: layers loop/inner"):
        tt.collect(model, (x, x), layers="inner")
    assert all("call" not in vars(layer) for layer in (model.layers[0], model.layers[0].inner))


def test_rows_are_chosen_by_slice_index_and_mask(line: Any) -> None:
    data = np.arange(140, dtype="float32").reshape(70, 2)
    samples = tt.collect(line, (data, data), ids=np.arange(70))
    assert samples[5:60:20].ids.tolist() == [5, 25, 45]
    assert samples[[69, -1, 0]].ids.tolist() == [69, 69, 0]
    assert samples[data[:, 0] > 130].ids.tolist() == [66, 67, 68, 69]
    assert len(samples[np.zeros(70, bool)]) == 0
    with pytest.raises(tt.DataError, match=r"Received: shape \(3,\)\. Expected: \(70,\)"):
        samples[np.ones(3, bool)]
    with pytest.raises(IndexError, match=r"no such row\. Received: 70\. Expected: from -70 to 69"):
        samples[[70]]


@pytest.mark.parametrize("column", ["features", "another"])
def test_a_column_of_a_dict_goes_into_a_sequential_model(column: str) -> None:
    model = keras.Sequential([keras.Input((3,), name="features"), keras.layers.Dense(2, use_bias=False)])
    model.compile("sgd", "mse")
    x = np.arange(15, dtype="float32").reshape(5, 3)
    samples = tt.collect(model, ({column: x}, np.zeros((5, 2), "float32")))
    np.testing.assert_allclose(samples.y_pred, x @ np.asarray(model.get_weights()[0]), rtol=1e-5)
