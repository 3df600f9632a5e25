"""Who is who among recorded samples: by fingerprint alone, and by ids that travel through augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from tests.backends.models import BACKEND, sequential
from tests.backends.recorded import rows
from truetap.fingerprint import fingerprint

RNG = np.random.default_rng(11)
X = RNG.normal(size=(22, 4)).astype("float32")
Y = np.arange(22).astype("float32")  # a sample is known by its label


def model() -> Any:
    return sequential(keras.layers.Dense(1), optimizer="sgd")


def labels_by_id(path: Path) -> dict[Any, set[float]]:
    found: dict[Any, set[float]] = {}
    samples = rows(path, "samples")
    for name, label in zip(samples["sample_id"], samples["y_true"], strict=True):
        found.setdefault(name, set()).add(float(np.ravel(label)[0]))
    return found


def test_a_sample_keeps_its_identity_over_shuffled_epochs_runs_and_phases(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run")
    fitted = model()
    fitted.fit(X, Y, epochs=3, batch_size=8, shuffle=True, verbose=0, callbacks=[recorder])
    fitted.evaluate(X, Y, batch_size=5, verbose=0, callbacks=[recorder])
    again = tt.Recorder(tmp_path / "run", resume=True)
    fitted.fit(X[::-1], Y[::-1], batch_size=4, verbose=0, callbacks=[again])
    by_id = labels_by_id(tmp_path / "run")
    assert len(by_id) == 22
    assert all(len(labels) == 1 for labels in by_id.values())
    assert rows(tmp_path / "run", "scalars", "train")["epoch"][-1] == 3


def test_prints_of_the_step_are_those_of_the_host(tmp_path: Path) -> None:
    model().fit(X, Y, batch_size=8, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    assert rows(tmp_path / "run", "samples")["fingerprint"] == fingerprint(X).tolist()


class Augmented(keras.utils.PyDataset):  # type: ignore[misc]
    """Noise is added anew every time a batch is made."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        part = slice(index * 8, index * 8 + 8)
        return X[part] + RNG.normal(size=X[part].shape).astype("float32"), Y[part]


def test_augmentation_is_noticed(tmp_path: Path) -> None:
    with pytest.warns(tt.RecordingWarning, match="met again"):
        model().fit(Augmented(), epochs=3, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])


def test_no_augmentation_is_not_noticed(tmp_path: Path) -> None:
    model().fit(X, Y, epochs=3, batch_size=8, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])


def test_ids_of_arrays(tmp_path: Path) -> None:
    names = [f"file-{i}.png" for i in range(22)]
    data = tt.with_ids((X, Y), ids=names)
    x, y = data.elements
    model().fit(x, y, epochs=2, batch_size=8, shuffle=True, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    assert labels_by_id(tmp_path / "run") == {name: {float(i)} for i, name in enumerate(names)}


def test_ids_travel_through_augmentation_in_tf_data(tmp_path: Path) -> None:
    import tensorflow as tf  # its datasets feed every backend

    data = tt.with_ids(tf.data.Dataset.from_tensor_slices((X, Y)), ids=[f"n{i}" for i in range(22)])
    data = data.shuffle(22).map(lambda x, y: (x + tf.random.normal(tf.shape(x)), y)).batch(8)
    model().fit(data.elements, epochs=3, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    assert labels_by_id(tmp_path / "run") == {f"n{i}": {float(i)} for i in range(22)}
    assert len(rows(tmp_path / "run", "samples")["step"]) == 66


if BACKEND == "torch":
    import torch

    class Noisy(torch.utils.data.Dataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 22

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            return torch.tensor(X[index]) + torch.randn(4), torch.tensor(Y[index])

    def test_ids_travel_through_augmentation_in_a_loader(tmp_path: Path) -> None:
        data = tt.with_ids(torch.utils.data.DataLoader(Noisy(), batch_size=8, shuffle=True))
        model().fit(data.elements, epochs=3, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
        assert labels_by_id(tmp_path / "run") == {i: {float(i)} for i in range(22)}


def test_batches_that_fill_one_buffer_again(tmp_path: Path) -> None:
    """As loaders with pinned memory do: what is recorded must be of its own step."""
    recorder = tt.Recorder(tmp_path / "run")
    fitted = model()
    x, y = np.zeros((8, 4), np.float32), np.zeros(8, np.float32)
    with recorder.attach(fitted):
        for step in range(8):
            part = slice(step % 2 * 8, step % 2 * 8 + 8)
            x[:], y[:] = X[part], Y[part]
            fitted.train_on_batch(x, y)
    samples = rows(tmp_path / "run", "samples")
    assert np.ravel(samples["y_true"]).tolist() == [*range(16)] * 4
    assert samples["fingerprint"] == fingerprint(X[:16]).tolist() * 4


@pytest.mark.skipif(BACKEND == "tensorflow", reason="tf.data reads a generator's arrays in place, ahead of the step")
def test_a_generator_that_fills_one_buffer_again(tmp_path: Path) -> None:
    def generator() -> Iterator[Any]:
        x, y = np.zeros((8, 4), np.float32), np.zeros(8, np.float32)
        while True:
            for start in (0, 8):
                x[:], y[:] = X[start : start + 8], Y[start : start + 8]
                yield x, y

    model().fit(generator(), steps_per_epoch=4, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    samples = rows(tmp_path / "run", "samples")
    label = dict(zip(fingerprint(X).tolist(), Y.tolist(), strict=True))
    assert len(samples["step"]) == 32
    # Keras looks at some batches ahead, so which the step saw is the generator's doing; x and y belong together.
    assert np.ravel(samples["y_true"]).tolist() == [label[each] for each in samples["fingerprint"]]
