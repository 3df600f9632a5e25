"""What a report says, against NumPy over the values that were put into the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve

from tests.report import made
from truetap.report.content import Cell, Table
from truetap.report.gather import gather

CLASSES = 4


def test_confusion_matrix_and_the_samples_of_its_cells(tmp_path: Path) -> None:
    epochs = [made.of_classes(60, CLASSES, seed) for seed in (0, 1)]
    val = [made.of_classes(50, CLASSES, seed) for seed in (2, 3)]
    content = gather(made.write(tmp_path / "run", {"train": epochs, "val": val}, class_names=("a", "b", "c", "d")))
    found = made.matrix(made.section(content, "output-0"))
    last = val[-1]
    chosen = last.y_pred.argmax(axis=1)
    assert found.names == ("a", "b", "c", "d")
    for true in range(CLASSES):
        for pred in range(CLASSES):
            inside = (last.y_true == true) & (chosen == pred)
            cell = found.cells[true][pred]
            assert cell.count == inside.sum()
            kept = [content.samples[key] for key in cell.samples]
            hardest = last.names[inside][np.argsort(-last.loss[inside])]
            assert [each.name for each in kept] == [str(name) for name in hardest[: len(kept)]]
            assert len(kept) == min(inside.sum(), 2 if true == pred else 8)
            assert all(each.phase == "val" for each in kept)
    metrics = made.table(made.section(content, "output-0"), "Metrics")
    at = made.column(metrics, "metric").index("accuracy")
    assert made.column(metrics, "value")[at] == pytest.approx(np.mean(chosen == last.y_true))


def test_history_of_a_sample_has_what_each_epoch_said(tmp_path: Path) -> None:
    epochs = [made.of_classes(30, CLASSES, seed) for seed in (0, 1, 2)]
    epochs = [made.Pairs(each.names, epochs[0].y_true, each.y_pred, each.loss) for each in epochs]
    content = gather(made.write(tmp_path / "run", {"train": epochs}))
    mean = np.mean([each.loss for each in epochs], axis=0)
    ranked = made.table(made.section(content, "hardest"), "hardest")
    assert made.column(ranked, "mean loss") == pytest.approx(np.sort(mean)[::-1])
    order = np.argsort(-mean)
    assert made.column(ranked, "true") == [str(each) for each in epochs[0].y_true[order]]
    assert made.column(ranked, "predicted last") == [str(each) for each in epochs[-1].y_pred.argmax(axis=1)[order]]
    sample = content.samples[str(ranked.rows[0][0])]
    at = int(mean.argmax())
    assert sample.name == str(epochs[0].names[at])
    assert sample.heads == ("epoch", "step", "loss", "true", "predicted")
    assert [visit[0] for visit in sample.visits] == [0, 1, 2]
    assert [visit[2] for visit in sample.visits] == pytest.approx([each.loss[at] for each in epochs])
    assert [visit[4] for visit in sample.visits] == [str(each.y_pred[at].argmax()) for each in epochs]


def test_many_classes_show_their_most_confused_pairs(tmp_path: Path) -> None:
    pairs = made.of_classes(3000, 300)
    content = gather(made.write(tmp_path / "run", {"train": [pairs]}))
    found = made.table(made.section(content, "output-0"), "most confused pairs")
    counts = np.zeros((300, 300))
    np.add.at(counts, (pairs.y_true, pairs.y_pred.argmax(axis=1)), 1)
    sums = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    shown = [cell.count for cell in made.column(found, "samples")]
    assert shown == np.sort(counts, axis=None)[::-1][: len(shown)].tolist()
    assert len(shown) == 100
    true, pred, cell, share = found.rows[0]
    assert isinstance(cell, Cell)
    assert share == pytest.approx(counts[int(str(true)), int(str(pred))] / sums[int(str(true))])
    assert len(content.samples) <= 500


def test_binary_output_has_precision_and_recall_and_reliability(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 200).astype(np.float32)
    score = (0.3 * true + 0.7 * rng.random(200)).astype(np.float32)
    pairs = made.Pairs(np.arange(200), true, score, rng.random(200))
    found = made.section(gather(made.write(tmp_path / "run", {"train": [pairs]}, made.SIGMOID)), "output-0")
    drawn = made.chart(found, "Precision and recall").spec["data"]["values"]
    precision, recall, _ = precision_recall_curve(true, score)
    by_threshold = np.asarray([(row["x"], row["y"]) for row in drawn])
    np.testing.assert_allclose(by_threshold, np.stack([recall, precision], axis=1)[::-1])
    bins = made.chart(found, "Reliability").spec["layer"][1]["data"]["values"]
    confidence, right = np.maximum(score, 1 - score), (score >= 0.5) == true
    inside = np.ceil(confidence * 15) == 15
    assert bins[-1]["n"] == inside.sum()
    assert bins[-1]["x"] == pytest.approx(confidence[inside].mean(), abs=1e-6)
    assert bins[-1]["y"] == pytest.approx(right[inside].mean())


def test_regression_shows_pairs_and_residuals(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=300).astype(np.float32)
    pred = true + 0.2 * rng.normal(size=300).astype(np.float32)
    pairs = made.Pairs(np.arange(300), true, pred, (pred - true) ** 2)
    content = gather(made.write(tmp_path / "run", {"train": [pairs, pairs]}, made.LINEAR))
    found = made.section(content, "output-0")
    dots = made.chart(found, "Predicted against true").spec["layer"][1]["data"]["values"]
    np.testing.assert_allclose([(row["x"], row["y"]) for row in dots], np.stack([true, pred], axis=1))
    bars = made.chart(found, "Residuals").spec["data"]["values"]
    counts, edges = np.histogram(pred.astype(float) - true, 40)
    assert [row["n"] for row in bars] == counts.tolist()
    assert [row["a"] for row in bars] == pytest.approx(edges[:-1])
    assert "labels" not in [each.anchor for each in content.sections]


def test_a_line_of_many_steps_keeps_its_peaks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    loss = rng.random(20_000)
    loss[7_777], loss[13_131], loss[5] = 9.0, -3.0, np.nan
    running = np.cumsum(np.nan_to_num(loss)) / np.arange(1, 20_001)
    content = gather(made.scalars(tmp_path / "run", loss, running, np.full(20_000, 0.25)))
    found = made.section(content, "curves")
    drawn = made.chart(found, "Loss of each training step")
    alone = [row for row in drawn.spec["data"]["values"] if row["s"] == "each step alone"]
    assert len(alone) <= 1_200
    assert {(7_777, 9.0), (13_131, -3.0)} <= {(row["x"], row["y"]) for row in alone}
    assert all(row["y"] is None or row["y"] == loss[row["x"]] for row in alone)
    assert "lowest -3 at step 13131, highest 9 at step 7777. 1 values are not finite." in drawn.words
    assert found.said == ("The learning rate was 0.25 at every step.",)


def test_gradient_norms_stand_by_depth_and_step(tmp_path: Path) -> None:
    norms = {"first/kernel": np.asarray([1e-3, 1e-4, 0.0]), "last/kernel": np.asarray([1.0, 0.1, 10.0])}
    run = made.write(tmp_path / "run", {"train": [made.of_classes(8, 3)]}, long={"gradients": norms})
    found = made.section(gather(run), "layers")
    values = made.chart(found, "Gradient norms").spec["data"]["values"]
    assert [(row["p"], row["x"], row["y"]) for row in values] == [
        ("first/kernel", "0", 1e-3),
        ("first/kernel", "1", 1e-4),
        ("last/kernel", "0", 1.0),
        ("last/kernel", "1", 0.1),
        ("last/kernel", "2", 10.0),
    ]
    assert [row["l"] for row in values] == pytest.approx([-3, -4, 0, -1, 1])
    assert "Statistics of activations were not recorded" in found.said[0]


def test_metrics_of_epochs_are_those_of_the_record(tmp_path: Path) -> None:
    metrics = [{"loss": 1.0, "val_loss": 2.0, "f1": 0.25}, {"loss": 0.5, "val_loss": 1.5, "f1": 0.5}]
    run = made.write(tmp_path / "run", {"train": [made.of_classes(8, 3)]}, metrics=metrics)
    found = made.section(gather(run), "curves")
    numbers = made.table(found, "Each epoch")
    assert made.column(numbers, "val_loss") == [2.0, 1.5]
    assert [each.title for each in found.parts if not isinstance(each, Table)] == ["loss by epoch", "f1 by epoch"]
    rows = made.chart(found, "loss by epoch").spec["data"]["values"]
    assert [(row["s"], row["x"], row["y"]) for row in rows] == [
        ("training", 0, 1.0),
        ("training", 1, 0.5),
        ("validation", 0, 2.0),
        ("validation", 1, 1.5),
    ]


def test_inputs_stand_beside_their_own_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 5)).astype(np.float32)
    pairs = made.of_classes(20, 3)
    content = gather(made.write(tmp_path / "run", {"train": [pairs]}, inputs={"train": x}))
    assert len(content.samples) == 20
    for sample in content.samples.values():
        (shown,) = sample.inputs
        assert shown.kind == "values"
        assert [value for _, value in shown.data] == x[int(sample.name) - 1000].astype(float).tolist()


def test_a_run_of_two_hundred_thousand_visits_keeps_a_part_of_them(tmp_path: Path) -> None:
    epochs = [made.of_classes(400, 3)] * 60
    content = gather(made.write(tmp_path / "run", {"train": epochs}))
    visits = sum(len(sample.visits) for sample in content.samples.values())
    assert visits <= 21_000
    assert all(sample.visits[-1][0] == 59 for sample in content.samples.values())


def test_nothing_is_said_of_what_was_not_recorded(tmp_path: Path) -> None:
    content = gather(made.write(tmp_path / "run", {"train": [made.of_classes(8, 3)]}))
    anchors = [each.anchor for each in content.sections]
    assert anchors == ["output-0", "hardest", "labels", "layers"]
    assert 'taps="diagnose"' in made.section(content, "layers").said[0]
