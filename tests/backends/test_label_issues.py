"""`run.label_issues`: wrong labels among real digits are found, right ones are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score

import truetap as tt
from tests.backends.models import sequential

Array = npt.NDArray[Any]
Dense = keras.layers.Dense

PIXELS, TRUE = load_digits(return_X_y=True)
PIXELS, TRUE = (PIXELS / 16).astype("float32"), TRUE.astype("int64")
COUNT = len(TRUE)


def with_wrong(share: float, seed: int = 21) -> tuple[Array, Array]:
    """Labels, and which of them are wrong."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(COUNT, int(share * COUNT), replace=False)
    given = TRUE.copy()
    given[rows] = (TRUE[rows] + rng.integers(1, 10, len(rows))) % 10
    return given, given != TRUE


def trained(path: Path, y: Array, units: int = 10, activation: str = "softmax", width: int = 64, **options: Any) -> Any:
    """A run over the first digits, as many as there are labels, their rows for names."""
    keras.utils.set_random_seed(5)
    loss = "sparse_categorical_crossentropy" if activation == "softmax" else "binary_crossentropy"
    model = sequential(
        Dense(width, activation="relu"), Dense(units, activation=activation), shape=(64,), loss=loss, optimizer="adam"
    )
    model.optimizer.learning_rate = 3e-3
    options = {"epochs": 20, "batch_size": 64} | options
    model.fit(PIXELS[: len(y)], y, verbose=0, callbacks=[tt.Recorder(path)], **options)
    run = tt.open(path)
    run.identify((PIXELS[: len(y)], y))
    return run


def column(table: Any, name: str) -> Array:
    """A column in the order of the digits."""
    values = np.asarray(table[name].to_numpy(zero_copy_only=False))
    return values[np.argsort(table["sample_id"].to_numpy(), kind="stable")]


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return trained(tmp_path_factory.mktemp("runs") / "noisy", with_wrong(0.1)[0])


def test_most_wrong_labels_are_found_and_few_others(noisy: Any) -> None:
    given, wrong = with_wrong(0.1)
    found = noisy.label_issues()
    assert found.column_names == ["sample_id", "label", "suggested_label", "score", "flagged"]
    assert found.num_rows == COUNT
    score, flagged = column(found, "score"), column(found, "flagged")
    np.testing.assert_array_equal(column(found, "label"), given)
    assert average_precision_score(wrong, score) > 0.95
    assert flagged[wrong].mean() > 0.85
    assert wrong[flagged].mean() > 0.8
    assert (column(found, "suggested_label")[flagged & wrong] == TRUE[flagged & wrong]).mean() > 0.9


def test_the_table_is_sorted_and_flags_follow_the_score(noisy: Any) -> None:
    found = noisy.label_issues()
    score = found["score"].to_numpy()
    assert np.all(np.diff(score) <= 0)
    assert 0 <= score.min() <= score.max() <= 1
    np.testing.assert_array_equal(found["flagged"].to_numpy(zero_copy_only=False), score > 0.5)
    labels, suggested = found["label"].to_numpy(), found["suggested_label"].to_numpy()
    assert (labels != suggested)[score > 0.5].all()


