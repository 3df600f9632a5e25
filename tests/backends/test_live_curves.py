"""`tt.LiveCurves` changes nothing of a training, on any backend, in a real kernel and outside one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

import truetap as tt
from tests.backends.models import BACKEND, X, Y, sequential
from tests.cli.calling import environment
from tests.notebook.kernel import execute
from truetap.notebook.live import LiveCurves

SETUP = """
import tempfile
import keras
import numpy as np
import truetap as tt
from truetap.notebook.live import LiveCurves

rng = np.random.default_rng(5)
x, y = rng.normal(size=(70, 4)).astype("float32"), rng.normal(size=(70, 1)).astype("float32")

class Counted(keras.layers.Layer):
    calls = 0
    def call(self, x):
        Counted.calls += 1
        return keras.ops.tanh(x)

def fit(live):
    keras.utils.set_random_seed(2)
    Counted.calls = 0
    layers = [keras.layers.Dense(5), Counted(), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("adam", "mse")
    recorder = tt.Recorder(tempfile.mkdtemp() + "/run", flush_seconds=0.1)
    callbacks = [recorder, *([LiveCurves(refresh_seconds=0.1)] if live else [])]
    data = {"validation_data": (x[:30], y[:30])}
    history = model.fit(x, y, epochs=6, batch_size=8, verbose=0, callbacks=callbacks, **data)
    return history.history, [np.asarray(each) for each in model.get_weights()], Counted.calls
"""
FIT = "live = fit(True)"
COMPARE = """
plain = fit(False)
print(keras.backend.backend())
print(live[0] == plain[0], all(np.array_equal(*pair) for pair in zip(live[1], plain[1])), live[2] == plain[2])
"""


def test_a_training_is_the_same_with_curves_and_without() -> None:
    ended = execute(SETUP, FIT, COMPARE)
    assert ended.words(2).splitlines() == [BACKEND, "True True True"]
    shown = ended.html(1)
    assert "train: loss by step" in shown
    assert " at 53" in shown  # six epochs of nine steps


def test_it_needs_a_recorder_before_it(tmp_path: Path) -> None:
    model: Any = sequential(keras.layers.Dense(1))
    with pytest.raises(tt.TapError, match=r"LiveCurves reads what a tt\.Recorder has recorded, and there is none"):
        model.fit(X, Y, verbose=0, callbacks=[LiveCurves()])
    with pytest.raises(tt.TapError, match="LiveCurves comes before the recorder"):
        model.fit(X, Y, verbose=0, callbacks=[LiveCurves(), tt.Recorder(tmp_path / "run")])


def test_outside_a_notebook_it_says_once_that_it_draws_nothing(tmp_path: Path) -> None:
    code = (
        "import warnings, truetap as tt\n"
        "from tests.backends.models import X, Y, sequential\n"
        "from truetap.notebook.live import LiveCurves\n"
        "model = sequential(__import__('keras').layers.Dense(1))\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    for name in 'ab':\n"
        f"        model.fit(X, Y, verbose=0, callbacks=[tt.Recorder({str(tmp_path)!r} + '/' + name), LiveCurves()])\n"
        "print([str(each.message)[:70] for each in said if each.category is tt.RecordingWarning])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(), timeout=240)
    last = done.stdout.splitlines()[-1]
    assert last == "['LiveCurves draws in notebooks, and this is none: nothing is drawn. `tr']", done.stderr
