"""Runs made by hand, whose every value the tests know without asking the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import truetap as tt
from tests import made_rows
from tests.made_rows import put
from truetap.about import About
from truetap.fingerprint import fingerprint
from truetap.run import Run
from truetap.store import RunWriter
from truetap.tasks import Hint

Array = npt.NDArray[Any]

SAMPLES, BATCH, CLASSES = 20, 8, 3
HINT = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")


@dataclass
class Made:
    """A run with what was put into it.

    Attributes:
        path: Its folder.
        x: Inputs by phase, shape (n, 4).
        prints: Their fingerprints.
        rows: What each step saw: keys, rows of x, y_true, y_pred, loss.
    """

    path: Path
    x: dict[str, Array]
    prints: dict[str, Array]
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def run(self) -> Run:
        return tt.open(self.path)

    def of(self, name: str, phase: str = "train", epochs: Any = None) -> Array:
        """A column as it should be read."""
        chosen = [row for row in self.rows if row["phase"] == phase and (epochs is None or row["epoch"] in epochs)]
        return np.concatenate([np.asarray(row[name]) for row in chosen])


def inputs(seed: int, rows: int = SAMPLES) -> Array:
    return np.random.default_rng(seed).random((rows, 4), np.float32)


def keys(row: dict[str, Any], count: int) -> dict[str, Array]:
    """The key columns of `count` rows of a step."""
    return made_rows.keys(row["phase"], row["epoch"], row["step"], count, row["batch"])


def sample_columns(row: dict[str, Any]) -> dict[str, Any]:
    count = len(row["prints"])
    return keys(row, count) | {
        "position": np.arange(count, dtype=np.int32),
        "sample_id": row["prints"],
        "fingerprint": row["prints"],
        "y_true": row["y_true"],
        "y_pred": row["y_pred"],
        "loss": row["loss"],
    }


def steps(made: Made, phase: str, epoch: int, first_step: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """An epoch in an order of its own."""
    order = rng.permutation(len(made.prints[phase]))
    found = []
    for batch, start in enumerate(range(0, len(order), BATCH)):
        chosen = order[start : start + BATCH]
        y_pred = rng.random((len(chosen), CLASSES), np.float32)
        y_pred /= y_pred.sum(axis=1, keepdims=True)
        found.append(
            {
                "phase": phase,
                "epoch": epoch,
                "step": first_step + batch,
                "batch": batch,
                "which": chosen,
                "prints": made.prints[phase][chosen],
                "y_true": chosen % CLASSES,
                "y_pred": y_pred,
                "loss": rng.random(len(chosen), np.float32),
                "epochs": np.full(len(chosen), epoch),
                "steps": np.full(len(chosen), first_step + batch),
            }
        )
    return found


def about(**more: Any) -> dict[str, Any]:
    return {"collect": About(hints={"": HINT}, model="model", source="recorder", **more).to_json()}


def begin(path: str | Path, val_rows: int = 12) -> Made:
    x = {"train": inputs(1), "val": inputs(2, val_rows)}
    return Made(Path(path), x, {phase: fingerprint(values) for phase, values in x.items()})


def write_samples(made: Made, writer: RunWriter, epochs: int = 3) -> None:
    """Epochs of train and val, a commit a step."""
    rng = np.random.default_rng(5)
    for epoch in range(epochs):
        for phase in ("train", "val"):
            first = sum(row["phase"] == phase for row in made.rows)
            for row in steps(made, phase, epoch, first, rng):
                made.rows.append(row)
                put(writer, "samples", sample_columns(row))


def make(path: Path, epochs: int = 3, **options: Any) -> Made:
    """A finished run of samples only."""
    made = begin(path)
    with RunWriter(path, metadata=about(), **options) as writer:
        write_samples(made, writer, epochs)
    return made
