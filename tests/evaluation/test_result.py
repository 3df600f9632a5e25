"""An Evaluation shows itself: text, HTML, rich, JSON, pandas."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from truetap.errors import UnknownMetricError
from truetap.evaluation import Chunk, Evaluation
from truetap.tasks import OutputTask, Task

from .pairs import BINARY, MULTICLASS, REGRESSION, SPECS, pairs, run

HOSTILE = ["<script>alert(1)</script>", "[bold]x[/bold]\x1b[31m"]


def hostile() -> Evaluation:
    return run(pairs(Task.BINARY), BINARY, class_names=HOSTILE)


def test_metrics_by_name() -> None:
    got = run(pairs(Task.BINARY), BINARY)
    assert got["accuracy"] == got.metrics["accuracy"]
    assert "accuracy" in got
    assert "f2" not in got
    with pytest.raises(KeyError) as error:
        got["acuracy"]
    assert isinstance(error.value, UnknownMetricError)
    assert str(error.value).startswith("Unknown metric. Received: 'acuracy' for a binary output. Near names")
    assert "'accuracy'" in str(error.value)


def test_html_escapes_names() -> None:
    page = hostile()._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    whole = replace(hostile(), slices={"<b>": hostile()}, notes=("<i>",))
    assert "<b>" not in whole._repr_html_()
    assert "<i>" not in whole._repr_html_()


def test_text_has_no_escape_codes() -> None:
    text = str(hostile())
    assert "\x1b" not in text
    assert r"[bold]x[/bold]\x1b[31m" in text
    assert text == repr(hostile())
    assert text.splitlines()[0] == "Evaluation: binary, 200 samples"


def test_rich_shows_names_as_they_are() -> None:
    out = io.StringIO()
    Console(file=out, width=200, no_color=True).print(hostile())
    assert r"[bold]x[/bold]\x1b[31m" in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_many_classes_show_the_worst() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 30, 2000)
    noisy = np.where((y < 12) & (rng.random(2000) < 0.5), rng.integers(0, 30, 2000), y)
    spec = OutputTask(Task.MULTICLASS, logits=False, classes=30)
    text = str(run(Chunk(y, np.eye(30)[noisy]), spec, class_names=[f"class {k}" for k in range(30)]))
    assert "Classes: the 10 of lowest F1, 20 more" in text
    assert "class 29" not in text
    assert "Confusion" not in text


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.task.value)
def test_json(spec: OutputTask) -> None:
    whole = run(pairs(spec.task), spec)
    got = json.loads(json.dumps(replace(whole, slices={"all": whole}).to_dict(), allow_nan=False))
    assert got["task"] == spec.task.value
    assert got["metrics"] == dict(whole.metrics)
    assert got["slices"]["all"]["num_samples"] == 200
    if whole.calibration is not None:
        assert got["calibration"]["ece"] == whole["ece"]


def test_json_has_no_nan() -> None:
    got = run(Chunk(np.zeros(3, int), np.array([0.1, 0.2, 0.9])), BINARY).to_dict()
    assert got["metrics"]["roc_auc"] is None
    json.dumps(got, allow_nan=False)


def test_pandas() -> None:
    got = run(pairs(Task.MULTICLASS), MULTICLASS)
    assert list(got.to_pandas().index) == [str(k) for k in range(7)]
    assert got.to_pandas("metrics").loc["accuracy", "value"] == got["accuracy"]
    parts = replace(got, slices={"all": got}).to_pandas("slices")
    assert parts.loc["all", "accuracy"] == got["accuracy"]
    assert "mae" in run(pairs(Task.REGRESSION), REGRESSION).to_pandas().index
    with pytest.raises(ValueError, match=r"Unknown table\. Received: 'per_clas'\. Near names: 'per_class'"):
        got.to_pandas("per_clas")
