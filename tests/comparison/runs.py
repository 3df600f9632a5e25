"""Runs made by hand for the tests of comparison: rows of one epoch, of any task, whose numbers are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import truetap as tt
from tests.made_rows import keys, put, softmax
from truetap.about import About
from truetap.run import Run
from truetap.store import RunWriter
from truetap.tasks import Hint

Array = npt.NDArray[Any]

SOFTMAX = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")
SIGMOID = Hint(loss="binary_crossentropy", from_logits=False, activation="sigmoid")
LINEAR = Hint(loss="mean_squared_error", activation="linear")


@dataclass(frozen=True)
class Rows:
    """Rows of an epoch.

    Attributes:
        prints: Fingerprints, int64 (n,).
        values: y_true, y_pred, loss, mask, … as a recorder names the columns.
        hints: What the loss says, by output.
        ids: Ids, if they aren't the fingerprints.
    """

    prints: Array
    values: Mapping[str, Array]
    hints: Mapping[str, Hint] = field(default_factory=lambda: {"": SOFTMAX})
    ids: Any = None
    class_names: tuple[str, ...] | None = None

    def order(self, order: Array) -> Rows:
        ids = None if self.ids is None else np.asarray(self.ids)[order]
        values = {name: each[order] for name, each in self.values.items()}
        return Rows(self.prints[order], values, self.hints, ids, self.class_names)


def write_run(
    path: Path, phases: Mapping[str, Sequence[Rows]], metadata: Mapping[str, Any] | None = None, batch: int = 64
) -> Run:
    """A finished run of these phases, epoch by epoch."""
    first = next(iter(phases.values()))[0]
    outputs = tuple(first.hints)
    shape = "" if outputs == ("",) else {name: name for name in outputs}
    about = About(
        outputs=outputs, shape=shape, hints=first.hints, class_names=first.class_names, model="model", source="fit"
    )
    step = 0
    with RunWriter(path, metadata={"collect": about.to_json(), **(metadata or {})}) as writer:
        for phase, epochs in phases.items():
            for epoch, rows in enumerate(epochs):
                for start in range(0, len(rows.prints), batch):
                    part = rows.order(np.arange(len(rows.prints))[start : start + batch])
                    found = {**_keys(part, phase, epoch, step), **part.values}
                    put(writer, "samples", found)
                    step += 1
    return tt.open(path)


def _keys(rows: Rows, phase: str, epoch: int, step: int) -> dict[str, Any]:
    count = len(rows.prints)
    return keys(phase, epoch, step, count) | {
        "position": np.arange(count, dtype=np.int32),
        "sample_id": rows.prints if rows.ids is None else np.asarray(rows.ids),
        "fingerprint": rows.prints,
    }


def classes(size: int, skill: float, seed: int, number: int = 4) -> Rows:
    """Classes predicted with a skill; labels are the same for any seed and skill."""
    true = np.random.default_rng(1).integers(0, number, size)
    logits = np.random.default_rng(seed).normal(size=(size, number))
    logits[np.arange(size), true] += skill
    pred = softmax(logits)
    loss = -np.log(pred[np.arange(size), true])
    values: dict[str, Array] = {"y_true": true, "y_pred": pred.astype(np.float32), "loss": loss.astype(np.float32)}
    return Rows(np.arange(1000, 1000 + size), values)


def binary(size: int, skill: float, seed: int) -> Rows:
    true = np.random.default_rng(2).integers(0, 2, size)
    score = 1 / (1 + np.exp(-(np.random.default_rng(seed).normal(size=size) + skill * (2 * true - 1))))
    loss = -np.log(np.where(true == 1, score, 1 - score))
    values: dict[str, Array] = {
        "y_true": true,
        "y_pred": score[:, None].astype(np.float32),
        "loss": loss.astype(np.float32),
    }
    return Rows(np.arange(1000, 1000 + size), values, {"": SIGMOID})


def numbers(size: int, noise: float, seed: int, width: int = 2) -> Rows:
    true = 1000 + np.random.default_rng(3).normal(size=(size, width)) * 3
    pred = true + noise * np.random.default_rng(seed).normal(size=(size, width))
    values: dict[str, Array] = {"y_true": true, "y_pred": pred, "loss": ((true - pred) ** 2).mean(axis=1)}
    return Rows(np.arange(1000, 1000 + size), values, {"": LINEAR})


def labels(size: int, skill: float, seed: int, number: int = 5) -> Rows:
    """Independent labels."""
    true = (np.random.default_rng(4).random((size, number)) < 0.4).astype(np.int64)
    score = 1 / (1 + np.exp(-(np.random.default_rng(seed).normal(size=true.shape) + skill * (2 * true - 1))))
    loss = -np.log(np.where(true == 1, score, 1 - score)).mean(axis=1)
    values: dict[str, Array] = {"y_true": true, "y_pred": score.astype(np.float32), "loss": loss.astype(np.float32)}
    return Rows(np.arange(1000, 1000 + size), values, {"": SIGMOID})


def ranks(size: int, skill: float, seed: int, number: int = 4) -> Rows:
    """Ordered ranks, as thresholds passed: 1 1 0."""
    rank = np.random.default_rng(5).integers(0, number, size)
    true = (np.arange(number - 1) < rank[:, None]).astype(np.int64)
    score = 1 / (1 + np.exp(-(np.random.default_rng(seed).normal(size=true.shape) + skill * (2 * true - 1))))
    loss = -np.log(np.where(true == 1, score, 1 - score)).mean(axis=1)
    values: dict[str, Array] = {"y_true": true, "y_pred": score.astype(np.float32), "loss": loss.astype(np.float32)}
    return Rows(np.arange(1000, 1000 + size), values, {"": SIGMOID})


def sequences(size: int, skill: float, seed: int, steps: int = 7, number: int = 3) -> Rows:
    """A class at each step, with padding."""
    rng = np.random.default_rng(6)
    true, length = rng.integers(0, number, (size, steps)), rng.integers(1, steps + 1, size)
    logits = np.random.default_rng(seed).normal(size=(size, steps, number))
    logits += skill * (true[..., None] == np.arange(number))
    pred = softmax(logits)
    mask = np.arange(steps) < length[:, None]
    each = -np.log(np.take_along_axis(pred, true[..., None], axis=-1)[..., 0]) * mask
    values = {
        "y_true": true,
        "y_pred": pred.astype(np.float32),
        "mask": mask.astype(np.uint8),
        "loss": (each.sum(axis=1) / length).astype(np.float32),
    }
    return Rows(np.arange(1000, 1000 + size), values)


def images(size: int, skill: float, seed: int, number: int = 3) -> Rows:
    """A class at each pixel."""
    true = np.random.default_rng(7).integers(0, number, (size, 4, 5))
    logits = np.random.default_rng(seed).normal(size=(*true.shape, number))
    pred = softmax(logits + skill * (true[..., None] == np.arange(number)))
    loss = -np.log(np.take_along_axis(pred, true[..., None], axis=-1)[..., 0]).mean(axis=(1, 2))
    values: dict[str, Array] = {"y_true": true, "y_pred": pred.astype(np.float32), "loss": loss.astype(np.float32)}
    return Rows(np.arange(1000, 1000 + size), values)
