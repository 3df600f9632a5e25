"""Lists of samples: every filter, sort and page against NumPy; single samples; hostile names."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt
from tests.comparison import runs
from tests.report import made
from tests.server.conftest import Asking, Serve
from truetap.fingerprint import fingerprint


def pages(asking: Asking, **given: Any) -> list[list[Any]]:
    """All rows, page by page."""
    rows: list[list[Any]] = []
    for page in itertools.count():
        found = asking.get("runs/0/samples", page=page, **given)
        assert len(found["rows"]) == min(50, max(0, found["total"] - 50 * page))
        rows += found["rows"]
        if not found["rows"] or len(rows) == found["total"]:
            return rows
    raise AssertionError


def test_all_pages_are_all_samples_in_order(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(333, 4)
    asking = serve(made.write(tmp_path / "run", {"train": [pairs]}))
    confidence, step = pairs.y_pred.max(axis=1), np.zeros(333)
    keys = {"loss": pairs.loss, "confidence": confidence, "id": pairs.names, "step": step, "true": pairs.y_true}
    for (sort, values), order in itertools.product(keys.items(), ("asc", "desc")):
        rows = pages(asking, sort=sort, order=order)
        sign = 1 if order == "asc" else -1
        expected = pairs.names[np.lexsort((np.arange(333), sign * np.float32(values)))]
        assert [int(row[0]) for row in rows] == expected.tolist(), (sort, order)
    row = pages(asking)[0]
    place = int(row[0]) - 1000
    assert row[1] == pytest.approx(float(pairs.loss.max()), rel=1e-5)
    assert row[2:4] == [str(pairs.y_true[place]), str(pairs.y_pred[place].argmax())]
    assert asking.get("runs/0/samples", page=9999)["rows"] == []


def test_every_cell_opens_all_its_samples(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(600, 3)
    asking = serve(made.write(tmp_path / "run", {"train": [pairs]}))
    pred = pairs.y_pred.argmax(axis=1)
    for true, predicted in itertools.product(range(3), range(3)):
        chosen = pairs.names[(pairs.y_true == true) & (pred == predicted)]
        rows = pages(asking, true=true, pred=predicted)
        assert {int(row[0]) for row in rows} == set(chosen.tolist())
        assert (np.diff([row[1] for row in rows]) <= 0).all()
    assert len(pages(asking, wrong=1)) == (pred != pairs.y_true).sum()
    assert len(pages(asking, wrong=1, true=2)) == ((pred != pairs.y_true) & (pairs.y_true == 2)).sum()


def test_a_loss_that_is_no_number_comes_first(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(60, 3)
    loss = pairs.loss.astype(np.float32).copy()
    loss[17] = np.nan
    run = made.write(tmp_path / "run", {"train": [made.Pairs(pairs.names, pairs.y_true, pairs.y_pred, loss)]})
    assert serve(run).get("runs/0/samples")["rows"][0][:2] == ["1017", None]


def test_samples_are_found_by_their_ids(serve: Serve, tmp_path: Path) -> None:
    large = np.asarray([2**53 + 1, 2**53 + 3, -(2**63), 2**63 - 1, 12, 123, 1234])
    asking = serve(made.write(tmp_path / "run", {"train": [made.of_classes(7, 3, names=large)]}))
    found = {
        each: [row[0] for row in pages(asking, find=each, sort="id")] for each in ("12", "1234", "-9", "9007", "%")
    }
    assert found == {
        "12": ["12", "123", "1234"],
        "1234": ["1234"],
        "-9": [str(-(2**63))],
        "9007": [str(2**53 + 1), str(2**53 + 3)],
        "%": [],
    }
    for name in large.tolist():
        sample = asking.get("runs/0/sample", phase="train", id=str(name))
        assert sample["name"] == str(name)
        assert len(sample["visits"]) == 1


def test_strings_and_hostile_ones(serve: Serve, tmp_path: Path) -> None:
    names = [f"img/{made.HOSTILE}'; drop table samples_1; --{place}" for place in range(30)]
    run = made.write(
        tmp_path / "run", {"train": [made.of_classes(30, 3, names=names)]}, class_names=(made.HOSTILE, "b,c", "")
    )
    asking = serve(run)
    assert {row[0] for row in pages(asking)} == set(names)
    assert [row[0] for row in pages(asking, find="--7")] == [names[7]]
    assert asking.get("runs/0/sample", phase="train", id=names[3])["name"] == names[3]
    assert asking.get("runs/0/output")["matrix"]["names"] == [made.HOSTILE, "b,c", ""]
    assert asking.get("runs/0/samples", true="b,c")["total"] == asking.get("runs/0/samples", true="1")["total"]
    text = asking.client.get("/api/runs/0/samples").text
    assert json.loads(text)["total"] == 30


def test_one_sample(serve: Serve, tmp_path: Path) -> None:
    epochs = [made.of_classes(40, 3, seed) for seed in range(5)]
    shown = np.random.default_rng(0).random((40, 12, 12, 1)).astype(np.float32)
    run = made.write(tmp_path / "run", {"train": epochs, "val": epochs[:1]}, inputs={"train": shown})
    sample = serve(run).get("runs/0/sample", phase="train", id="1007")
    assert sample["heads"] == ["phase", "epoch", "step", "loss", "true", "predicted"]
    train = [line for line in sample["visits"] if line[0] == "train"]
    assert [line[1] for line in train] == [0, 1, 2, 3, 4]
    assert [line[3] for line in train] == pytest.approx([float(each.loss[7]) for each in epochs], rel=1e-5)
    assert [line[4:] for line in train] == [[str(e.y_true[7]), str(e.y_pred[7].argmax())] for e in epochs]
    assert [each["kind"] for each in sample["inputs"]] == ["image"]
    values = sample["chart"]["data"]["values"]
    assert {row["s"] for row in values} == {"train", "val"}


def test_small_pictures_of_a_page(serve: Serve, tmp_path: Path) -> None:
    shown = np.random.default_rng(0).random((40, 12, 12, 1)).astype(np.float32)
    run = made.write(tmp_path / "run", {"train": [made.of_classes(40, 3)]}, inputs={"train": shown})
    asking = serve(run)
    found = asking.get("runs/0/inputs", phase="train", ids='["1003", "1004", "nobody", "77"]')["samples"]
    assert set(found) == {"1003", "1004"}
    assert found["1003"]["inputs"][0]["data"].startswith("data:image/png;base64,")
    none = made.write(tmp_path / "none", {"train": [made.of_classes(40, 3)]})
    assert serve(none).get("runs/0/inputs", phase="train", ids='["1003"]') == {"samples": {}}


def test_inputs_beside_the_samples(serve: Serve, tmp_path: Path) -> None:
    rows = runs.classes(90, 1.0, 0)
    rows.values["inputs/x"] = np.arange(90 * 5, dtype=np.float32).reshape(90, 5)  # type: ignore[index]
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows, rows]}))
    ids = json.dumps(["1003", "1080"])
    found = asking.get("runs/0/inputs", phase="train", epoch=1, ids=ids)["samples"]
    assert [value for _, value in found["1080"]["inputs"][0]["data"]] == [400, 401, 402, 403, 404]
    sample = asking.get("runs/0/sample", phase="train", id="1003")
    assert [value for _, value in sample["inputs"][0]["data"]] == [15, 16, 17, 18, 19]


def test_only_flagged_ones_and_the_lists_behind_the_page(serve: Serve, trained: tuple[Path, Path]) -> None:
    run = tt.open(trained[1])
    asking = serve(run)
    flagged = run.label_issues().filter(run.label_issues()["flagged"])["sample_id"].to_pylist()
    assert len(flagged) > 10
    found = pages(asking, phase="train", flagged=1, sort="id")
    assert [int(row[0]) for row in found] == sorted(flagged)
    section = asking.get("runs/0/labels")["section"]
    assert [int(row[0].split(":")[1]) for row in section["parts"][0]["rows"]] == flagged
    hardest = asking.get("runs/0/hardest")["section"]["parts"][0]["rows"]
    expected = run.hardest(500)
    assert [row[0] for row in hardest] == [f"train:{each}" for each in expected["sample_id"].to_pylist()]
    assert [row[3] for row in hardest[:20]] == pytest.approx(expected["mean_loss"].to_pylist()[:20], rel=1e-4)
    last = run.samples("train", -1)
    names = last.ids.tolist()
    true, chosen = (dict(zip(names, each.tolist(), strict=True)) for each in (last.y_true, last.y_pred.argmax(1)))
    for row, name in zip(hardest, expected["sample_id"].to_pylist(), strict=True):
        assert row[1:3] == [str(true[name]), str(chosen[name])]


def test_findings_are_those_of_diagnose(serve: Serve, trained: tuple[Path, Path]) -> None:
    found = serve(trained[0]).get("runs/0/findings")
    report = tt.open(trained[0]).diagnose()
    assert [each["rule"] for each in found["findings"]] == [each.rule for each in report]
    assert [rule for rule, _ in found["skipped"]] == list(report.skipped)
    assert found["verdict"].endswith(f"{len(report.checked)} checks ran.")


def test_names_given_after_the_fact(serve: Serve, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.random((50, 3)).astype(np.float32)
    prints = fingerprint(x)
    pairs = made.of_classes(50, 3, names=prints)
    run = made.write(tmp_path / "run", {"train": [pairs]})
    asking = serve(run)
    assert {int(row[0]) for row in pages(asking)} == set(prints.tolist())
    tt.open(run.path).identify(x, [f"row {place}" for place in range(50)])
    assert {row[0] for row in pages(asking)} == {f"row {place}" for place in range(50)}
    assert asking.get("runs/0/sample", phase="train", id="row 7")["name"] == "row 7"