def test_the_same_some_samples_at_a_time(noisy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = noisy.label_issues()
    monkeypatch.setattr("truetap.dynamics.issues._MOST_VALUES", 5000)
    assert noisy.label_issues().equals(whole)


def test_labels_without_errors_are_left_alone(tmp_path: Path) -> None:
    found = trained(tmp_path / "run", TRUE).label_issues()
    assert column(found, "flagged").mean() < 0.03


def test_labels_that_only_some_classes_get_are_found_though_learned_early(tmp_path: Path) -> None:
    others = np.asarray([0, 1, 7, 8, 4, 6, 5, 1, 8, 9])  # the class that is given instead
    confused = np.flatnonzero(others != np.arange(10))
    rows = np.random.default_rng(4).choice(np.flatnonzero(np.isin(TRUE, confused)), COUNT // 10, replace=False)
    given = TRUE.copy()
    given[rows] = others[TRUE[rows]]
    wrong = given != TRUE
    found = trained(tmp_path / "run", given, width=256, epochs=25).label_issues()
    flagged = column(found, "flagged")
    assert average_precision_score(wrong, column(found, "score")) > 0.99
    assert flagged[wrong].mean() > 0.95
    assert wrong[flagged].mean() > 0.93


def test_labels_that_have_nothing_to_do_with_the_inputs_are_said(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", np.random.default_rng(6).permutation(TRUE), epochs=10)
    with pytest.warns(
        tt.DataWarning, match=r"may not follow from the inputs.*Received: \d+% .*Expected: 3 at least"
    ) as said:
        found = run.label_issues()
    assert said[0].filename == __file__
    assert found.num_rows == COUNT


def test_labels_that_were_memorised_are_still_found(tmp_path: Path) -> None:
    given, wrong = (each[:600] for each in with_wrong(0.1))
    run = trained(tmp_path / "run", given, width=256, epochs=60, batch_size=32)
    last = run.samples(epoch=-1)
    assert (last.pred_labels == last.true_labels)[wrong[last.ids]].mean() > 0.6  # by heart
    found = run.label_issues()
    assert column(found, "flagged")[wrong].mean() > 0.75
    assert wrong[column(found, "flagged")].mean() > 0.75


def test_labels_of_two_classes(tmp_path: Path) -> None:
    true = (TRUE >= 5).astype("int64")
    rng = np.random.default_rng(3)
    wrong = rng.random(COUNT) < 0.1
    found = trained(tmp_path / "run", np.where(wrong, 1 - true, true), 1, "sigmoid").label_issues()
    assert average_precision_score(wrong, column(found, "score")) > 0.8
    flagged = column(found, "flagged")
    np.testing.assert_array_equal(column(found, "suggested_label")[flagged], 1 - column(found, "label")[flagged])


def test_each_of_several_labels(tmp_path: Path) -> None:
    true = np.stack([TRUE >= 5, TRUE % 2 == 0, TRUE == 0], axis=1).astype("float32")
    rng = np.random.default_rng(3)
    wrong = rng.random(true.shape) < 0.06
    found = trained(tmp_path / "run", np.where(wrong, 1 - true, true), 3, "sigmoid").label_issues()
    assert found.column_names == ["sample_id", "unit", "label", "suggested_label", "score", "flagged"]
    assert found.num_rows == 3 * COUNT
    at = found["sample_id"].to_numpy(), found["unit"].to_numpy()
    assert average_precision_score(wrong[at], found["score"].to_numpy()) > 0.8
    np.testing.assert_array_equal(found["label"].to_numpy(), np.where(wrong, 1 - true, true)[at])


def test_a_single_epoch_is_said_and_flags_little(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", TRUE[:400], epochs=1)
    with pytest.warns(tt.DataWarning, match=r"Received: 1 of them\. Expected: 3 at least"):
        found = run.label_issues()
    assert found.num_rows == 400


def test_samples_of_validation_can_be_judged(tmp_path: Path) -> None:
    given, wrong = with_wrong(0.1)
    run = trained(tmp_path / "run", given, validation_data=(PIXELS[:300], given[:300]))
    found = run.label_issues("val")
    assert found.num_rows == 300
    assert average_precision_score(wrong[:300], column(found, "score")) > 0.6


def test_numbers_are_refused(tmp_path: Path) -> None:
    model = sequential(Dense(1), shape=(64,))
    model.fit(PIXELS[:64], TRUE[:64] / 3, epochs=3, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    with pytest.raises(tt.TaskError, match=r"a regression output.*run\.hardest\(by='mean_absolute_residual'\)"):
        tt.open(tmp_path / "run").label_issues()
