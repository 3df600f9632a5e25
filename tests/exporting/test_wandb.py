"""The file that W&B keeps of an offline run, read with its own messages, against what was recorded."""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from tests.exporting import made
from truetap.errors import StoreError, TruetapWarning
from truetap.exporting import export
from truetap.exporting.distributions import Histogram
from truetap.exporting.wandb import _histogram
from truetap.exporting.wandb_file import wait_until_whole
from truetap.run import Run

# two epochs are few to judge labels by; that the export says it, is tested with MLflow
pytestmark = pytest.mark.filterwarnings("ignore:Labels are judged by predictions")

HEADER, BLOCK = 7, 32768  # the log format of LevelDB, behind a header of W&B's own


def records(path: Path) -> Iterator[Record]:
    """The records of a .wandb file."""
    data = path.read_bytes()
    assert data.startswith(b":W&B")
    at, held = 7, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
        length, kind = struct.unpack("<HB", data[at + 4 : at + HEADER])
        held += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(held)
            held = b""


class Kept:
    """What W&B kept of an offline run.

    Attributes:
        files: Its files.
        rows: Its history: by dotted name, values as JSON gives them.
        config: Its config.
        axes: The axis of each pattern of names.
        run: Its own record.
    """

    def __init__(self, files: tuple[str, ...]) -> None:
        self.files = [Path(file) for file in files]
        (path,) = (file for file in self.files if file.suffix == ".wandb")
        self.rows: list[dict[str, Any]] = []
        self.config: dict[str, Any] = {}
        self.axes: dict[str, str] = {}
        self.exit_code: int | None = None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "history":
                items = record.history.item
                self.rows.append({each.key or ".".join(each.nested_key): json.loads(each.value_json) for each in items})
            elif kind == "run":
                self.run = record.run
                self.config |= {each.key: json.loads(each.value_json) for each in record.run.config.update}
            elif kind == "metric" and record.metric.step_metric:
                self.axes[record.metric.glob_name or record.metric.name] = record.metric.step_metric
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def curve(self, name: str, axis: str) -> tuple[list[int], list[float]]:
        found = [(row[axis], float(row[name])) for row in self.rows if name in row]
        return [at for at, _ in found], [value for _, value in found]

    def table(self, name: str) -> dict[str, Any]:
        (path,) = (file for file in self.files if file.name.startswith(f"{name}_") and "table" in file.parts)
        found: dict[str, Any] = json.loads(path.read_text())
        return found


