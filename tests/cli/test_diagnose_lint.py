"""`truetap diagnose` and `truetap lint`, as programs that another program runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from truetap.backends.installed import installed

MODULE = """
import keras
import numpy as np

import truetap as tt

rng = np.random.default_rng(0)
x = rng.normal(size=(60, 4)).astype("float32")
data = x, rng.integers(0, 3, 60)

def made(activation):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation=activation)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model

def squashed():
    return made("softmax")

sound = made(None)

def record():
    squashed().fit(*data, verbose=0, callbacks=[tt.Recorder("run", taps="diagnose")])
"""
ONE = installed()[-1] if installed() else ""  # the quickest to start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made_here = tmp_path_factory.mktemp("training")
    (made_here / "my_training.py").write_text(MODULE)
    call = [sys.executable, "-c", "import my_training; my_training.record()"]
    subprocess.run(call, check=True, timeout=240, cwd=made_here, env=environment())
    return made_here


def environment() -> dict[str, str]:
    return {**os.environ, "KERAS_BACKEND": ONE, "PYTHONPATH": os.pathsep.join(each or "." for each in sys.path)}


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "truetap", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=folder, env=environment())


def test_lint_says_what_is_wrong(folder: Path) -> None:
    done = call(folder, "lint", "my_training:squashed", "my_training:data", "--backend", ONE, "--json")
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert said["backend"] == ONE
    assert "probabilities_as_logits" in [finding["rule"] for finding in said["findings"]]


def test_lint_of_a_sound_model_and_skipped_rules(folder: Path) -> None:
    done = call(folder, "lint", "my_training:sound", "my_training:data", "--skipped")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one batch says nothing of it; run.diagnose() does" in done.stdout


def test_lint_of_what_is_not_there(folder: Path) -> None:
    done = call(folder, "lint", "my_training:nothing", "my_training:data")
    assert done.returncode == 2
    assert "'my_training:nothing' can't be imported" in done.stderr


def test_diagnose_reads_a_run_without_a_backend(folder: Path) -> None:
    done = call(folder, "diagnose", "run")
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("Run 'run' on " + ONE)
    assert "error: probabilities_as_logits" in done.stdout


def test_diagnose_of_what_is_no_run_or_no_rule(folder: Path) -> None:
    assert call(folder, "diagnose", "elsewhere").returncode == 2
    done = call(folder, "diagnose", "run", "--ignore", "overfiting")
    assert done.returncode == 2
    assert "There is no rule 'overfiting'." in done.stderr


def test_a_run_without_its_model_is_diagnosed_without_keras(folder: Path) -> None:
    heavy = ("keras", "tensorflow", "jax", "torch")
    code = f"import sys, truetap as tt; tt.open('run').diagnose(); print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=240, cwd=folder, env=environment()
    )
    assert done.stdout.strip() == "[]", done.stderr
