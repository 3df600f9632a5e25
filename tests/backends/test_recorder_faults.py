"""A recording while it runs, after kill -9, on a full disk, and in a folder that can't be written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from tests.backends.models import X, Y, sequential
from tests.backends.recorded import rows
from truetap.errors import StoreError
from truetap.store import RunReader

ROOT = Path(__file__).parents[2]


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.backends.trained_in_a_process", str(folder), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def num_rows(folder: Path, table: str) -> int:
    try:
        reader = RunReader(folder)
    except StoreError:
        return 0
    return reader.num_rows(table) if table in reader.tables else 0


def test_read_while_it_trains_then_killed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, "--epochs", "1000")
    try:
        counts = [0]
        deadline = time.monotonic() + 120
        while counts[-1] < 1600 and time.monotonic() < deadline:
            counts.append(num_rows(folder, "samples"))
            time.sleep(0.05)
        whole = rows(folder, "samples")
        before = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()
        elapsed = time.monotonic() - before
    finally:
        process.kill()
        process.communicate()
    assert counts == sorted(counts)
    assert len({*counts}) > 2, "rows came while it trained"
    assert len(whole["step"]) % 8 == 0, "whole batches only"
    reader = RunReader(folder)
    assert not reader.complete
    assert not [problem for problem in reader.verify() if problem.damage]
    left = rows(folder, "samples")
    assert len(left["step"]) >= len(whole["step"]), f"nothing that was read is lost (killed in {elapsed:.2f} s)"
    assert left["step"] == [step for step in range(len(left["step"]) // 8) for _ in range(8)]
    for table in ("activations.hidden", "scalars"):
        found = rows(folder, table)
        per_step = 8 if "." in table else 1
        assert found["step"] == [step for step in range(len(found["step"]) // per_step) for _ in range(per_step)]
        assert abs(len(found["step"]) // per_step - len(left["step"]) // 8) < 200, "no more than a second behind"
    resumed = tt.Recorder(folder, resume=True)
    model = sequential(keras.layers.Dense(1), optimizer="sgd")
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[resumed])
    after = rows(folder, "samples")
    assert len(after["step"]) == len(left["step"]) + 22
    assert max(after["step"]) == max(rows(folder, "scalars")["step"]) > max(left["step"])
    assert max(after["epoch"]) == max(left["epoch"]) + 1


@pytest.mark.parametrize("on_error", ["warn", "raise"])
def test_disk_full(tmp_path: Path, on_error: str) -> None:
    process = start(tmp_path / "run", "--epochs", "3", "--file-size", "60000", "--on-error", on_error)
    out, _ = process.communicate(timeout=200)
    assert "File too large" in out, out
    if on_error == "warn":
        assert process.returncode == 0, out
        assert "trained 1 Recording to" in out, out
    else:
        assert process.returncode != 0
        assert "StoreError" in out
        assert "trained 1" not in out
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert not [problem for problem in reader.verify() if problem.damage]


def fit(recorder: Any) -> Any:
    model = sequential(keras.layers.Dense(1), optimizer="sgd")
    history = model.fit(X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[recorder])
    assert "loss" in history.history
    return model


def test_folder_not_writable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(tt.RecordingWarning, match="training goes on") as caught:
        fit(tt.Recorder(tmp_path / "file" / "run"))
    assert len([each for each in caught if each.category is tt.RecordingWarning]) == 1
    with pytest.raises(tt.StoreError, match="file"):
        fit(tt.Recorder(tmp_path / "file" / "run", on_error="raise"))


def test_folder_with_another_run(tmp_path: Path) -> None:
    fit(tt.Recorder(tmp_path / "run"))
    before = sorted(os.listdir(tmp_path / "run"))
    with pytest.raises(tt.RunExistsError, match="resume=True"):
        tt.Recorder(tmp_path / "run")
    assert sorted(os.listdir(tmp_path / "run")) == before


@pytest.mark.parametrize("wrong", [tt.Activations("hiden"), tt.Activations(reduce="avg")])
def test_a_call_that_is_refused_leaves_the_folder_free(tmp_path: Path, wrong: Any) -> None:
    model = sequential(keras.layers.Dense(1))
    with pytest.raises(tt.TruetapError, match=r"hiden|avg"):
        model.fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "run", [tt.Outputs(), wrong])])
    model.fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "run", [tt.Outputs(), tt.Activations(reduce="mean")])])
    run = tt.open(tmp_path / "run")
    assert len(run.samples()) == len(X)
    assert run.complete
    taps = [tap["tap"] for tap in run.metadata["recorder"]["taps"]]
    assert taps == ["Outputs", "Activations"]
    with pytest.raises(tt.RunExistsError):
        model.fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])


def test_folder_removed_while_it_trains(tmp_path: Path) -> None:
    class Remove(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 1:
                for name in sorted(tmp_path.rglob("*"), reverse=True):
                    name.rmdir() if name.is_dir() else name.unlink()

    model = sequential(keras.layers.Dense(1), optimizer="sgd")
    recorder = tt.Recorder(tmp_path / "run")
    with pytest.warns(tt.RecordingWarning, match="training goes on"):
        model.fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[recorder, Remove()])
    assert np.isfinite(model.get_weights()[0]).all()
