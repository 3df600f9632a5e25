"""The view of an output of every task, against a few lines of NumPy and scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_curve, precision_recall_fscore_support, r2_score

from tests.comparison import runs
from tests.report import made
from tests.server.conftest import Asking, Serve
from truetap.run import Run
from truetap.tasks import Hint

Array = npt.NDArray[Any]


def glance(asking: Asking, **given: Any) -> dict[str, float]:
    return dict(part(asking.get("runs/0/output", **given), "At a glance")["rows"])


def part(found: dict[str, Any], title: str) -> dict[str, Any]:
    return next(each for each in found["section"]["parts"] if title in each["title"])


def counts(matrix: dict[str, Any]) -> Array:
    return np.asarray([[cell["count"] for cell in line] for line in matrix["cells"]])


def of_classes(tmp_path: Path, number: int, samples: int = 400) -> tuple[Run, made.Pairs]:
    pairs = made.of_classes(samples, number)
    names = tuple(f"class {label}" for label in range(number))
    return made.write(tmp_path / "run", {"train": [pairs]}, class_names=names), pairs


def test_classes(serve: Serve, tmp_path: Path) -> None:
    run, pairs = of_classes(tmp_path, 5)
    asking = serve(run)
    found = asking.get("runs/0/output")
    pred = pairs.y_pred.argmax(axis=1)
    expected = confusion_matrix(pairs.y_true, pred, labels=range(5))
    assert (found["kind"], found["classes"]) == ("classes", 5)
    assert np.array_equal(counts(found["matrix"]), expected)
    assert found["matrix"]["names"] == [f"class {label}" for label in range(5)]
    shown = glance(asking)
    assert shown["mean loss"] == pytest.approx(pairs.loss.mean(), rel=1e-5)
    assert shown["accuracy"] == pytest.approx((pred == pairs.y_true).mean(), rel=1e-5)
    assert shown["wrong"] == (pred != pairs.y_true).sum()
    assert shown["mean confidence"] == pytest.approx(pairs.y_pred.max(axis=1).mean(), rel=1e-5)


def test_reliability_is_that_of_evaluate(serve: Serve, tmp_path: Path) -> None:
    run, _ = of_classes(tmp_path, 5)
    bins = run.samples().evaluate().calibration  # type: ignore[union-attr]
    assert bins is not None
    spec = part(serve(run).get("runs/0/output"), "Reliability")["spec"]
    rows = spec["layer"][1]["data"]["values"]
    kept = bins.count > 0
    assert [row["n"] for row in rows] == bins.count[kept].tolist()
    assert [row["x"] for row in rows] == pytest.approx(bins.confidence[kept].tolist(), rel=1e-5)
    assert [row["y"] for row in rows] == pytest.approx(bins.accuracy[kept].tolist(), rel=1e-5)


def test_exact_metrics_are_those_of_evaluate(serve: Serve, tmp_path: Path) -> None:
    run, _ = of_classes(tmp_path, 5)
    found = serve(run).get("runs/0/exact")
    assert found["section"]["said"][0] == "Of 400 samples."
    rows = dict(part(found, "Exact metrics")["rows"])
    evaluation = run.samples().evaluate()
    assert rows.pop("loss") == pytest.approx(evaluation.loss, rel=1e-5)  # type: ignore[union-attr]
    assert rows == pytest.approx(dict(evaluation.metrics), rel=1e-5)  # type: ignore[union-attr]


def test_each_class_sorted_found_and_in_pages(serve: Serve, tmp_path: Path) -> None:
    run, pairs = of_classes(tmp_path, 120, 3000)
    asking = serve(run)
    pred = pairs.y_pred.argmax(axis=1)
    measured = precision_recall_fscore_support(pairs.y_true, pred, labels=range(120), zero_division=np.nan)
    precision, recall, f1, support = measured
    first = asking.get("runs/0/classes")
    assert (first["total"], first["size"], len(first["rows"])) == (120, 50, 50)
    assert first["labels"] == list(range(50))
    assert [row[1] for row in first["rows"]] == support[:50].tolist()
    for place, expected in ((3, precision), (4, recall), (5, f1)):
        shown = np.asarray([row[place] for row in first["rows"]], float)
        assert np.allclose(shown, expected[:50], rtol=1e-5, equal_nan=True)
    last = asking.get("runs/0/classes", sort="recall", order="asc", page=2)
    assert len(last["rows"]) == 20
    every = [label for page in range(3) for label in asking.get("runs/0/classes", sort="recall", page=page)["labels"]]
    assert sorted(every) == list(range(120))
    ordered = recall[every]
    known = ordered[~np.isnan(ordered)]
    assert (np.diff(known) >= -1e-12).all()
    assert [row[0] for row in asking.get("runs/0/classes", find="CLASS 11")["rows"]] == [
        "class 11",
        *(f"class {label}" for label in range(110, 120)),
    ]
    by_name = asking.get("runs/0/classes", sort="name", order="desc")["rows"][0][0]
    assert by_name == "class 99"


def test_of_many_classes_the_most_confused_pairs_and_a_matrix_of_chosen_ones(serve: Serve, tmp_path: Path) -> None:
    run, pairs = of_classes(tmp_path, 40, 2000)
    asking = serve(run)
    assert asking.get("runs/0/output")["matrix"] is None
    expected = confusion_matrix(pairs.y_true, pairs.y_pred.argmax(axis=1), labels=range(40))
    found = asking.get("runs/0/pairs")
    wrong = expected - np.diag(np.diag(expected))
    assert found["total"] == (wrong > 0).sum()
    listed = [cell["count"] for _, _, cell, _ in found["rows"]]
    assert listed == np.sort(wrong.reshape(-1))[::-1][:50].tolist()
    for _, _, cell, share in found["rows"]:
        true, pred = cell["rows"]["true"], cell["rows"]["pred"]
        assert cell["count"] == expected[true, pred]
        assert share == pytest.approx(cell["count"] / expected[true].sum())
    chosen = asking.get("runs/0/matrix", classes="class 7, 3,class 7,39")["matrix"]
    assert chosen["names"] == ["class 7", "class 3", "class 39"]
    assert np.array_equal(counts(chosen), expected[np.ix_([7, 3, 39], [7, 3, 39])])


def test_logits(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(300, 4)
    logits = (np.log(pairs.y_pred) + 3).astype(np.float32)
    hint = Hint(loss="sparse_categorical_crossentropy", from_logits=True, activation="linear")
    changed = made.Pairs(pairs.names, pairs.y_true, logits, pairs.loss)
    shown = glance(serve(made.write(tmp_path / "run", {"train": [changed]}, hint)))
    assert shown["mean confidence"] == pytest.approx(pairs.y_pred.max(axis=1).mean(), rel=1e-4)


def test_labels_that_say_not_labelled(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(200, 4)
    true = pairs.y_true.copy()
    true[:30] = -1
    run = made.write(tmp_path / "run", {"train": [made.Pairs(pairs.names, true, pairs.y_pred, pairs.loss)]})
    asking = serve(run)
    shown = glance(asking)
    right = pairs.y_pred.argmax(axis=1)[30:] == true[30:]
    assert shown["without a label"] == 30
    assert shown["accuracy"] == pytest.approx(right.mean(), rel=1e-5)
    assert counts(asking.get("runs/0/output")["matrix"]).sum() == 170
    assert asking.get("runs/0/samples", wrong=1)["total"] == (~right).sum()


def test_predictions_that_are_class_indices(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(200, 6)
    pred = pairs.y_pred.argmax(axis=1)
    run = made.write(tmp_path / "run", {"train": [made.Pairs(pairs.names, pairs.y_true, pred, pairs.loss)]})
    asking = serve(run)
    found = asking.get("runs/0/output")
    assert np.array_equal(counts(found["matrix"]), confusion_matrix(pairs.y_true, pred, labels=range(6)))
    assert "mean confidence" not in glance(asking)
    assert asking.get("runs/0/samples")["rows"][0][4] is None


def test_binary(serve: Serve, tmp_path: Path) -> None:
    rows = runs.binary(500, 1.0, 0)
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows]}))
    true, score = rows.values["y_true"], rows.values["y_pred"][:, 0]
    found = asking.get("runs/0/output")
    assert np.array_equal(counts(found["matrix"]), confusion_matrix(true, score >= 0.5))
    values = part(found, "Precision and recall")["spec"]["data"]["values"]
    precision, recall, _ = precision_recall_curve(true, score)
    known, drawn = np.stack([recall, precision], axis=1), np.asarray([[row["x"], row["y"]] for row in values])
    assert np.abs(drawn[:, None] - known).max(axis=-1).min(axis=1).max() < 1e-5
    assert len(drawn) > 100
    assert glance(asking)["mean confidence"] == pytest.approx(np.maximum(score, 1 - score).mean(), rel=1e-5)


def test_several_labels_a_sample(serve: Serve, tmp_path: Path) -> None:
    rows = runs.labels(300, 1.0, 0)
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows]}))
    true, pred = rows.values["y_true"], (rows.values["y_pred"] >= 0.5).astype(int)
    found = asking.get("runs/0/output")
    assert (found["kind"], found["classes"], found["matrix"]) == ("labels", 5, None)
    shown = glance(asking)
    assert shown["all right"] == pytest.approx((true == pred).all(axis=1).mean(), rel=1e-5)
    assert shown["wrong labels"] == (true != pred).sum()
    measured = precision_recall_fscore_support(true, pred, average=None, zero_division=np.nan)
    rows_shown = asking.get("runs/0/classes")["rows"]
    assert np.allclose([row[3:6] for row in rows_shown], np.stack(measured[:3], axis=1), rtol=1e-5)
    assert [row[1] for row in rows_shown] == true.sum(axis=0).tolist()
    for code, chosen in (
        (1, (true == 0) & (pred == 1)),
        (2, (true == 1) & (pred == 0)),
        (3, (true == 1) & (pred == 1)),
    ):
        for label in range(5):
            assert asking.get("runs/0/samples", true=label, pred=code)["total"] == chosen[:, label].sum()
    by_wrong = asking.get("runs/0/samples", sort="wrongs")["rows"]
    assert by_wrong[0][2] == (true != pred).sum(axis=1).max()


@pytest.mark.parametrize("make", [runs.sequences, runs.images])
def test_a_class_at_each_position(serve: Serve, tmp_path: Path, make: Any) -> None:
    rows = make(200, 1.5, 0)
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows]}))
    true, pred = rows.values["y_true"], rows.values["y_pred"].argmax(axis=-1)
    mask = np.asarray(rows.values.get("mask", np.ones(true.shape)), bool)
    found = asking.get("runs/0/output")
    assert np.array_equal(counts(found["matrix"]), confusion_matrix(true[mask], pred[mask], labels=range(3)))
    wrong = ((true != pred) & mask).reshape(len(true), -1)
    shown = glance(asking)
    assert shown["wrong positions"] == wrong.sum()
    assert shown["all right"] == pytest.approx((~wrong.any(axis=1)).mean(), rel=1e-5)
    cell = ((true == 1) & (pred == 2) & mask).reshape(len(true), -1).any(axis=1)
    assert asking.get("runs/0/samples", true=1, pred=2)["total"] == cell.sum()
    if make is runs.sequences:
        steps = part(found, "Timesteps")["rows"]
        right = (true == pred) & mask
        assert [row[1] for row in steps] == mask.sum(axis=0).tolist()
        assert [row[2] for row in steps] == pytest.approx((right.sum(axis=0) / mask.sum(axis=0)).tolist(), rel=1e-5)


def test_numbers(serve: Serve, tmp_path: Path) -> None:
    rows = runs.numbers(400, 0.5, 0)
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows]}))
    true, pred = rows.values["y_true"], rows.values["y_pred"]
    found = asking.get("runs/0/output")
    table = part(found, "Dimensions")["rows"]
    distance = pred - true
    for column, expected in (
        (1, np.abs(distance).mean(axis=0)),
        (2, np.sqrt((distance**2).mean(axis=0))),
        (3, r2_score(true, pred, multioutput="raw_values")),
        (4, distance.mean(axis=0)),
    ):
        assert [row[column] for row in table] == pytest.approx(expected.tolist(), rel=1e-4)
    assert sum(row["n"] for row in part(found, "Residuals")["spec"]["data"]["values"]) == distance.size
    points = part(found, "Predicted against true")["spec"]["layer"][1]["data"]["values"]
    assert len(points) == distance.size
    first = asking.get("runs/0/samples", sort="error")["rows"][0]
    names = [name for name, _ in asking.get("runs/0/samples")["columns"]]
    assert first[1 + names.index("error")] == pytest.approx(np.abs(distance).mean(axis=1).max(), rel=1e-5)
    status, said = asking.refused("runs/0/pairs")
    assert (status, said["received"]) == (422, "an output of numbers")


def test_one_number_a_sample_stands_in_the_list(serve: Serve, tmp_path: Path) -> None:
    rows = runs.numbers(100, 0.5, 0, width=1)
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows]}))
    found = asking.get("runs/0/samples", sort="true", order="asc")
    assert [row[2] for row in found["rows"]] == pytest.approx(
        np.sort(rows.values["y_true"][:, 0])[:50].tolist(), rel=1e-5
    )


def test_several_outputs(serve: Serve, tmp_path: Path) -> None:
    kinds, numbers = runs.classes(150, 1.0, 0), runs.numbers(150, 0.5, 1, width=1)
    both = {f"{name}/kind": each for name, each in kinds.values.items()}
    both |= {f"{name}/size": each for name, each in numbers.values.items()}
    both |= {"loss": kinds.values["loss"] + numbers.values["loss"]}
    hints = {"kind": runs.SOFTMAX, "size": runs.LINEAR}
    asking = serve(runs.write_run(tmp_path / "run", {"train": [runs.Rows(kinds.prints, both, hints)]}))
    assert asking.get("runs/0")["outputs"] == ["kind", "size"]
    assert asking.get("runs/0/output", output=0)["kind"] == "classes"
    assert asking.get("runs/0/output", output=1)["kind"] == "numbers"
    assert glance(asking, output=0)["mean loss"] == pytest.approx(kinds.values["loss"].mean(), rel=1e-5)
    sample = asking.get("runs/0/sample", phase="train", id="1000")
    assert sample["heads"][4:] == ["true kind", "predicted kind", "true size", "predicted size"]


def test_a_phase_without_labels_and_a_run_without_samples(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(40, 3)
    alone = runs.Rows(np.arange(40), {"y_pred": pairs.y_pred})
    run = runs.write_run(tmp_path / "run", {"predict": [alone]})
    steps = made.scalars(tmp_path / "steps", np.ones(10), np.ones(10), np.full(10, 0.1))
    asking = serve(run, steps)
    assert asking.get("runs/0/output")["kind"] == "losses"
    assert "y_true" in asking.get("runs/0/output")["section"]["said"][1]
    assert asking.get("runs/0/samples", sort="id")["total"] == 40
    assert asking.get("runs/1")["looked"] is None
    assert asking.refused("runs/1/samples")[0] == 404
    assert asking.get("runs/1/curves")["section"]["parts"]


def test_curves_are_thinned_and_keep_their_peaks(serve: Serve, tmp_path: Path) -> None:
    loss = np.ones(30_000)
    loss[17_321] = 99
    asking = serve(made.scalars(tmp_path / "run", loss, loss, np.full(30_000, 0.1)))
    answer = asking.client.get("/api/runs/0/curves")
    values = asking.get("runs/0/curves")["section"]["parts"][0]["spec"]["data"]["values"]
    assert len(values) <= 2 * 1200
    assert {"x": 17_321, "y": 99} in [{"x": row["x"], "y": row["y"]} for row in values]
    assert len(answer.content) < 200_000
