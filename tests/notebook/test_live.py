"""Live curves and things that show themselves, in a real kernel."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest

import truetap as tt
from truetap.notebook.live import LiveCurves

from .kernel import Executed, execute

SETUP = """
import sys, tempfile, threading, time
import keras
import numpy as np
import truetap as tt
from truetap.notebook.live import LiveCurves

rng = np.random.default_rng(0)
x, y = rng.normal(size=(640, 4)).astype("float32"), rng.normal(size=640).astype("float32")

class Slow(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.1)

class Stopped(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 12:
            raise ValueError("stopped")

def fit(*more, epochs=30, **options):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanAbsoluteError(name="<b>mae")])
    recorder = tt.Recorder(tempfile.mkdtemp() + "/run", flush_seconds=0.1)
    callbacks = [recorder, LiveCurves(recorder, **options), *more]
    model.fit(x, y, validation_data=(x[:64], y[:64]), epochs=epochs, verbose=0, callbacks=callbacks)
    return recorder
"""
FIT = "recorder = fit(Slow(), refresh_seconds=0.4)"
AFTER = """
run = tt.open(recorder.path)
last = run.scalars("train")["loss"].to_pylist()[-1]
print(f"{last:.4g} at {len(run.scalars('train')) - 1}")
print([each.name for each in threading.enumerate() if each.name == "LiveCurves"])
"""


@pytest.fixture(scope="module")
def executed() -> Executed:
    ended = execute(SETUP, FIT, AFTER, "fit(Slow(), Stopped(), refresh_seconds=0.4)", AFTER, "run", allow_errors=True)
    assert [ended.errors(cell) for cell in (0, 1, 2)] == [[], [], []]
    return ended


def test_a_running_fit_is_drawn_anew_at_most_so_often(executed: Executed) -> None:
    times = [at for at, html in executed.updates if "mae by epoch" in html or "loss by step" in html]
    gaps = [late - early for early, late in pairwise(times)]
    assert len(times) >= 5
    assert sum(gap < 0.35 for gap in gaps) <= 1  # the last drawing, when all is there, doesn't wait
    early, late = executed.updates[1][1], executed.updates[-3][1]
    assert len(late) > len(early)


def test_the_cell_keeps_the_curves_of_the_whole_run(executed: Executed) -> None:
    shown = executed.html(1)
    assert "train: loss by step" in shown
    assert "val: loss by step" in shown
    said = next(each for each in re.findall(r'aria-label="([^"]*)"', shown) if each.startswith("train: loss"))
    last = executed.words(2).splitlines()[0]  # what the run holds
    assert f"each step: {said.split('each step: ')[1].split(',')[0]}, {last}" in said
    assert "running mean: " in said
    assert len(shown) < 60_000


def test_names_of_metrics_are_data(executed: Executed) -> None:
    shown = executed.html(1)
    assert "&lt;b&gt;mae by epoch" in shown
    assert "<b>mae" not in shown
    assert "<script" not in shown


def test_nothing_is_left_behind(executed: Executed) -> None:
    assert executed.words(2).splitlines()[1:] == ["[]"]


def test_a_fit_that_stops_by_an_error_leaves_its_curves(executed: Executed) -> None:
    assert executed.errors(3) == ["ValueError"]
    assert "train: loss by step" in executed.html(3)


def test_a_run_shows_itself_in_a_cell(executed: Executed) -> None:
    assert "<td" in executed.html(5)
    assert "samples" in executed.html(5)


@pytest.mark.parametrize("refresh_seconds", [0, True, "1", float("inf")])
def test_arguments_that_cannot_be(refresh_seconds: object) -> None:
    with pytest.raises(tt.TapError, match=r"refresh_seconds= is a number from 0\.1"):
        LiveCurves(refresh_seconds=refresh_seconds)  # type: ignore[arg-type]
    with pytest.raises(tt.TapError, match=r"recorder= is a tt\.Recorder"):
        LiveCurves("runs/mnist")  # type: ignore[arg-type]
