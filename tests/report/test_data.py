"""Inputs that were not recorded, found in the data that the report is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt
from tests.report.test_images import read
from truetap.report.gather import gather
from truetap.run import Run

RNG = np.random.default_rng(0)
PIXELS: npt.NDArray[np.int64] = RNG.integers(0, 256, (60, 8, 8, 1))
PIXELS[:, 0, 0] = 255  # so that white is known
LABELS = RNG.integers(0, 3, 60)


def images(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return (pixels / 255).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("data") / "run"
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images(PIXELS), LABELS, epochs=2, batch_size=16, verbose=0, callbacks=[tt.Recorder(path)])
    found = tt.open(path)
    found.identify((images(PIXELS), LABELS))
    return found


def test_each_sample_has_its_own_picture_whatever_the_order_of_the_data(run: Run) -> None:
    order = RNG.permutation(60)
    content = gather(run, data=(images(PIXELS[order]), LABELS[order]))
    assert len(content.samples) >= 50
    for sample in content.samples.values():
        (shown,) = sample.inputs
        assert shown.kind == "image"
        assert np.array_equal(read(shown.data), PIXELS[int(sample.name)]), sample.name


def test_samples_that_the_data_lack_are_shown_without(run: Run) -> None:
    content = gather(run, data=images(PIXELS[:20]))
    known = {int(each.name) for each in content.samples.values() if each.inputs}
    assert known == {int(each.name) for each in content.samples.values()} & set(range(20))


def test_other_data_are_refused(run: Run) -> None:
    said = r"None of the 5[0-9] samples that are shown is in these data\. Received: 60 samples"
    with pytest.raises(tt.IdError, match=said):
        gather(run, data=images(PIXELS) + 1)


def test_without_data_there_are_no_inputs(run: Run) -> None:
    assert all(sample.inputs == () for sample in gather(run).samples.values())


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="strings go into a model on TensorFlow alone")
def test_texts_that_stand_beside_their_samples(tmp_path: Path) -> None:
    words = np.asarray([f"word {row}" for row in range(12)])
    lookup = keras.layers.TextVectorization(output_mode="multi_hot", vocabulary=[f"{row}" for row in range(12)])
    model = keras.Sequential([keras.Input((), dtype="string"), lookup, keras.layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    recorder = tt.Recorder(tmp_path / "run", taps=[tt.Outputs(), tt.Inputs()])
    model.fit(keras.ops.convert_to_tensor(words), np.arange(12) % 2, verbose=0, callbacks=[recorder])
    run = tt.open(tmp_path / "run")
    run.identify(keras.ops.convert_to_tensor(words))
    samples = gather(run).samples.values()
    assert len(samples) == 12
    assert {(each.name, each.inputs[0].kind, each.inputs[0].data) for each in samples} == {
        (str(row), "text", f"word {row}") for row in range(12)
    }
