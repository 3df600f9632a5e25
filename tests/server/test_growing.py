"""A run that grows while it is served, is compacted, damaged or deleted; many requests at once; two runs."""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt
from tests.comparison import runs
from tests.report import made
from tests.server.conftest import Serve
from truetap import columns
from truetap.about import About
from truetap.store import Recording, Rows, RunWriter


def batch(epoch: int, step: int, pairs: made.Pairs, part: slice) -> dict[str, Any]:
    count = len(pairs.names[part])
    return {
        "phase": np.full(count, "train", object),
        "epoch": np.full(count, epoch, np.int32),
        "step": np.full(count, step, np.int64),
        "batch": np.full(count, step, np.int32),
        "position": np.arange(count, dtype=np.int32),
        "sample_id": pairs.names[part],
        "fingerprint": pairs.names[part],
        "y_true": pairs.y_true[part],
        "y_pred": pairs.y_pred[part],
        "loss": pairs.loss[part].astype(np.float32),
    }


def put(writer: RunWriter, epoch: int, step: int, pairs: made.Pairs, part: slice) -> None:
    writer.write("samples", columns.record_batch(batch(epoch, step, pairs, part).items()))
    writer.flush()


METADATA = {"collect": About(hints={"": made.SOFTMAX}, model="model", source="fit").to_json()}


