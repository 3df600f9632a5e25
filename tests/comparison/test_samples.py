"""Which samples are compared, and what became of single ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from tests.comparison.runs import SIGMOID, Rows, binary, classes, labels, numbers, sequences, softmax, write_run
from truetap.comparison import Comparison, compare
from truetap.errors import DataError, IdError

Array = npt.NDArray[Any]


def val(path: Path, here: Rows, there: Rows, **options: Any) -> Comparison:
    runs = [write_run(path / name, {"val": [rows]}) for name, rows in (("here", here), ("there", there))]
    return compare(runs[0], runs[1], resamples=100, **options)


def rights(rows: Rows) -> Array:
    return np.asarray(rows.values["y_pred"].argmax(axis=1) == rows.values["y_true"])


def test_newly_right_and_wrong_whatever_the_order(tmp_path: Path) -> None:
    here, there = classes(200, 1.0, 1), classes(200, 1.4, 2)
    shuffled = there.order(np.random.default_rng(0).permutation(200))
    found = val(tmp_path, here, shuffled)
    first, second = rights(here), rights(there)
    assert found.paired
    assert found.matched == 200
    assert found.phase == "val"
    assert set(found.newly_right["sample_id"].to_pylist()) == set(here.prints[~first & second].tolist())
    assert set(found.newly_wrong["sample_id"].to_pylist()) == set(here.prints[first & ~second].tolist())
    for row in found.newly_right.to_pylist():
        at = row["sample_id"] - 1000
        assert row["label"] == row["pred_there"] == here.values["y_true"][at]
        assert row["pred_here"] == here.values["y_pred"][at].argmax()
        assert row["loss_here"] == pytest.approx(here.values["loss"][at])
        assert row["loss_there"] == pytest.approx(there.values["loss"][at])
        assert row["unit"] is None
    change = np.abs(there.values["loss"] - here.values["loss"])
    assert found.changed["sample_id"].to_pylist() == here.prints[np.argsort(-change)[:100]].tolist()
    assert found.changed["difference"][0].as_py() == pytest.approx(
        (there.values["loss"] - here.values["loss"])[change.argmax()]
    )


def test_only_samples_that_both_have_are_measured(tmp_path: Path) -> None:
    here, there = classes(200, 1.0, 1), classes(200, 1.4, 2)
    found = val(tmp_path, here.order(np.arange(150)), there.order(np.arange(50, 200)))
    metrics = {row["metric"]: row for row in found.metrics.to_pylist()}
    assert found.matched == 100
    assert metrics["accuracy"]["here"] == pytest.approx(rights(here)[50:150].mean())
    assert metrics["accuracy"]["there"] == pytest.approx(rights(there)[50:150].mean())
    assert any("50 of 150 rows here" in note for note in found.notes)


def test_names_pair_where_both_have_them(tmp_path: Path) -> None:
    here, there = classes(100, 1.0, 1), classes(100, 1.4, 2)
    names = np.asarray([f"file{k}" for k in range(100)], object)
    there = Rows(there.prints + 5000, there.values, ids=names)  # other preprocessing: other fingerprints
    found = val(tmp_path / "both", Rows(here.prints, here.values, ids=names), there)
    assert found.matched == 100
    assert found.changed["sample_id"][0].as_py().startswith("file")
    assert any("100 of 100 samples of one name have other inputs" in note for note in found.notes)


def test_one_run_lends_its_names_to_the_other(tmp_path: Path) -> None:
    here, there = classes(100, 1.0, 1), classes(90, 1.4, 2)
    names = np.asarray([f"file{k}" for k in range(90)], object)
    found = val(tmp_path, here, Rows(there.prints, there.values, ids=names), slices={"some": ["file3", "file4"]})
    assert found.matched == 90
    assert found.changed["sample_id"][0].as_py().startswith("file")
    assert found.slices["count_here"][0].as_py() == 2


def test_names_with_nothing_in_common_fall_back_to_inputs(tmp_path: Path) -> None:
    here, there = classes(50, 1.0, 1), classes(50, 1.4, 2)
    one, other = (np.asarray([f"{prefix}{k}" for k in range(50)], object) for prefix in "ab")
    found = val(tmp_path, Rows(here.prints, here.values, ids=one), Rows(there.prints, there.values, ids=other))
    assert found.matched == 50
    assert any("paired by their inputs" in note for note in found.notes)


def test_a_sample_that_comes_twice_is_one_sample(tmp_path: Path) -> None:
    here, there = classes(60, 1.0, 1), classes(60, 1.4, 2)
    twice = here.order(np.r_[np.arange(60), np.arange(60)])
    found = val(tmp_path, twice, there)
    assert found.matched == 60
    assert len(set(found.changed["sample_id"].to_pylist())) == found.changed.num_rows == 60


def test_identical_inputs_meet_those_of_their_label(tmp_path: Path) -> None:
    here = classes(60, 1.0, 1)
    prints, values = here.prints.copy(), dict(here.values)
    prints[1] = prints[0]
    values["y_true"] = values["y_true"].copy()
    values["y_true"][:2] = [0, 1]
    here = Rows(prints, values)
    found = val(tmp_path, here, here.order(np.arange(60)[::-1]))
    assert found.changed.num_rows == 0 or found.changed["difference"][0].as_py() == 0
    assert not any("other labels" in note for note in found.notes)


def test_samples_that_were_relabelled_are_said_and_left_out(tmp_path: Path) -> None:
    here = classes(60, 1.0, 1)
    values = dict(here.values)
    values["y_true"] = np.where(np.arange(60) < 7, values["y_pred"].argmax(axis=1), values["y_true"])
    changed = int((values["y_true"] != here.values["y_true"]).sum())
    found = val(tmp_path, here, Rows(here.prints, values))
    assert changed > 0
    assert any(f"{changed} samples have other labels there" in note for note in found.notes)
    assert found.newly_right.num_rows == found.newly_wrong.num_rows == 0


def test_labels_of_their_own_change_one_by_one(tmp_path: Path) -> None:
    here, there = labels(80, 1.0, 1), labels(80, 1.3, 2)
    found = val(tmp_path, here, there)
    first, second = ((rows.values["y_pred"] >= 0.5) == rows.values["y_true"] for rows in (here, there))
    expected = {(int(here.prints[at]), int(unit)) for at, unit in zip(*np.nonzero(~first & second), strict=True)}
    assert {(row["sample_id"], row["unit"]) for row in found.newly_right.to_pylist()} == expected


def test_a_sequence_is_right_when_every_step_is(tmp_path: Path) -> None:
    here, there = sequences(120, 1.0, 1), sequences(120, 1.5, 2)
    found = val(tmp_path, here, there)

    def exact(rows: Rows) -> Array:
        right = rows.values["y_pred"].argmax(axis=-1) == rows.values["y_true"]
        return np.asarray((right | ~rows.values["mask"].astype(bool)).all(axis=1))

    assert set(found.newly_right["sample_id"].to_pylist()) == set(here.prints[~exact(here) & exact(there)].tolist())
    assert found.newly_right["label"].null_count == found.newly_right.num_rows


def test_a_loss_that_is_not_a_number_changed_most(tmp_path: Path) -> None:
    here, there = numbers(40, 1.0, 1), numbers(40, 0.9, 2)
    there.values["loss"][[3, 5]] = np.nan
    here.values["loss"][5] = np.nan
    found = val(tmp_path, here, there)
    assert found.changed["sample_id"][0].as_py() == 1003
    assert found.changed["loss_there"][0].as_py() is None
    assert 1005 not in found.changed["sample_id"].to_pylist()
    assert any("not finite in one of the runs: loss" in note for note in found.notes)
    assert found.newly_right.num_rows == 0


def test_slices_by_ids_by_mask_and_by_table(tmp_path: Path) -> None:
    here, there = classes(200, 1.0, 1), classes(200, 1.4, 2)
    mask = np.random.default_rng(0).random(200) < 0.4
    kind = np.where(mask, "day", "night")
    table = pa.table({"sample_id": here.prints, "kind": kind})
    which = pa.table({"sample_id": here.prints[::-1], "is_day": mask[::-1]})
    order = np.random.default_rng(1).permutation(200)
    slices = {"ids": here.prints[mask], "mask": mask, "light": table, "day": which}
    found = val(tmp_path, here, there.order(order), slices=slices)
    rows = {(row["slice"], row["metric"]): row for row in found.slices.to_pylist()}
    assert {name for name, _ in rows} == {"ids", "mask", "light=day", "light=night", "day"}
    for name in ("ids", "mask", "light=day", "day"):
        row = rows[name, "accuracy"]
        assert row["count_here"] == row["count_there"] == mask.sum()
        assert row["here"] == pytest.approx(rights(here)[mask].mean())
        assert row["there"] == pytest.approx(rights(there)[mask].mean())
        assert row["low"] < row["difference"] < row["high"]
    assert rows["light=night", "accuracy"]["here"] == pytest.approx(rights(here)[~mask].mean())


def test_slices_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    here = classes(50, 1.0, 1)
    with pytest.raises(DataError, match=r"Received: 'part' with shape \(7,\). Expected: bool \(50,\)"):
        val(tmp_path / "a", here, here, slices={"part": np.ones(7, bool)})
    with pytest.raises(
        IdError, match=r"No sample of a slice is in either run\. Received: 'part' of 2 ids such as 1, 2"
    ):
        val(tmp_path / "b", here, here, slices={"part": [1, 2]})
    with pytest.raises(DataError, match="a table of columns"):
        val(tmp_path / "c", here, here, slices={"part": pa.table({"id": [1]})})
    with pytest.raises(DataError, match="Received: 'part' of dtype float64"):
        val(tmp_path / "d", here, here, slices={"part": [0.5]})
    with pytest.raises(DataError, match="says nothing of the other"):
        val(tmp_path / "e", here, Rows(here.prints + 100, here.values), slices={"part": np.ones(50, bool)})
    found = val(tmp_path / "f", here, here, slices={"part": [1000, 7]})
    assert any("1 ids of slice 'part' are in neither run" in note for note in found.notes)


def test_two_classes_with_one_unit_and_with_two(tmp_path: Path) -> None:
    here = binary(100, 1.0, 1)
    score = here.values["y_pred"][:, 0]
    two = classes(100, 1.0, 1, 2)
    there = Rows(two.prints, {**here.values, "y_pred": np.stack([1 - score, score], axis=1)}, two.hints)
    found = val(tmp_path, here, there)
    assert {"accuracy", "log_loss", "ece"} <= set(found.metrics["metric"].to_pylist())
    for row in found.metrics.to_pylist():
        assert row["difference"] == pytest.approx(0, abs=1e-6), row["metric"]
    assert any("Measured in one run only, and left out" in note for note in found.notes)


def test_several_outputs(tmp_path: Path) -> None:
    here, there = (
        Rows(
            one.prints,
            {
                "y_true/kind": one.values["y_true"],
                "y_pred/kind": one.values["y_pred"],
                "loss/kind": one.values["loss"],
                f"y_true/{extra}": two.values["y_true"],
                f"y_pred/{extra}": two.values["y_pred"],
                f"loss/{extra}": two.values["loss"],
                "loss": one.values["loss"] + two.values["loss"],
            },
            {"kind": one.hints[""], extra: SIGMOID},
        )
        for one, two, extra in (
            (classes(90, 1.0, 1), binary(90, 1.0, 3), "flag"),
            (classes(90, 1.4, 2), binary(90, 1.0, 4), "other"),
        )
    )
    found = val(tmp_path / "a", here, there)
    assert found.metrics["output"].unique().to_pylist() == ["kind"]
    assert any("'flag', 'other'" in note for note in found.notes)
    total = {row["sample_id"]: row["loss_here"] for row in found.changed.to_pylist()}
    assert total[1000] == pytest.approx(here.values["loss"][0])
    same = val(tmp_path / "b", here, here)
    assert same.metrics["output"].unique().to_pylist() == ["kind", "flag"]
    assert set(same.per_class["output"].to_pylist()) == {"kind", "flag"}


def test_losses_alone_where_there_is_no_task(tmp_path: Path) -> None:
    size = 60
    rng = np.random.default_rng(0)
    values = {"y_pred": softmax(rng.normal(size=(size, 3))), "loss": rng.random(size)}
    here = Rows(np.arange(1000, 1000 + size), values)
    there = Rows(here.prints, {**values, "loss": values["loss"] / 2})
    found = val(tmp_path, here, there, slices={"half": here.prints[:30]})
    (row,) = found.metrics.to_pylist()
    assert row["metric"] == "loss"
    assert row["difference"] == pytest.approx(-values["loss"].mean() / 2)
    assert row["better"] == "there"
    assert found.slices["here"][0].as_py() == pytest.approx(values["loss"][:30].mean())
    assert found.slices["count_here"][0].as_py() == 30
    assert found.changed.num_rows == size
    assert any("there are no labels here" in note for note in found.notes)
