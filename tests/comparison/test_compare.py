"""Whole comparisons: of real trainings, of what can't be compared, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.comparison.runs import LINEAR, Rows, binary, classes, numbers, sequences, write_run
from truetap.comparison import compare
from truetap.errors import NotRecordedError, StructureError, TaskError
from truetap.evaluation import Evaluation
from truetap.run import Run


def test_two_trainings(trained: tuple[Run, Run]) -> None:
    here, there = trained
    found = compare(here, there, resamples=200)
    assert (found.phase, found.epochs, found.matched, found.paired) == ("val", (1, 1), 597, True)
    for which, run in zip(("here", "there"), trained, strict=True):
        evaluation = run.samples("val", -1).evaluate()
        assert isinstance(evaluation, Evaluation)
        measured = {row["metric"]: row[which] for row in found.metrics.to_pylist()}
        assert measured.pop("loss") == pytest.approx(evaluation.loss)
        assert measured == pytest.approx(dict(evaluation.metrics))
    better = {row["metric"]: row["better"] for row in found.metrics.to_pylist()}
    assert better["accuracy"] == better["loss"] == better["roc_auc_macro"] == "there"
    gained = found.newly_right.num_rows - found.newly_wrong.num_rows
    (accuracy,) = [row for row in found.metrics.to_pylist() if row["metric"] == "accuracy"]
    assert gained / 597 == pytest.approx(accuracy["difference"])
    settings = {each.what: (each.here, each.there) for each in found.settings}
    assert settings["optimizer/kind"] == ("SGD", "Adam")
    assert settings["optimizer/learning_rate"] == pytest.approx((0.05, 0.01))
    assert settings["fit/batch_size"] == (64, 32)
    assert not any(what.startswith("model/name") for what in settings)
    added = [each for each in found.settings if each.here is None and str(each.there).startswith("Dropout")]
    assert [each.there for each in added] == ["Dropout, rate 0.1"]
    assert (8, 64) in [pair for what, pair in settings.items() if what.endswith("/units")]


def test_the_other_way_round_everything_is_reversed(trained: tuple[Run, Run]) -> None:
    one, other = compare(*trained, resamples=200), compare(trained[1], trained[0], resamples=200)
    assert set(one.newly_right["sample_id"].to_pylist()) == set(other.newly_wrong["sample_id"].to_pylist())
    pairs = zip(one.metrics.to_pylist(), other.metrics.to_pylist(), strict=True)
    for first, second in pairs:
        assert first["difference"] == pytest.approx(-second["difference"])
        assert (first["low"], first["high"]) == pytest.approx((-second["high"], -second["low"]))


def test_a_run_is_the_same_as_itself(trained: tuple[Run, Run]) -> None:
    found = compare(trained[0], trained[0], resamples=100)
    assert found.settings == ()
    assert found.newly_right.num_rows == found.newly_wrong.num_rows == found.changed.num_rows == 0
    assert (found.findings.new, found.findings.gone) == ((), ())
    for row in found.metrics.to_pylist():
        assert (row["difference"], row["low"], row["high"], row["better"]) == (0, 0, 0, None)


def test_shuffled_training_is_paired_by_inputs(trained: tuple[Run, Run]) -> None:
    found = compare(*trained, phase="train", resamples=100)
    assert (found.phase, found.matched) == ("train", 1200)
    assert any("precedes the update" in note for note in found.notes)


def test_text_and_json(trained: tuple[Run, Run]) -> None:
    found = compare(*trained, resamples=100, slices={"first": trained[0].samples("val", -1).ids[:50]})
    text = str(found)
    assert text.splitlines()[0].startswith(f"From {trained[0].path} (here) to {trained[1].path} (there), phase 'val'")
    for title in ("Findings", "Metrics", "Classes", "Slices", "Newly right:", "Loss changed most:", "Settings that"):
        assert title in text
    assert "better" in text
    plain = found.to_dict(most=3)
    again = json.loads(json.dumps(plain, allow_nan=False))
    assert again["matched"] == 597
    assert len(again["newly_right"]) == 3
    assert again["newly_right_count"] == found.newly_right.num_rows
    assert {"what": "optimizer/kind", "here": "SGD", "there": "Adam"} in again["settings"]
    assert [row["metric"] for row in again["metrics"]] == found.metrics["metric"].to_pylist()


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    here = classes(40, 1.0, 1)
    names = np.asarray([f"a\x1b[31m{k}\n" for k in range(40)], object)
    one = Rows(here.prints, here.values, ids=names, class_names=("\x1b[2J", "b", "c", "d"))
    there = Rows(here.prints, classes(40, 1.5, 2).values, ids=names, class_names=one.class_names)
    found = compare(val(tmp_path / "a", one), val(tmp_path / "b", there), resamples=100)
    assert "\x1b" not in str(found)
    assert "\\x1b[2J" in str(found)


def val(path: Path, rows: Rows) -> Run:
    return write_run(path, {"val": [rows]})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (numbers(50, 1.0, 1), "multiclass of 4 classes here, regression there"),
        (classes(50, 1.0, 1, 5), "multiclass of 4 classes here, multiclass of 5 classes there"),
        (sequences(50, 1.0, 1), "multiclass of 3 classes at each of 1 axes of positions there"),
        (binary(50, 1.0, 1), "binary of 2 classes there"),
    ],
)
def test_different_tasks_are_refused(tmp_path: Path, other: Rows, words: str) -> None:
    with pytest.raises(TaskError, match=f"means different things in the two runs.*{words}"):
        compare(val(tmp_path / "a", classes(50, 1.0, 1)), val(tmp_path / "b", other))


def test_outputs_of_other_names_are_refused(tmp_path: Path) -> None:
    plain = numbers(30, 1.0, 1)
    renamed = {f"{name}/age": each for name, each in plain.values.items() if name != "loss"}
    one = val(tmp_path / "a", plain)
    other = val(tmp_path / "b", Rows(plain.prints, renamed, {"age": LINEAR, "size": LINEAR}))
    with pytest.raises(StructureError, match=r"no output of one name\. Received: \[''\] here, \['age', 'size'\] there"):
        compare(one, other)


def test_phases_that_are_not_there(tmp_path: Path) -> None:
    rows = classes(40, 1.0, 1)
    train, test = (write_run(tmp_path / phase, {phase: [rows]}) for phase in ("train", "test"))
    with pytest.raises(NotRecordedError, match=r"phase='val'\. Expected: 'train'"):
        compare(train, train, phase="val")
    found = compare(train, test)
    assert found.phase is None
    assert found.metrics.num_rows == found.matched == 0
    assert any("no phase in common. Here: 'train'; there: 'test'" in note for note in found.notes)
    assert "no samples are compared" in str(found)
    assert json.dumps(found.to_dict(), allow_nan=False)
    assert compare(test, test, resamples=100).phase == "test"


def test_the_last_epoch_of_each_is_compared(tmp_path: Path) -> None:
    first, last = classes(40, 0.5, 1), classes(40, 2.0, 2)
    long = write_run(tmp_path / "long", {"train": [first], "val": [first, last]})
    short = write_run(tmp_path / "short", {"train": [first], "val": [last]})
    found = compare(long, short, resamples=100)
    assert (found.phase, found.epochs) == ("val", (1, 0))
    assert all(row["difference"] == 0 for row in found.metrics.to_pylist())


def test_too_few_resamples_are_refused(tmp_path: Path) -> None:
    run = val(tmp_path / "a", classes(40, 1.0, 1))
    with pytest.raises(TaskError, match=r"Received: 20\. Expected: 100 or more"):
        compare(run, run, resamples=20)


def test_few_common_samples_are_said(tmp_path: Path) -> None:
    rows = classes(40, 1.0, 1)
    found = compare(val(tmp_path / "a", rows), val(tmp_path / "b", rows.order(np.arange(5))), resamples=100)
    assert found.matched == 5
    assert any("Few samples are in both runs (5)" in note for note in found.notes)


def test_class_names_that_differ_are_said(tmp_path: Path) -> None:
    rows: Any = replace(classes(40, 1.0, 1), class_names=("a", "b", "c", "d"))
    other = replace(rows, class_names=("b", "a", "c", "d"))
    found = compare(val(tmp_path / "a", rows), val(tmp_path / "b", other), resamples=100)
    assert any("class names of the two runs differ" in note for note in found.notes)
    assert found.per_class["name"].to_pylist()[0] == "a"
