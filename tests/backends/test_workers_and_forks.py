"""Data from worker processes, forked and spawned while a recording runs; and two recorders on one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from tests.backends.models import X, Y, sequential
from tests.backends.numbered_data import SAMPLES, Numbers
from tests.backends.recorded import rows
from truetap.store import RunReader

# Backends say that they don't like to be forked; the data loaders do it all the same.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class NumberBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """The same data in batches of eight."""

    def __len__(self) -> int:
        return SAMPLES // 8

    def __getitem__(self, batch: int) -> tuple[Any, ...]:
        pairs = [Numbers()[number] for number in range(8 * batch, 8 * batch + 8)]
        return tuple(np.stack(part) for part in zip(*pairs, strict=True))


def check(folder: Path, epochs: int) -> None:
    """Each sample once in each epoch, with its label; nothing of a worker's."""
    reader = RunReader(folder)
    assert reader.complete
    assert reader.verify() == []
    found = rows(folder, "samples")
    for epoch in range(epochs):
        true = [float(np.ravel(y)[0]) for y, at in zip(found["y_true"], found["epoch"], strict=True) if at == epoch]
        assert sorted(true) == [2.0 * number for number in range(SAMPLES)]
    assert len(found["step"]) == epochs * SAMPLES
    assert rows(folder, "scalars")["step"] == list(range(epochs * SAMPLES // 8))


def trained(folder: Path, data: Any, epochs: int = 2) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-6), "mse")
    recorder = tt.Recorder(folder, flush_seconds=0.05, on_error="raise")
    model.fit(data, epochs=epochs, shuffle=False, verbose=0, callbacks=[recorder])
    recorder.finish()


@pytest.mark.parametrize(("context", "workers"), [("fork", 2), ("spawn", 1)])
def test_a_data_loader_with_worker_processes(tmp_path: Path, context: str, workers: int) -> None:
    data = pytest.importorskip("torch.utils.data")
    options = {"num_workers": workers, "multiprocessing_context": context, "persistent_workers": True}
    loader = data.DataLoader(Numbers(), batch_size=8, shuffle=True, **options)
    trained(tmp_path / "run", loader)
    check(tmp_path / "run", 2)


@pytest.mark.parametrize("processes", [False, True])
def test_a_pydataset_with_workers(tmp_path: Path, processes: bool) -> None:
    trained(tmp_path / "run", NumberBatches(workers=2, use_multiprocessing=processes))
    check(tmp_path / "run", 2)


def test_two_recorders_on_one_folder(tmp_path: Path) -> None:
    """The second is refused, by a warning: training goes on, and the first has each row once."""
    folder = tmp_path / "run"
    model = sequential(keras.layers.Dense(1), optimizer="sgd")
    first, second = tt.Recorder(folder), tt.Recorder(folder, resume=True)
    with pytest.warns(tt.RecordingWarning, match=r"training goes on: .* is being written by process"):
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[first, second])
    first.finish()
    found = rows(folder, "samples")
    assert len(found["step"]) == 2 * len(X)
    assert len({*zip(found["step"], found["position"], strict=True)}) == 2 * len(X)
    assert RunReader(folder).complete