def test_what_is_committed_is_seen(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(300, 3)
    pred = pairs.y_pred.argmax(axis=1)
    with RunWriter(tmp_path / "run", metadata=METADATA) as writer:
        asking = serve(tmp_path / "run")
        assert asking.get("runs/0")["looked"] is None
        stamps = [asking.get("runs/0/stamp")["stamp"]]
        for step, end in enumerate((40, 41, 200, 300)):
            begin = (0, 40, 41, 200)[step]
            put(writer, 0, step, pairs, slice(begin, end))
            stamps.append(asking.get("runs/0/stamp")["stamp"])
            found = asking.get("runs/0/samples", wrong=1)
            assert found["total"] == (pred != pairs.y_true)[:end].sum()
            glance = dict(asking.get("runs/0/output")["section"]["parts"][0]["rows"])
            assert glance["accuracy"] == pytest.approx((pred == pairs.y_true)[:end].mean(), rel=1e-5)
        assert asking.get("runs/0")["complete"] is False
        put(writer, 1, 4, pairs, slice(0, 10))
        assert asking.get("runs/0")["phases"] == {"train": [0, 1]}
        assert asking.get("runs/0/samples")["total"] == 10
        assert asking.get("runs/0/samples", epoch=0)["total"] == 300
    stamps.append(asking.get("runs/0/stamp")["stamp"])
    assert len(set(stamps)) == len(stamps)
    assert asking.get("runs/0")["complete"] is True


def test_rows_that_move_to_parquet_are_the_same(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(500, 4)
    order = np.random.default_rng(0).permutation(500)
    mixed = made.Pairs(pairs.names[order], pairs.y_true[order], pairs.y_pred[order], pairs.loss[order])
    recording = Recording(tmp_path / "run", metadata=METADATA, flush_seconds=0.01)
    for step in range(5):
        rows = batch(0, step, mixed, slice(100 * step, 100 * step + 100))
        recording.put(lambda rows=rows: [Rows("samples", rows, ("train", 0))], 100)
    time.sleep(0.3)
    asking = serve(tmp_path / "run")
    before = asking.get("runs/0/samples")["rows"]
    matrix = asking.get("runs/0/output")["matrix"]
    recording.close()
    deadline = time.monotonic() + 20
    while not list((tmp_path / "run").rglob("*.parquet")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert asking.get("runs/0/samples")["rows"] == before
    assert asking.get("runs/0/output")["matrix"] == matrix
    assert asking.get("runs/0/sample", phase="train", id=before[0][0])["visits"]


def test_what_values_mean_is_told_anew_while_little_is_known(serve: Serve, tmp_path: Path) -> None:
    numbers = made.Pairs(np.arange(90), np.arange(90) % 2, np.random.default_rng(0).random(90), np.ones(90))
    numbers.y_true[60:] = 7
    plain = {"collect": About(model="model", source="fit").to_json()}
    with RunWriter(tmp_path / "run", metadata=plain) as writer:
        put(writer, 0, 0, numbers, slice(0, 40))
        asking = serve(tmp_path / "run")
        assert asking.get("runs/0/output")["kind"] == "classes"
        put(writer, 0, 1, numbers, slice(40, 90))
        assert asking.get("runs/0/output")["kind"] == "numbers"
        assert asking.get("runs/0/samples", sort="error")["total"] == 90


def test_a_run_that_is_deleted(serve: Serve, tmp_path: Path) -> None:
    run = made.write(tmp_path / "run", {"train": [made.of_classes(50, 3)]})
    asking = serve(run)
    asking.get("runs/0/samples")
    shutil.rmtree(tmp_path / "run")
    for path in ("runs/0", "runs/0/stamp", "runs/0/samples", "runs/0/findings", "runs/0/sample?id=1000"):
        status, said = asking.refused(path)
        assert status == 410
        assert said["do"] == "See whether the run was moved or removed, and serve it anew."
    made.write(tmp_path / "run", {"train": [made.of_classes(20, 3)]})
    assert asking.get("runs/0/samples")["total"] == 20


def test_a_damaged_run_is_told_and_the_other_is_served(serve: Serve, tmp_path: Path) -> None:
    broken = made.write(tmp_path / "broken", {"train": [made.of_classes(50, 3)]})
    sound = made.write(tmp_path / "sound", {"train": [made.of_classes(50, 3)]})
    asking = serve(broken, sound)
    (tmp_path / "broken" / "manifest.json").write_text('{"format": 1')
    status, said = asking.refused("runs/0")
    assert status == 409
    assert "manifest" in said["received"]
    assert asking.get("runs/1/samples")["total"] == 50
    assert [each["name"] for each in asking.get("runs")["runs"]] == ["broken", "sound"]


def test_segments_cut_short_are_read_as_far_as_they_go(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(200, 3)
    writer = RunWriter(tmp_path / "run", metadata=METADATA)
    for step in range(2):
        put(writer, 0, step, pairs, slice(100 * step, 100 * step + 100))
    segment = next((tmp_path / "run" / "samples").rglob("seg-*.arrow"))
    content = segment.read_bytes()
    segment.write_bytes(content[: len(content) - 500])
    assert serve(tmp_path / "run").get("runs/0/samples")["total"] == 100
    segment.write_bytes(content)
    writer.close()


def test_many_at_once(serve: Serve, tmp_path: Path) -> None:
    pairs = made.of_classes(2000, 5)
    asking = serve(made.write(tmp_path / "run", {"train": [pairs, pairs], "val": [pairs]}))
    paths: list[tuple[str, dict[str, Any]]] = [
        ("runs/0", {}),
        ("runs/0/output", {"phase": "train", "epoch": 0}),
        ("runs/0/output", {"phase": "val"}),
        ("runs/0/samples", {"wrong": 1, "phase": "train"}),
        ("runs/0/samples", {"sort": "id", "page": 3}),
        ("runs/0/classes", {"sort": "f1"}),
        ("runs/0/sample", {"phase": "train", "id": "1000"}),
        ("runs/0/curves", {}),
    ]
    alone = [asking.get(path, **given) for path, given in paths]
    with ThreadPoolExecutor(16) as pool:
        for _ in range(4):
            assert list(pool.map(lambda each: asking.get(each[0], **each[1]), paths * 4)) == alone * 4


def test_two_runs_over_each_other_and_compared(serve: Serve, trained: tuple[Path, Path]) -> None:
    asking = serve(*trained)
    over = asking.get("overlaid", runs="0,1")["section"]
    lines = {row["s"] for row in over["parts"][0]["spec"]["data"]["values"]}
    assert lines == {"small", "large"}
    section = asking.get("compare", here=0, there=1)["section"]
    expected = tt.open(trained[0]).compare(tt.open(trained[1]))
    tables = {each["title"].split(":")[0]: each["rows"] for each in section["parts"]}
    right = expected.newly_right
    assert [row[0] for row in tables["Newly right"]] == [f"val:{each}" for each in right["sample_id"].to_pylist()]
    metrics = {row[0]: row[1:6] for row in tables["Metrics, with intervals of 95%"]}
    for row in expected.metrics.to_pylist():
        shown = [row[name] for name in ("here", "there", "difference", "low", "high")]
        assert metrics[row["metric"]] == pytest.approx(shown, rel=1e-4, abs=1e-7)
    assert asking.refused("compare", here=1, there=1)[1]["received"] == "run 1 twice"
    assert asking.refused("overlaid", runs="0,5")[0] == 400


def test_answers_stay_small_whatever_the_run(serve: Serve, tmp_path: Path) -> None:
    rows = runs.classes(20_000, 0.5, 0, number=300)
    asking = serve(runs.write_run(tmp_path / "run", {"train": [rows, rows]}, batch=5000))
    for path in ("", "/output", "/samples", "/pairs", "/classes", "/hardest", "/curves", "/exact"):
        asking.get(f"runs/0{path}")
        assert len(asking.client.get(f"/api/runs/0{path}").content) < 60_000, path
    chosen = asking.get("runs/0/matrix", classes=",".join(map(str, range(25))))
    assert len(chosen["matrix"]["cells"]) == 25
