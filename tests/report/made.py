"""Runs for reports, made by hand: every value is known without asking the code that is tested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import truetap as tt
from tests.made_rows import keys as row_keys
from tests.made_rows import put
from truetap.about import About
from truetap.report.content import Chart, Confusion, Content, Section, Table
from truetap.run import Run
from truetap.store import RunWriter
from truetap.tasks import Hint

Array = npt.NDArray[Any]

SOFTMAX = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")
SIGMOID = Hint(loss="binary_crossentropy", from_logits=False, activation="sigmoid")
LINEAR = Hint(loss="mean_squared_error", from_logits=False, activation="linear")
HOSTILE = (
    "</script><script>window.owned=1</script><img src=x onerror='window.owned=1'><!--\u2028\"&amp;{{page}}"
    "${window.owned=1}\u202e javascript:window.owned=1 \x1b[31m"
)


@dataclass(frozen=True)
class Pairs:
    """Samples of an epoch: labels, predictions, losses; ids are those of `names`, in this order."""

    names: Any
    y_true: Array
    y_pred: Array
    loss: Array


def of_classes(samples: int, classes: int, seed: int = 0, names: Any = None) -> Pairs:
    """Labels, and softmax predictions that are right more often than not."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, samples)
    scores = rng.normal(size=(samples, classes))
    scores[np.arange(samples), true] += 1.5
    powers = np.exp(scores)
    pred = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    ids = np.arange(1000, 1000 + samples) if names is None else names
    return Pairs(ids, true, pred, -np.log(pred[np.arange(samples), true]))


def write(
    path: Path,
    epochs: dict[str, list[Pairs]],
    hint: Hint = SOFTMAX,
    class_names: tuple[str, ...] | None = None,
    inputs: dict[str, Array] | None = None,
    long: dict[str, dict[str, Array]] | None = None,
    metrics: list[dict[str, float]] | None = None,
) -> Run:
    """A finished run.

    Args:
        path: Its folder.
        epochs: Samples by phase, an entry an epoch.
        hint: What the model says of its output.
        class_names: Names of the classes.
        inputs: By phase, an input for each of the samples of the first epoch.
        long: Statistics by table and path: "gradients" -> "dense/kernel" -> norms, one a step.
        metrics: Metrics of each epoch by name.
    """
    about = About(hints={"": hint}, model="model", source="fit", class_names=class_names)
    metadata = {"collect": about.to_json(), "tensors": {"inputs.x": {"kind": "inputs", "path": "x"}}}
    with RunWriter(path, metadata=metadata) as writer:
        step = 0
        for phase, passes in epochs.items():
            for epoch, pairs in enumerate(passes):
                count = len(pairs.names)
                keys = {**row_keys(phase, epoch, step, count), "position": np.arange(count, dtype=np.int32)}
                ids = np.asarray(pairs.names)
                prints = ids if ids.dtype.kind == "i" else np.arange(count) + 7
                known = {"sample_id": ids, "fingerprint": prints}
                values = {"y_true": pairs.y_true, "y_pred": pairs.y_pred, "loss": pairs.loss}
                put(writer, "samples", {**keys, **known, **values})
                if epoch == 0 and inputs is not None and phase in inputs:
                    put(writer, "inputs.x", {**keys, **known, "values": inputs[phase]})
                step += 1
        for table, paths in (long or {}).items():
            for name, numbers in paths.items():
                for at, value in enumerate(numbers.tolist()):
                    put(writer, table, {**row_keys("train", 0, at, 1), **_statistic(name, value)})
        for epoch, row in enumerate(metrics or []):
            for name, value in row.items():
                keys = {"phase": np.asarray(["train"], object), "epoch": np.asarray([epoch], np.int32)}
                put(writer, "epochs", {**keys, "name": np.asarray([name], object), "value": np.asarray([value])})
    return tt.open(path)


def scalars(path: Path, loss: Array, running: Array, rate: Array) -> Run:
    """A run of steps alone."""
    with RunWriter(path, metadata={"collect": About().to_json()}) as writer:
        keys = {**row_keys("train", 0, 0, len(loss)), "step": np.arange(len(loss))}
        values = {"loss": loss, "learning_rate": rate, "running/loss": running}
        put(writer, "scalars", {**keys, "samples": np.full(len(loss), 8, np.int32), **values})
    return tt.open(path)


def _statistic(path: str, value: float) -> dict[str, Array]:
    names = {"path": path, "statistic": "norm", "over": "batch"}
    return {**{key: np.asarray([each], object) for key, each in names.items()}, "value": np.asarray([value])}


# --- what a report's content holds ---------------------------------------------------------------------


def section(content: Content, anchor: str) -> Section:
    return next(each for each in content.sections if each.anchor == anchor)


def table(found: Section, title: str) -> Table:
    return next(each for each in found.parts if isinstance(each, Table) and title in each.title)


def chart(found: Section, title: str) -> Chart:
    return next(each for each in found.parts if isinstance(each, Chart) and title in each.title)


def matrix(found: Section) -> Confusion:
    return next(each for each in found.parts if isinstance(each, Confusion))


def column(found: Table, title: str) -> list[Any]:
    at = [each.title for each in found.columns].index(title)
    return [row[at] for row in found.rows]
