"""TensorBoard's own readers over what was exported for it: scalars, histograms, the projector."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from tests.exporting import made
from truetap.errors import StoreError, TruetapWarning
from truetap.exporting import export
from truetap.run import Run


@pytest.fixture(scope="module")
def folder(written: made.Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made run; what can't be shown of it is said."""
    path = tmp_path_factory.mktemp("tensorboard") / "logs"
    with pytest.warns(TruetapWarning, match=r"Not shown in TensorBoard: activations/a_b/own: what its values"):
        files = export(written.run, path, "tensorboard")
    assert sorted(files) == sorted(str(file) for file in path.rglob("*") if file.is_file())
    return path


def read(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    return accumulator.Reload()


def scalars(events: EventAccumulator, tag: str) -> tuple[list[int], list[float]]:
    found = events.Scalars(tag)
    return [each.step for each in found], [each.value for each in found]


def test_scalars_by_step_and_by_epoch(folder: Path, written: made.Made) -> None:
    train, val = read(folder / "train"), read(folder / "val")
    steps, values = scalars(train, "step/loss")
    assert steps == [0, 1, 2, 3]
    assert np.array_equal(values, written.column("scalars", "loss").astype(np.float32), equal_nan=True)
    assert scalars(train, "step/loss_scale") == ([0, 2], [2.0, 2.0])
    assert scalars(val, f"step/running/{made.HOSTILE}") == ([0, 1, 2, 3], [0.0, 0.25, 0.5, 0.75])
    assert scalars(train, "epoch/loss") == ([0, 1], [1.0, 0.5])
    assert scalars(val, "epoch/loss") == ([0, 1], [2.0, 2.0])
    assert np.isnan(scalars(train, "epoch/accuracy")[1][1])
    rows = {name: written.column("activations", name) for name in ("path", "statistic", "value")}
    for path in ("a#b", "a_b"):
        expected = rows["value"][(rows["path"] == path) & (rows["statistic"] == "mean")].astype(np.float32)
        assert scalars(train, f"activations/{path}/mean")[1] == expected.tolist()
    begun = written.run.reader.created
    assert np.datetime64(int(train.Scalars("step/loss")[0].wall_time), "s") == np.datetime64(begun.split("+")[0], "s")


def test_histograms_have_the_recorded_counts(folder: Path, written: made.Made) -> None:
    events = read(folder / "train")
    rows = {name: written.column("activations", name) for name in ("statistic", "values", "step")}
    at = np.flatnonzero(rows["statistic"] == "histogram")
    found = events.Histograms("activations/a_b/histogram")
    assert [each.step for each in found] == rows["step"][at].tolist()
    for each, row in zip(found, at, strict=True):
        counts = np.trim_zeros(np.asarray(rows["values"][row]))
        assert each.histogram_value.bucket == [0.0, *counts]
        assert each.histogram_value.num == counts.sum()
    values, steps = written.column("activations.conv", "values"), written.column("activations.conv", "step")
    for each in events.Histograms("activations/shared#1"):
        of_step = values[steps == each.step].astype(np.float64)
        assert each.histogram_value.num == of_step.size
        assert each.histogram_value.sum == pytest.approx(of_step.sum())
        assert (each.histogram_value.min, each.histogram_value.max) == (of_step.min(), of_step.max())


def test_tensorboard_shows_the_bins_as_they_are(folder: Path, written: made.Made) -> None:
    """TensorBoard turns histograms of event files into triples of left, right and count before it draws them."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    file = next((folder / "train").glob("events.out.tfevents.*"))
    found = [
        make_ndarray(value.tensor)
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag == "activations/a_b/histogram"
    ]
    rows = {name: written.column("activations", name) for name in ("statistic", "values")}
    for bins, row in zip(found, np.flatnonzero(rows["statistic"] == "histogram"), strict=True):
        counts = np.asarray(rows["values"][row])
        edges = made.EDGES
        expected = [
            (edges[place], edges[place + 1], count) for place, count in enumerate(counts)
            if counts[: place + 1].any() and counts[place:].any()
        ]  # fmt: skip
        shown = [tuple(each) for each in bins.tolist()]
        assert [each for each in shown if each[0] < each[1]] == expected
        assert not any(count for left, right, count in shown if left == right)


def test_projector_has_activations_with_labels_and_images(recorded: Run, tmp_path: Path) -> None:
    export(recorded, tmp_path / "logs", "tensorboard")
    text = (tmp_path / "logs" / "projector_config.pbtxt").read_text()
    (info,) = text_format.Parse(text, ProjectorConfig()).embeddings
    points = np.loadtxt(tmp_path / "logs" / info.tensor_path, delimiter="\t", dtype=np.float32)
    raw = recorded.activations("features", phase="train", epoch=-1)
    assert info.tensor_name == "features (train, epoch 1)"
    assert list(info.tensor_shape) == list(points.shape) == [64, 12]
    assert points == pytest.approx(raw.values, rel=1e-6)
    lines = [line.split("\t") for line in (tmp_path / "logs" / info.metadata_path).read_text().splitlines()]
    assert lines[0] == ["sample", "label", "predicted", "right", "loss", "step"]
    told = dict(zip(lines[0], zip(*lines[1:], strict=True), strict=True))
    assert list(told["sample"]) == [str(each) for each in raw.ids.tolist()]
    samples = recorded.samples("train", -1)
    place = {each: at for at, each in enumerate(samples.ids.tolist())}
    at = [place[each] for each in raw.ids.tolist()]
    assert list(map(int, told["label"])) == np.asarray(samples.y_true).reshape(-1)[at].tolist()
    assert list(map(int, told["predicted"])) == samples.y_pred[at].argmax(axis=1).tolist()
    assert samples.loss is not None
    assert list(map(float, told["loss"])) == pytest.approx(samples.loss[at], rel=1e-5)
    assert {*told["right"]} == {"yes", "no"}
    _check_sprite(recorded, tmp_path / "logs", info, raw.fingerprints.tolist())


def _check_sprite(run: Run, folder: Path, info: Any, prints: list[int]) -> None:
    width, height = info.sprite.single_image_dim
    assert (width, height) == (8, 8)
    sprite = np.asarray(Image.open(folder / info.sprite.image_path))
    assert sprite.shape == (64, 64)
    inputs = run.inputs("x", phase="train")
    known = dict(zip(inputs.fingerprints.tolist(), inputs.values, strict=True))
    drawn = 0
    for place, print_ in enumerate(prints):
        row, column = divmod(place, 8)
        tile = sprite[row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        if print_ in known:
            drawn += 1
            assert np.array_equal(tile, (known[print_][..., 0] * 255).round())
        else:
            assert (tile == 128).all()
    assert drawn > 5


def test_projector_of_several_outputs_and_hostile_names(folder: Path, written: made.Made) -> None:
    (info,) = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings
    lines = [line.split("\t") for line in (folder / info.metadata_path).read_text().split("\n")[:-1]]
    assert lines[0] == ["sample", "label kind", "predicted kind", "right kind", "loss", "step"]
    assert len(lines) == 1 + 2 * made.BATCH
    assert all(len(line) == len(lines[0]) for line in lines)
    rows = written.rows["samples", "train", 1]
    names = ["cat", "dog", " ".join(made.HOSTILE.split())]
    assert [line[1] for line in lines[1:]] == [names[label] for label in rows["y_true/kind"]]
    assert [line[2] for line in lines[1:]] == [names[label] for label in rows["y_pred/kind"].argmax(axis=1)]


def test_the_plugin_serves_the_projector(recorded: Run, tmp_path: Path) -> None:
    """TensorBoard's own plugin, asked as its page asks, in a process without TensorFlow."""
    export(recorded, tmp_path / "logs", "tensorboard")
    program = f"""
import sys
sys.modules["tensorflow"] = None
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client
logs = {str(tmp_path / "logs")!r}
multiplexer = EventMultiplexer().AddRunsFromDirectory(logs)
multiplexer.Reload()
plugin = ProjectorPlugin(TBContext(logdir=logs, data_provider=MultiplexerDataProvider(multiplexer, logs)))
apps = plugin.get_plugin_apps()
def ask(name, query=""):
    return Client(apps[name]).get("/" + query).data
print(ask("/runs").decode())
name = "features+(train,+epoch+1)"
print(len(ask("/tensor", "?run=.&name=" + name)), ask("/metadata", "?run=.&name=" + name).count(b"\\n"))
print(ask("/sprite_image", "?run=.&name=" + name)[:4])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ['["."]', f"{64 * 12 * 4} 65", repr(b"\x89PNG")]


def test_limits_of_the_projector_are_said(written: made.Made, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruetapWarning)
        export(written.run, tmp_path / "few", "tensorboard", points=5)
    assert len((tmp_path / "few" / "projector" / "0.tsv").read_text().splitlines()) == 5
    with pytest.warns(TruetapWarning, match=r"The projector holds the first 0 of the layers.*Say layers= for more"):
        export(written.run, tmp_path / "none", "tensorboard", layers=0, tables=["activations.conv"])
    assert not (tmp_path / "none" / "projector_config.pbtxt").exists()


def test_nothing_to_show_is_refused(written: made.Made, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"nothing that TensorBoard could show. Received: tables \['samples'\]"):
        export(written.run, tmp_path / "logs", "tensorboard", tables="samples")
    assert not any(tmp_path.iterdir())


def test_neither_tensorflow_nor_keras_is_loaded(written: made.Made, tmp_path: Path) -> None:
    program = f"""
import sys, warnings
warnings.simplefilter("ignore")
import truetap as tt
from truetap.exporting import export
export(tt.open({written.run.path!r}), {str(tmp_path / "logs")!r}, "tensorboard")
print([each for each in ("tensorflow", "keras", "grpc", "torch") if each in sys.modules])
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
