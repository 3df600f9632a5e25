"""What things show in a notebook: the numbers of the run, in well-formed HTML without script."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt
from truetap.agreement.result import Agreement, Finding, VariableDifference

Trained = tuple[Path, Any]


def shown(thing: Any) -> ET.Element:
    """The HTML of a thing, parsed; small, and without script."""
    page = thing._repr_html_()
    assert len(page) < 12_000
    assert "<script" not in page
    return ET.fromstring(re.sub(r"<style>.*?</style>", "", page).replace("<br>", "<br/>"))


def table(page: ET.Element, place: int = 0) -> list[list[str]]:
    """Headings and cells of a table."""
    rows = list(list(page.iter("table"))[place].iter("tr"))
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def test_a_run(trained: Trained) -> None:
    run = tt.open(trained[0])
    page = shown(run)
    assert table(page) == [["phase", "epochs"], ["train", "0, 1"], ["val", "0, 1"]]
    rows = dict(table(page, 1)[1:])
    assert rows["samples"] == f"{2 * 1797:,}"
    last = table(page, 2)
    assert last[0][0] == "epoch"
    accuracy = run.epochs()["accuracy"].to_pylist()
    assert [row[last[0].index("accuracy")] for row in last[1:]] == [f"{each:.4g}" for each in accuracy]


def test_samples_and_their_evaluation(trained: Trained) -> None:
    samples = tt.open(trained[0]).samples("val", -1)
    cells = table(shown(samples))
    place = cells[0].index("predicted")
    predicted = samples.y_pred[:20].argmax(axis=1)
    assert [int(row[place]) for row in cells[1:]] == predicted.tolist()
    page = shown(samples.evaluate())
    metrics = dict(table(page)[1:])
    right = np.mean(samples.y_pred.argmax(axis=1) == samples.y_true.reshape(-1))
    assert metrics["accuracy"] == f"{right:.4g}"
    assert "… 577 more" in "".join(shown(samples).itertext())


def test_findings_and_reports(trained: Trained) -> None:
    report = tt.open(trained[0]).diagnose()
    page = shown(report)
    assert len(list(page.iter("tr"))) == (1 + len(report) if len(report) else 0)
    assert report.head in "".join(page.itertext())
    import keras

    def rounded(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y_true - keras.ops.round(y_pred)), axis=-1)

    checked = tt.check_loss(rounded, np.zeros((4, 2), "float32"), np.ones((4, 2), "float32"))
    assert not checked
    cells = table(shown(checked))
    assert cells[1][0] == "error"
    assert cells[1][1].startswith("no_gradient")
    assert table(shown(checked.findings[0])) == cells


def test_recorded_values(trained: Trained) -> None:
    run = tt.open(trained[0])
    cells = table(shown(run.activations()))
    assert [row[0] for row in cells[1:]] == ["hidden", "scores"]
    assert "mean, std" in cells[2][2]
    recorded = run.activations("scores")
    rows = {row[0]: row[1:] for row in table(shown(recorded))[1:]}
    values = recorded.statistics["mean"]
    ends = [values[0], values[-1], values.min(), values.max()]
    assert rows["mean"] == [f"{len(values):,}", *(f"{each:.4g}" for each in ends)]
    assert "raw rows of shape (16,)" in "".join(shown(run.activations("hidden")).itertext())
    assert "No gradients were recorded" in "".join(shown(run.gradients).itertext())


def test_what_recording_cost(trained: Trained) -> None:
    cost = tt.open(trained[0]).overhead()
    cells = table(shown(cost))
    assert len(cells) == 1 + cost.table.num_rows
    steps = cells[0].index("steps")
    assert sum(int(row[steps].replace(",", "")) for row in cells[1:]) == cost.steps


def test_selections(trained: Trained) -> None:
    chosen = tt.select("hid*")
    assert "select('hid*')" in "".join(shown(chosen).itertext())
    listed = chosen.show(trained[1])
    assert listed == "select('hid*'): 1 of 2 layers\nhidden  (Dense)"
    assert table(shown(listed)) == [["path", "layer"], ["hidden", "Dense"]]


def test_comparisons(trained: Trained) -> None:
    run = tt.open(trained[0])
    compared = run.compare(run, resamples=100)
    page = shown(compared)
    titles = [each.text for each in page.iter("caption")]
    assert "Metrics" in titles
    metrics = next(each for each in range(len(titles)) if titles[each] == "Metrics")
    assert [row[3] for row in table(page, metrics)[1:]] == ["+0"] * compared.metrics.num_rows


@pytest.mark.parametrize("agrees", [True, False])
def test_agreements(agrees: bool) -> None:
    difference = VariableDifference("dense/<b>", True, 1.0, 2.0, 0.5, 0.25, agrees)
    reasons = () if agrees else (Finding("broadcast", "The loop <i>averages</i>."),)
    page = shown(Agreement(agrees, reasons, 0.5, None if agrees else 0.75, (difference,), ("A note.",)))
    words = "".join(page.itertext())
    assert ("does what fit does" in words) is agrees
    assert "A note." in words
    if not agrees:
        assert table(page)[1] == ["broadcast", "The loop <i>averages</i>."]
        assert table(page, 1)[1] == ["dense/<b>", "1.000e+00", "2.000e+00", "2.5e-01", "5.0e-01"]
