"""Two processes that train one model: one run, every sample in it once, and the numbers of whole batches.

What is compared with is plain NumPy over the batches of both, so it is at once what one process would give.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import truetap as tt
from tests.backends.devices_in_a_process import data, weights
from tests.backends.models import BACKEND
from tests.backends.perceptron import Perceptron
from truetap.fingerprint import fingerprint

Array = npt.NDArray[Any]

TRAINS = pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras 3.15 can't train over several machines there")
TORCH = BACKEND == "torch"
CLOSE: Any = {"rtol": 5e-5, "atol": 1e-6}


def batches() -> tuple[Array, Array]:
    """What both see together; torch's sampler repeats the first of 23 samples, to make the shards even."""
    x, y = data()
    if TORCH:
        x[23], y[23] = x[0], y[0]
    return x, y


X, Y = batches()
PRINTS = fingerprint(X)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    command = [sys.executable, "-m", "tests.backends.workers_in_a_process", str(folder)]
    port = str(free_port())
    both = [
        subprocess.Popen([*command, rank, port], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for rank in ("1", "0")
    ]
    try:
        said = [process.communicate(timeout=200)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], "\n".join(text[-3000:] for text in said)
    return folder


def free_port() -> int:
    """One of two free ports side by side, as far as can be told."""
    while True:
        with socket.socket() as one, socket.socket() as next_one:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            try:
                next_one.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


@pytest.fixture(scope="module")
def found(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def run(folder: Path) -> tt.Run:
    return tt.open(folder / "run")


def by_hand() -> Perceptron:
    return Perceptron(weights(), X, Y)


def test_one_run_of_both(run: tt.Run, folder: Path) -> None:
    assert (run.complete, run.reader.workers, run.verify()) == (True, 2, [])
    manifests = sorted(path.name for path in (folder / "run").glob("manifest*"))
    assert manifests == ["manifest-00001.json", "manifest.json"]
    rows = run.sql("select worker, count(*) from samples group by worker order by worker").fetchall()
    assert rows == ([(0, 48), (1, 48)] if BACKEND != "tensorflow" else [(0, 11), (1, 11)])


@TRAINS
def test_every_sample_is_there_once_in_each_pass(run: tt.Run) -> None:
    for phase, epochs in (("train", [0, 1, 2]), ("test", [0])):
        for epoch in epochs:
            assert sorted(np.asarray(run.samples(phase=phase, epoch=epoch).ids).tolist()) == sorted(PRINTS.tolist())
    repeated = run.duplicates("train").to_pylist()
    expected = [{"fingerprint": int(PRINTS[0]), "count": 2, "sample_ids": [int(PRINTS[0])] * 2, "conflicting": False}]
    assert repeated == (expected if TORCH else [])


@TRAINS
def test_samples_come_in_the_order_of_steps_with_the_values_of_theirs(run: tt.Run) -> None:
    hand, rows = by_hand(), run.samples(phase="train", epoch=[0, 1, 2]).to_arrow()
    assert rows["step"].to_pylist() == [step for step in range(9) for _ in range(8)]
    for step, x, y in hand.steps(epochs=3):
        own = rows.filter(np.asarray(rows["step"]) == step)
        assert own["worker"].to_pylist() == [0] * 4 + [1] * 4
        assert own["position"].to_pylist() == [0, 1, 2, 3] * 2
        order = np.r_[0:8:2, 1:8:2] if TORCH else np.arange(8)  # torch deals them out in turns
        np.testing.assert_array_equal(own["fingerprint"].to_numpy(), fingerprint(x)[order])
        y_pred = hand.forward(x)[1]
        np.testing.assert_allclose(np.stack(own["y_pred"].to_pylist()), y_pred[order], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.stack(own["y_true"].to_pylist()), y[order])
        errors = np.mean((y_pred - y) ** 2, axis=1)
        np.testing.assert_allclose(own["loss"].to_numpy(), errors[order], rtol=1e-3, atol=1e-6)


@TRAINS
def test_both_trained_the_model_of_one_process(found: list[dict[str, Any]]) -> None:
    hand = by_hand()
    for _ in hand.steps(epochs=3):
        pass
    for told in found:
        for one, other in zip(told["weights"], hand.weights, strict=True):
            np.testing.assert_allclose(one, other, **CLOSE)


@TRAINS
def test_a_step_is_one_row(run: tt.Run, found: list[dict[str, Any]]) -> None:
    scalars, hand = run.scalars(phase="train"), by_hand()
    losses = [np.mean((hand.forward(x)[1] - y) ** 2) for _, x, y in hand.steps(epochs=3)]
    assert scalars["step"].to_pylist() == list(range(9))
    assert scalars["samples"].to_pylist() == [8] * 9
    assert "worker" not in scalars.column_names
    np.testing.assert_allclose(scalars["loss"].to_numpy(), losses, rtol=1e-4)
    assert run.epochs()["epoch"].to_pylist() == [0, 1, 2]
    if not TORCH:  # there each process logs its own samples
        np.testing.assert_allclose(run.epochs()["loss"].to_numpy()[:2], found[0]["history"]["loss"], rtol=1e-6)
        np.testing.assert_allclose(found[0]["history"]["loss"], np.reshape(losses, (3, 3)).mean(axis=1)[:2], rtol=1e-5)
    assert run.sql("select count(*) from scalars where phase = 'train'").fetchall() == [(18,)]


@TRAINS
def test_layers_and_gradients(run: tt.Run) -> None:
    """Of the whole batch; but on torch no process sees the activations of another, and the first is read."""
    hand = by_hand()
    for step, x, y in hand.steps(epochs=3):
        hidden, y_pred = hand.forward(x)
        seen = hidden[::2] if TORCH else hidden
        for statistic, value in (("mean", seen.mean()), ("max", seen.max())):
            own = run.activations("hidden", phase="train", step=step).statistics[statistic]
            np.testing.assert_allclose(np.ravel(own), value, rtol=1e-4)
        norms = dict(run.sql(f"select path, value from gradients where step = {step} and worker = 0").fetchall())
        for name, gradient in zip(hand.names, hand.gradients(x, y)[0], strict=True):
            np.testing.assert_allclose(norms[name], np.sqrt(np.sum(gradient**2)), rtol=1e-3, atol=1e-6)
        if step in (0, 3, 6):  # the cap is on samples of each worker, in each epoch
            last = run.activations("last", phase="train", step=step)
            order = np.r_[0:6:2, 1:6:2] if TORCH else np.r_[0:3, 4:7]
            np.testing.assert_allclose(np.asarray(last.values), y_pred[order], rtol=1e-4, atol=1e-5)


@TRAINS
def test_a_run_that_is_there_is_refused_to_each(found: list[dict[str, Any]]) -> None:
    assert all("There is a run at" in told["refused"] and "resume=True" in told["refused"] for told in found)


@TRAINS
def test_what_reads_whole_epochs_on_the_way_is_refused(found: list[dict[str, Any]]) -> None:
    for rank, told in enumerate(found):
        assert told["callbacks"] == [
            f"{name} reads a whole epoch when it ends, and each process has only its own samples then. Received: "
            f"worker {rank} of 2. Expected: what is computed from the run after training, such as "
            "run.samples(…).evaluate() or run.diagnose()."
            for name in ("Watch", "EpochLoss")
        ]


@pytest.mark.skipif(BACKEND != "jax", reason="what Keras can't do on JAX")
def test_predicting_over_processes_is_refused(found: list[dict[str, Any]]) -> None:
    for told in found:
        assert told["predict"] == (
            "Keras 3.15 can't predict over several processes: it asks for rows of the others. Received: predict with "
            "2 processes. Expected: evaluate; or predict in a process of its own."
        )


@pytest.mark.skipif(BACKEND != "torch", reason="of torch's processes")
def test_processes_that_do_not_train_together_are_told(found: list[dict[str, Any]]) -> None:
    for told in found:
        unsynced, *ignored = told["warned"]
        assert unsynced.startswith("torch.distributed runs 2 processes, and the model trains by Keras' own train_step")
        assert len(ignored) == told["distributed"]
        assert all(text.startswith("keras.distribution is set, and Keras 3.15 ignores it on torch") for text in ignored)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow's workers")
def test_what_keras_can_do_over_machines(run: tt.Run, found: list[dict[str, Any]]) -> None:
    x = data(22)[0]
    samples = run.samples(phase="predict").to_arrow()
    expected = by_hand().forward(x)[1]
    by_print = dict(zip(fingerprint(x).tolist(), expected, strict=True))
    assert sorted(samples["fingerprint"].to_pylist()) == sorted(by_print)
    hand = np.stack([by_print[each] for each in samples["fingerprint"].to_pylist()])
    np.testing.assert_allclose(np.stack(samples["y_pred"].to_pylist()), hand, **CLOSE)
    for told in found:
        assert np.shape(told["predicted"]) == (22, 1)
        assert told["refused"].startswith("Keras 3.15 can't train or evaluate under MultiWorkerMirroredStrategy (")
