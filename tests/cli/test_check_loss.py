"""`truetap check-loss`, as a program that another program runs: one process per backend."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from truetap.backends.installed import BACKENDS, installed
from truetap.errors import LossError
from truetap.loss_checks.sample_batches import KINDS, kind_of, made

MODULE = """
import numpy as np
from keras import ops

def rounded(y_true, y_pred):
    print("words of the module")
    return ops.mean(ops.square(y_true - ops.round(y_pred)), axis=-1)

def squared(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)

def scalar(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred))

def batch():
    return np.zeros((4, 2)), np.ones((4, 2)), np.ones(4)

def three_times():
    return 3
"""
ONE = installed()[-1] if installed() else ""  # the quickest to start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made_here = tmp_path_factory.mktemp("losses")
    (made_here / "my_losses.py").write_text(MODULE)
    np.save(made_here / "true.npy", np.zeros((4, 1), "float32"))
    np.save(made_here / "pred.npy", np.linspace(0.1, 1, 4, dtype="float32")[:, None])
    return made_here


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "truetap", "check-loss", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder)


def test_all_backends_say_the_same(folder: Path) -> None:
    done = call(folder, "my_losses:rounded", "--json")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert not said["ok"]
    assert [report["backend"] for report in said["reports"]] == list(installed())
    assert said["not_installed"] == [name for name in BACKENDS if name not in installed()]
    findings = [report["findings"] for report in said["reports"]]
    assert all(each == findings[0] for each in findings)
    assert [each["rule"] for each in findings[0]] == ["no_gradient"]
    assert findings[0][0]["where"] == "round"


def test_a_sound_loss(folder: Path) -> None:
    done = call(folder, "my_losses:squared", "--backend", ONE, "--y-true", "true.npy", "--y-pred", "pred.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Batch: true.npy and pred.npy.\nLoss 'squared' on {ONE}: nothing found; ")


def test_data_of_a_function(folder: Path) -> None:
    done = call(folder, "my_losses:scalar", "--backend", ONE, "--data", "my_losses:batch")
    assert done.returncode == 1
    assert "Batch: the batch of my_losses:batch." in done.stdout
    assert "error: reduced_before_weights" in done.stdout
    ignored = call(
        folder, "my_losses:scalar", "--backend", ONE, "--data", "my_losses:batch", "--ignore", "reduced_before_weights"
    )
    assert ignored.returncode == 0, ignored.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my_losses:round"], "'my_losses:round' can't be imported"),
        (["no_such_module:loss"], "Expected: module:name"),
        (["mze"], "There is no loss 'mze' in keras.losses"),
        (["my_losses:squared", "--data", "my_losses:three_times"], "Received: int."),
        (["my_losses:squared", "--y-true", "true.npy"], "--y-true and --y-pred belong together"),
        (["my_losses:squared", "--y-true", "no.npy", "--y-pred", "4,1"], "no.npy is no .npy file that can be read"),
    ],
)
def test_not_understood(folder: Path, arguments: list[str], message: str) -> None:
    done = call(folder, *arguments, "--backend", ONE)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_help_shows_an_example(folder: Path) -> None:
    done = call(folder, "--help")
    assert done.returncode == 0
    assert "truetap check-loss my_losses:focal --kind binary" in done.stdout
    assert call(folder, "mse", "--backend", "tenorflow").returncode == 2


def test_made_up_batches() -> None:
    for kind in KINDS:
        batch = made(kind)
        assert len(batch.y_true) == len(batch.y_pred) == 8
        assert batch.y_pred.dtype == np.float32
        assert np.array_equal(made(kind).y_pred, batch.y_pred)
    with pytest.raises(LossError, match="There is no kind of batch 'cats'"):
        made("cats")


def test_kind_by_name() -> None:
    by_name = {
        "mse": "regression",
        "keras.losses:Huber": "regression",
        "my:focal": "binary",
        "my:BinaryFocal": "binary",
        "categorical_focal_crossentropy": "one-hot",
        "CategoricalHinge": "one-hot",
        "SparseCategoricalCrossentropy": "classes",
        "SquaredHinge": "signs",
        "my:soft_dice": "masks",
        "CTC": "letters",
    }
    assert {name: kind_of(name) for name in by_name} == by_name