@pytest.fixture(scope="module")
def kept(recorded: Run, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(export(recorded, tmp_path_factory.mktemp("wandb"), "wandb", project="digits"))


@pytest.fixture(scope="module")
def odd(written: made.Made, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    with pytest.warns(TruetapWarning, match=r"Not shown in Weights & Biases: activations/a_b/own: what its values"):
        return Kept(export(written.run, tmp_path_factory.mktemp("odd"), "wandb", report=False))


def test_curves_over_steps_and_epochs(recorded: Run, kept: Kept) -> None:
    for phase in ("train", "val"):
        scalars = recorded.scalars(phase)
        expected = (scalars["step"].to_pylist(), scalars["loss"].to_pylist())
        assert kept.curve(f"{phase}/loss", f"{phase}/step") == expected
        running = scalars["running/accuracy"].to_pylist()
        assert kept.curve(f"{phase}/running/accuracy", f"{phase}/step")[1] == running
    epochs = recorded.epochs()
    for name in ("loss", "val_loss", "accuracy"):
        assert kept.curve(f"epoch/{name}", "epoch") == ([0, 1], epochs[name].to_pylist())
    norms = recorded.gradients("digit/kernel").statistics
    found = kept.curve("train/gradients/digit/kernel/norm", "train/step")
    assert found == (norms.steps("norm").tolist(), norms["norm"].tolist())
    assert kept.axes == {"epoch/*": "epoch", "train/*": "train/step", "val/*": "val/step"}
    steps = [row["_step"] for row in kept.rows]
    assert steps == list(range(len(steps)))
    begun = np.datetime64(recorded.reader.created.split("+")[0], "s").astype(int)
    assert {row["_timestamp"] for row in kept.rows} == {float(begun)}


def test_histograms(recorded: Run, kept: Kept) -> None:
    statistics = recorded.gradients("digit/kernel").statistics
    name = "train/gradients/digit/kernel/histogram"
    found = {row["train/step"]: row for row in kept.rows if f"{name}._type" in row}
    assert list(found) == statistics.steps("histogram").tolist()
    edges = np.linspace(-1, 1, 9)
    for row, counts in zip(found.values(), statistics["histogram"], strict=True):
        filled = np.flatnonzero(counts)
        assert row[f"{name}.values"] == counts[filled[0] : filled[-1] + 1].tolist()
        assert row[f"{name}.bins"] == edges[filled[0] : filled[-1] + 2].tolist()


def test_histograms_of_many_bins_are_joined() -> None:
    counts = np.arange(1501.0)
    found = _histogram(Histogram("train", "x", 0, np.arange(1502.0), counts))
    assert found.histogram[:2] == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7]
    assert (sum(found.histogram), len(found.histogram)) == (counts.sum(), 376)
    assert (found.bins[:2], found.bins[-2:]) == ([0, 4], [1500, 1501])


def test_findings_and_rankings_are_tables_and_the_report_a_page(recorded: Run, kept: Kept) -> None:
    findings = kept.table("findings")
    assert [row[findings["columns"].index("rule")] for row in findings["data"]] == [
        each.rule for each in recorded.diagnose()
    ]
    hardest = kept.table("hardest_samples")
    expected = recorded.hardest(200)
    assert hardest["columns"] == expected.column_names
    at = hardest["columns"].index("mean_loss")
    assert [row[at] for row in hardest["data"]] == expected["mean_loss"].to_pylist()
    flagged = kept.table("suspect_labels")
    assert len(flagged["data"]) == sum(recorded.label_issues()["flagged"].to_pylist())
    (page,) = (file for file in kept.files if file.suffix == ".html")
    assert "digits" in page.read_text()


def test_the_run_says_what_it_is(recorded: Run, kept: Kept) -> None:
    assert (kept.run.project, kept.run.display_name) == ("digits", "digits")
    assert kept.config["fit/batch_size"] == 32
    assert kept.config["optimizer"] == "Adam"
    assert kept.exit_code == 0
    names = {file.name for file in kept.files}
    assert not names & {"requirements.txt", "wandb-metadata.json", "diff.patch", "output.log"}


def test_odd_names_and_numbers(written: made.Made, odd: Kept) -> None:
    losses = odd.curve("train/loss", "train/step")[1]
    assert losses[0] == 1.0
    assert math.isnan(losses[1])
    assert losses[3] == math.inf
    rows = {name: written.column("activations", name) for name in ("path", "statistic", "value")}
    for path, name in (("a#b", "train/activations/a_b/mean"), ("a_b", "train/activations/a_b/mean-2")):
        expected = rows["value"][(rows["path"] == path) & (rows["statistic"] == "mean")].tolist()
        assert odd.curve(name, "train/step")[1] == expected
    (running,) = {name for row in odd.rows for name in row if name.startswith("val/running/")}
    assert set(running) <= set("abcdefghijklmnopqrstuvwxyz/_-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
    assert odd.curve(running, "val/step")[1] == [0.0, 0.25, 0.5, 0.75]
    scale = odd.curve("train/loss_scale", "train/step")
    assert scale == ([0, 2], [2.0, 2.0])
    hardest = odd.table("hardest_samples_kind")
    assert made.HOSTILE in [row[hardest["columns"].index("sample_id")] for row in hardest["data"]]


def test_a_relative_path_is_one_of_this_process(
    recorded: Run, kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # W&B's service was started elsewhere
    files = export(recorded, "here", "wandb", report=False)
    assert all(file.startswith("here/") and (tmp_path / file).is_file() for file in files)
    assert Kept(files).exit_code == 0


def test_an_open_run_of_the_users_own_stays_as_it_is(recorded: Run, tmp_path: Path) -> None:
    mine: Any = wandb.init(project="mine", dir=str(tmp_path), settings=wandb.Settings(console="off", silent=True))
    mine.log({"loss": 1.0})
    first = export(recorded, tmp_path, "wandb", report=False)
    second = export(recorded, tmp_path, "wandb", report=False)
    current: Any = wandb.run
    assert current is mine
    mine.log({"loss": 2.0})
    mine.finish()
    assert not set(first) & set(second)
    (path,) = (tmp_path / "wandb").glob(f"offline-run-*-{mine.id}/*.wandb")
    until = time.monotonic() + 30  # the service writes on while finish returns
    while Kept((str(path),)).exit_code is None and time.monotonic() < until:
        time.sleep(0.1)
    assert Kept((str(path),)).curve("loss", "_step") == ([0, 1], [1.0, 2.0])


def test_a_place_that_cannot_be_written_is_said(written: made.Made, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Weights & Biases can't write the run. Received: .*file/out"):
        export(written.run, tmp_path / "file" / "out", "wandb")


def test_a_file_without_its_end_is_waited_for(kept: Kept, tmp_path: Path) -> None:
    (whole,) = (file for file in kept.files if file.suffix == ".wandb")
    wait_until_whole(whole)
    data = whole.read_bytes()
    for size in (0, 7, 5000, 40_000, len(data) - 3):
        (tmp_path / "cut.wandb").write_bytes(data[:size])
        with pytest.raises(StoreError, match=r"has not finished its file after 0.05 s. Received: .*cut.wandb"):
            wait_until_whole(tmp_path / "cut.wandb", seconds=0.05)
