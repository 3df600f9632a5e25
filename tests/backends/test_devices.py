"""Training on two devices of one process: every sample once, and the numbers of a step worked out by hand.

What is compared with is plain NumPy over the whole batches, so it is at once what one device would give.
"""

from __future__ import annotations

import json
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

pytestmark = pytest.mark.skipif(BACKEND == "torch", reason="torch has no strategy for several devices of a process")

X, Y = data()
BATCHES = [slice(0, 8), slice(8, 16), slice(16, 24)]
CLOSE: Any = {"rtol": 2e-5, "atol": 1e-6}


def by_hand() -> Perceptron:
    return Perceptron(weights(), X, Y)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    command = [sys.executable, "-W", "error::UserWarning:truetap", "-m", "tests.backends.devices_in_a_process"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return told


@pytest.fixture(scope="module")
def run(folder: Path) -> tt.Run:
    return tt.open(folder / "run")


def test_training_is_not_changed(found: dict[str, Any]) -> None:
    for plain, recorded in (("plain", "recorded"), ("deep plain", "deep recorded")):
        assert found[recorded]["history"].keys() == found[plain]["history"].keys()
        for name, values in found[plain]["history"].items():
            np.testing.assert_allclose(found[recorded]["history"][name], values, **CLOSE)
        for one, other in zip(found[recorded]["weights"], found[plain]["weights"], strict=True):
            np.testing.assert_allclose(one, other, **CLOSE)


def test_it_is_the_training_of_one_device(found: dict[str, Any]) -> None:
    hand = by_hand()
    for _ in hand.steps(epochs=2):
        pass
    for one, other in zip(found["recorded"]["weights"], hand.weights, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_every_sample_is_there_once_in_each_pass(run: tt.Run, found: dict[str, Any]) -> None:
    names = sorted(fingerprint(X).tolist())
    for phase, epochs, expected in (
        ("train", [0, 1], names),
        ("val", [0, 1], sorted(fingerprint(X[:16]).tolist())),
        ("test", [0], names),
        ("predict", [0], names),
    ):
        for epoch in epochs:
            samples = run.samples(phase=phase, epoch=epoch)
            assert sorted(np.asarray(samples.ids).tolist()) == expected, (phase, epoch)
    np.testing.assert_array_equal(run.samples(phase="predict").y_pred, np.asarray(found["predicted"], "float32"))


def test_samples_have_the_values_of_their_step(run: tt.Run) -> None:
    hand, rows = by_hand(), run.samples(phase="train", epoch=[0, 1]).to_arrow()
    inputs = fingerprint(X)
    for step, x, y in hand.steps(epochs=2):
        own = rows.filter(np.asarray(rows["step"]) == step)
        np.testing.assert_array_equal(own["fingerprint"].to_numpy(), inputs[BATCHES[step % 3]])  # in their order
        assert own["position"].to_pylist() == list(range(8))
        y_pred = hand.forward(x)[1]
        np.testing.assert_allclose(np.stack(own["y_pred"].to_pylist()), y_pred, **CLOSE)
        np.testing.assert_array_equal(np.stack(own["y_true"].to_pylist()), y)
        np.testing.assert_allclose(own["loss"].to_numpy(), np.mean((y_pred - y) ** 2, axis=1), rtol=1e-4)


def test_the_loss_of_a_step_is_that_of_its_samples(run: tt.Run, found: dict[str, Any]) -> None:
    hand, scalars = by_hand(), run.scalars(phase="train")
    losses = [np.mean((hand.forward(x)[1] - y) ** 2) for _, x, y in hand.steps(epochs=2)]
    np.testing.assert_allclose(scalars["loss"].to_numpy(), losses, rtol=1e-5)
    assert scalars["samples"].to_pylist() == [8] * 6
    running = scalars["running/loss"].to_numpy()
    np.testing.assert_allclose(running[[2, 5]], found["recorded"]["history"]["loss"], rtol=1e-6)
    np.testing.assert_allclose(running[:3], np.cumsum(losses[:3]) / [1, 2, 3], rtol=1e-5)
    np.testing.assert_allclose(run.scalars(phase="test")["running/loss"][2].as_py(), found["evaluated"][0], rtol=1e-6)


def test_layers_and_gradients_are_those_of_the_batch(run: tt.Run) -> None:
    hand = by_hand()
    of_epoch = []
    for step, x, y in hand.steps():
        hidden, y_pred = hand.forward(x)
        of_epoch.append(hidden)
        gradients, by_hidden = hand.gradients(x, y)
        expected = {"mean": hidden.mean(), "std": hidden.std(), "max": hidden.max(), "zeros": np.mean(hidden == 0)}
        table = run.sql(
            f"select statistic, value from activations where phase = 'train' and over = 'batch' and step = {step}"
        )
        recorded = dict(table.fetchall())
        assert recorded.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(recorded[name], value, **CLOSE)
        norms = dict(run.sql(f"select path, value from gradients where phase = 'train' and step = {step}").fetchall())
        for name, gradient in zip(hand.names, gradients, strict=True):
            np.testing.assert_allclose(norms[name], np.sqrt(np.sum(gradient**2)), rtol=1e-4, atol=1e-6)
        kernel = raw(run, "gradients.hidden.kernel", step)[0]
        np.testing.assert_allclose(kernel, gradients[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(raw(run, "activation_gradients.hidden", step), by_hidden, rtol=1e-4, atol=1e-6)
        before = hand.weights[0].copy()
        moved = run.sql(f"select value from updates where statistic = 'norm' and step = {step}").fetchall()[0][0]
        np.testing.assert_allclose(moved, 0.05 * np.sqrt(np.sum(gradients[0] ** 2)), rtol=1e-3)
        after = raw(run, "weights.hidden.kernel", step)
        np.testing.assert_allclose(after[0], before - 0.05 * gradients[0], **CLOSE)
        last = raw(run, "activations.last", step)
        assert len(last) == (6 if step == 0 else 0)  # the cap is on samples of the step, not of a replica
        np.testing.assert_allclose(last, y_pred[: len(last)], **CLOSE)
    mean = run.sql("select value from activations where over = 'epoch' and phase = 'train' and epoch = 0").fetchall()
    np.testing.assert_allclose(mean[0][0], np.mean(of_epoch), **CLOSE)
    np.testing.assert_array_equal(raw(run, "inputs.x", 0), X[:5])


def raw(run: tt.Run, table: str, step: int) -> Array:
    """The values of a training step, as they lie in the run."""
    found = []
    for batch in run.reader.batches(table, phase="train"):
        own = batch.filter(np.asarray(batch["step"]) == step)
        if own.num_rows:
            found.append(own["values"].to_numpy_ndarray())
    return np.concatenate(found) if found else np.zeros((0, 1))


def test_state_that_is_shared_in_the_forward_pass(folder: Path, found: dict[str, Any]) -> None:
    """Statistics of batch normalisation, seeds of dropout, trackers of several losses: replicas meet at each."""
    run = tt.open(folder / "deep")
    samples = run.samples(phase="train", epoch=[0, 1]).to_arrow()
    assert sorted(samples["fingerprint"].to_pylist()) == sorted(fingerprint(X).tolist() * 2)
    for epoch, reported in enumerate(found["deep recorded"]["history"]["loss"]):
        own = samples.filter(np.asarray(samples["epoch"]) == epoch)
        np.testing.assert_allclose(own["loss"].to_numpy().mean(), reported, rtol=1e-5)
        summed = own["loss/a"].to_numpy() + own["loss/b"].to_numpy()
        np.testing.assert_allclose(own["loss"].to_numpy(), summed, rtol=1e-5)
    means = run.sql("select distinct path from activations order by path").fetchall()
    assert [path for (path,) in means] == ["a", "b", "drop", "hidden", "norm"]


def test_several_steps_of_an_execution_and_odd_batches(folder: Path, found: dict[str, Any]) -> None:
    run = tt.open(folder / "several")
    odd = BACKEND == "tensorflow"
    x = data(21 if odd else 24)[0]
    names = sorted(fingerprint(x).tolist())
    for phase in ("test", "predict"):
        assert sorted(run.samples(phase=phase).to_arrow()["fingerprint"].to_pylist()) == names
    losses = run.samples(phase="test").to_arrow()["loss"].to_numpy()
    np.testing.assert_allclose(losses.mean(), found["several evaluated"][0], rtol=1e-5)
    fits = [("odd", 21), ("one more", 17)] if odd else [("several", 24)]
    for epoch, (name, rows) in enumerate(fits):
        samples = run.samples(phase="train", epoch=epoch).to_arrow()
        assert sorted(samples["fingerprint"].to_pylist()) == sorted(fingerprint(x[:rows]).tolist())
        np.testing.assert_allclose(samples["loss"].to_numpy().mean(), found[name]["history"]["loss"][0], rtol=1e-5)
        mean = f"select sum(loss * samples) / sum(samples) from scalars where phase = 'train' and epoch = {epoch}"
        np.testing.assert_allclose(run.sql(mean).fetchall()[0][0], found[name]["history"]["loss"][0], rtol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="what Keras fails at on TensorFlow")
def test_what_keras_fails_at_is_refused(found: dict[str, Any]) -> None:
    for text, given in zip(found["refused"], ("steps_per_execution=2", "jit_compile=True"), strict=True):
        assert text == (
            f"Keras 3.15 fails at {given} under MirroredStrategy, so it can't be recorded. Received: 2 replicas. "
            "Expected: steps_per_execution=1 and jit_compile=False."
        )
