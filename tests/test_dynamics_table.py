"""`run.dynamics` and `run.hardest` of runs made by hand: who is counted, how often, under which label."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import truetap as tt
from tests.dynamics_runs import SOFTMAX, Epoch, rows_by_id, softmax, write_run
from truetap.tasks import Hint

HALF = [[0.5, 0.5]]
RIGHT, WRONG = [0.9, 0.1], [0.2, 0.8]  # for label 0


def test_a_sample_that_is_missing_in_some_epochs(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        [
            Epoch([1, 2], [0, 0], [RIGHT, WRONG], [0.1, 2.0]),
            Epoch([2], [0], [RIGHT], [0.2]),
            Epoch([2, 1, 3], [0, 0, 1], [WRONG, RIGHT, WRONG], [1.0, 0.3, 0.4]),
        ],
    )
    found = rows_by_id(run.dynamics())
    assert found[1]["epochs"] == found[1]["visits"] == 2
    assert found[2]["epochs"] == 3
    assert found[2]["forgetting"] == 1
    assert found[2]["first_learned"] == 1
    assert found[2]["correctness"] == pytest.approx(1 / 3)
    assert found[2]["mean_loss"] == pytest.approx(3.2 / 3)
    assert found[2]["last_loss"] == pytest.approx(1.0)
    assert found[3]["label"] == 1
    assert found[3]["variability"] == 0


def test_a_sample_that_was_never_learned(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [Epoch([1], [0], [WRONG], [1.0])] * 3)
    row = run.dynamics().to_pylist()[0]
    assert row["first_learned"] is None
    assert (row["correctness"], row["forgetting"]) == (0, 0)
    assert row["aum"] == pytest.approx(np.log(0.2) - np.log(0.8))


def test_identical_inputs_share_a_row_and_are_said(tmp_path: Path) -> None:
    epoch = Epoch([7, 8, 7], [0, 0, 0], [RIGHT, RIGHT, WRONG], [0.0, 0.0, 3.0])
    run = write_run(tmp_path / "run", [epoch, epoch])
    with pytest.warns(tt.DataWarning, match="2 times an input came again within an epoch") as said:
        found = rows_by_id(run.dynamics())
    assert said[0].filename == __file__
    assert (found[7]["epochs"], found[7]["visits"]) == (2, 4)
    assert found[7]["confidence"] == pytest.approx(0.55)
    assert found[7]["forgetting"] == 2  # right, wrong, right, wrong
    assert found[7]["last_loss"] == 3


def test_identical_inputs_with_different_labels_are_not_merged(tmp_path: Path) -> None:
    epoch = Epoch([7, 8, 7], [0, 0, 1], [RIGHT, RIGHT, RIGHT], [0.1, 0.1, 2.3])
    run = write_run(tmp_path / "run", [epoch, epoch])
    with pytest.warns(tt.DataWarning, match="1 ids came with more than one label"):
        table = run.dynamics()
    assert table.select(["sample_id", "label", "visits"]).to_pylist() == [
        {"sample_id": 7, "label": 0, "visits": 2},
        {"sample_id": 8, "label": 0, "visits": 2},
        {"sample_id": 7, "label": 1, "visits": 2},
    ]
    np.testing.assert_allclose(table["confidence"], [0.9, 0.9, 0.1])


def test_samples_with_names_may_come_twice(tmp_path: Path) -> None:
    epoch = Epoch(["a", "b", "a"], [0, 0, 0], [RIGHT, RIGHT, RIGHT], prints=[5, 6, 5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = rows_by_id(write_run(tmp_path / "run", [epoch]).dynamics())
    assert (found["a"]["epochs"], found["a"]["visits"]) == (1, 2)
    assert "mean_loss" not in found["a"]


def test_what_has_no_label_or_no_prediction_is_left_out(tmp_path: Path) -> None:
    nan = [np.nan, np.nan]
    run = write_run(tmp_path / "run", [Epoch([1, 2, 3], [0, -1, 0], [RIGHT, RIGHT, nan]), Epoch([3], [0], [WRONG])])
    with pytest.warns(tt.DataWarning, match="1 predictions are not finite"):
        found = rows_by_id(run.dynamics())
    assert sorted(found) == [1, 3]
    assert found[3]["visits"] == 1


def test_the_same_in_chunks_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    epochs = []
    for _ in range(3):
        ids = rng.permutation(50)
        epochs.append(Epoch(ids, ids % 3, softmax(rng.normal(size=(50, 3))), rng.random(50)))
    whole = write_run(tmp_path / "run", epochs).dynamics()
    monkeypatch.setattr("truetap.dynamics.visits._MOST_ROWS", 7)
    monkeypatch.setattr("truetap.dynamics.visits._LEAST_ROWS", 7)
    assert tt.open(tmp_path / "run").dynamics().equals(whole)


def test_epochs_can_be_chosen(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [Epoch([1], [0], [RIGHT]), Epoch([1], [0], [WRONG])])
    assert run.dynamics(epoch=-1)["confidence"].to_pylist() == pytest.approx([0.2])
    with pytest.raises(tt.StoreError, match=r"epoch 5\. Expected: 0, 1"):
        run.dynamics(epoch=5)


def test_hardest_by_loss_and_by_other_columns(tmp_path: Path) -> None:
    epoch = Epoch([1, 2, 3], [0, 0, 0], [RIGHT, WRONG, [0.5, 0.5]], [0.1, np.nan, 0.7])
    run = write_run(tmp_path / "run", [epoch, epoch])
    assert run.hardest()["sample_id"].to_pylist() == [2, 3, 1]  # a loss that is no number is the worst
    assert run.hardest().column_names == ["sample_id", "mean_loss", "last_loss", "epochs", "visits"]
    assert run.hardest(1, by="confidence")["sample_id"].to_pylist() == [2]
    assert run.hardest(2, by="el2n")["sample_id"].to_pylist() == [2, 3]
    assert run.hardest(1, by="first_learned")["sample_id"].to_pylist() == [2]
    assert run.hardest(0).num_rows == 0
    with pytest.raises(tt.StoreError, match=r"by='confidnce'\. Near names: 'confidence'"):
        run.hardest(by="confidnce")


def test_hardest_by_loss_needs_no_labels(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [Epoch([1, 2], None, HALF * 2, [0.1, 0.2])])
    assert run.hardest(1)["sample_id"].to_pylist() == [2]
    with pytest.raises(tt.TaskError, match=r"There are no labels in these rows\. Received: phase 'train'"):
        run.hardest(by="confidence")
    without = write_run(tmp_path / "without", [Epoch([1, 2], [0, 1], HALF * 2)])
    with pytest.raises(tt.TaskError, match="No loss of single samples is recorded"):
        without.hardest()


def test_numbers(tmp_path: Path) -> None:
    hint = Hint(loss="mse", activation="linear")
    run = write_run(
        tmp_path / "run",
        [
            Epoch([1, 2], np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[2.0, 4.0], [1.0, -1.0]])),
            Epoch([2, 1], np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[3.0, 1.0], [2.0, 2.0]])),
        ],
        hint,
    )
    found = rows_by_id(run.dynamics())
    assert found[1]["mean_residual"] == 1.0  # 1.5, then 0.5
    assert found[1]["mean_absolute_residual"] == 1.0
    assert found[1]["variability"] == 0.5
    assert found[1]["sign_consistency"] == 1
    assert found[2]["mean_residual"] == 1.0  # 0, then 2
    assert found[2]["mean_absolute_residual"] == 1.5
    assert found[2]["sign_consistency"] == 0.5
    assert "label" not in found[1]
    assert run.hardest(1, by="mean_absolute_residual")["sample_id"].to_pylist() == [2]


def test_what_has_no_dynamics_is_refused(tmp_path: Path) -> None:
    hinge = write_run(
        tmp_path / "hinge", [Epoch([1, 2], [-1, 1], [[0.3], [2.0]])], Hint(loss="hinge", activation="linear")
    )
    with pytest.raises(tt.TaskError, match=r"a hinge loss, whose scores are margins\. Expected: softmax, sigmoid"):
        hinge.dynamics()
    steps = np.full((2, 3, 2), 0.5)
    sequences = write_run(tmp_path / "steps", [Epoch([1, 2], [[0, 1, 1]] * 2, steps, [0.5, 0.6])])
    with pytest.raises(tt.TaskError, match=r"a label for each of its positions \(1 axes\)"):
        sequences.dynamics()
    assert sequences.hardest(1)["sample_id"].to_pylist() == [2]


def test_phases_and_outputs_that_are_not_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [Epoch([1], None, HALF)], SOFTMAX, "predict")
    with pytest.raises(tt.NotRecordedError, match=r"phase='train'\. Expected: 'predict'"):
        run.dynamics("train")
    with pytest.raises(tt.TaskError, match=r"There are no labels in these rows\. Received: phase 'predict'"):
        run.dynamics()  # the only phase there is
    with pytest.raises(tt.StructureError, match=r"one output, without a name\. Received: output='age'"):
        run.dynamics("predict", output="age")
