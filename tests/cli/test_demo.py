"""`truetap demo`: a real training, whose wrong labels are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import truetap as tt
from truetap.backends.installed import installed

from .calling import call

ONE = installed()[-1] if installed() else ""  # the quickest to start


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    ended = call("demo", "--backend", ONE, "--json", "-o", "first", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    (folder / "said.json").write_text(ended.stdout)
    return folder


def test_it_finds_most_of_the_wrong_labels(done: Path) -> None:
    said = json.loads((done / "said.json").read_text())
    assert said["backend"] == ONE
    assert said["wrong_labels"] == 140
    assert said["flagged_and_wrong"] >= 120
    assert said["flagged_and_wrong"] / said["flagged"] >= 0.75
    assert said["corrected"] >= 110
    assert said["lint"]["ok"]
    assert "noisy_labels" in [finding["rule"] for finding in said["diagnosis"]["findings"]]


def test_what_it_says_is_in_the_run_that_it_leaves(done: Path) -> None:
    said = json.loads((done / "said.json").read_text())
    run = tt.open(done / "first")
    flagged = np.asarray(run.label_issues()["flagged"])
    assert int(flagged.sum()) == said["flagged"]
    assert len(run.samples("train", 0)) == said["samples"]
    assert len(run.inputs("x", epoch=0).values) == 1400
    assert (done / said["report"]).read_text().startswith("<!doctype html>")


def test_it_writes_over_nothing(done: Path) -> None:
    again = call("demo", "--backend", ONE, "-o", "first", cwd=done)
    assert (again.returncode, again.stdout) == (2, "")
    assert "There is a run at 'first' already" in again.stderr
    assert "Traceback" not in again.stderr


def test_a_backend_that_is_not_there() -> None:
    assert call("demo", "--backend", "mxnet").returncode == 2
