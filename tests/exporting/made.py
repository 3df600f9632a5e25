"""A run for exports, made by hand: every value is known without asking the code that is tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import truetap as tt
from tests.made_rows import keys
from truetap import columns
from truetap.about import About
from truetap.run import Run
from truetap.store import RunWriter
from truetap.tasks import Hint

Array = npt.NDArray[Any]

HOSTILE = '=1+1,"\n\t<script>#@[\x1b[31m é 日'
SOFTMAX = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")
LINEAR = Hint(loss="mean_squared_error", activation="linear")
EDGES = [-1.0, 0.0, 0.5, 2.0]
PROBABILITIES = [0.1, 0.5, 0.9]
BATCH, STEPS, EPOCHS = 6, 2, 2  # rows a step, steps an epoch


@dataclass
class Made:
    """A run, and what was put into it.

    Attributes:
        run: The run.
        writer: What wrote it.
        rows: By table, phase and epoch, the columns as they were put in, in their order.
    """

    run: Run
    writer: RunWriter
    rows: dict[tuple[str, str, int], dict[str, Array]] = field(default_factory=dict)

    def column(self, table: str, name: str, phase: str = "train") -> Array:
        """A column over all epochs of a phase."""
        return np.concatenate(
            [rows[name] for (one, other, _), rows in self.rows.items() if (one, other) == (table, phase)]
        )


def write(path: Path, *, complete: bool = True) -> Made:
    """Two epochs of training and validation, two outputs, three recorded images of layers, statistics of every kind.

    Args:
        path: Where.
        complete: Whether the writer comes to its end.
    """
    made: dict[tuple[str, str, int], dict[str, Array]] = {}
    metadata = {
        "collect": About(
            outputs=("kind", "age"), shape={"kind": "kind", "age": "age"}, hints={"kind": SOFTMAX, "age": LINEAR},
            class_names=("cat", "dog", HOSTILE), model="made", source="fit",
        ).to_json(),
        "recorder": {
            "backend": "numpy",
            "taps": [{"tap": "Activations", "reduce": f"[Histogram({EDGES}), Quantiles({PROBABILITIES}), 'mean']"}],
        },
        "tensors": {
            "activations.conv": {"kind": "activations", "path": "shared#1"},
            "inputs.x": {"kind": "inputs", "path": "x"},
            "gradients.k": {"kind": "gradients", "path": "conv/kernel"},
        },
    }  # fmt: skip
    writer = RunWriter(path, metadata=metadata)
    for phase in ("train", "val"):
        for epoch in range(EPOCHS):
            for step in range(STEPS):
                for table, rows in _of_step(phase, epoch, epoch * STEPS + step).items():
                    _put(writer, made, table, rows)
            if phase == "train":
                _put(writer, made, "epochs", _of_epoch(epoch))
    if complete:
        writer.close()
    return Made(tt.open(path), writer, made)


def _of_step(phase: str, epoch: int, step: int) -> Mapping[str, dict[str, Any]]:
    rng = np.random.default_rng(step + 100 * (phase == "val"))
    true = np.random.default_rng(step % STEPS + 7).integers(0, 3, BATCH)  # the same in each epoch
    pred = rng.random((BATCH, 3)).astype(np.float32)
    loss = rng.random(BATCH).astype(np.float32)
    if step == 1:
        loss[:2] = np.nan, np.inf
    samples = keys(phase, epoch, step, BATCH, step % STEPS) | _identity(phase, step) | {
        "y_true/kind": true,
        "y_pred/kind": pred,
        "y_true/age": rng.random((BATCH, 1)),
        "y_pred/age": rng.random((BATCH, 1)),
        "loss": loss,
        "loss/kind": np.nan_to_num(loss, posinf=9) / 2,
        "loss/age": np.nan_to_num(loss, posinf=9) / 2,
        "mask": rng.integers(0, 2, (BATCH, 2 + step % 2)).astype(np.uint8),
    }  # fmt: skip
    scalars = keys(phase, epoch, step, 1, step % STEPS) | {
        "samples": np.asarray([BATCH], np.int32),
        "loss": np.asarray([np.inf if step == 3 else np.nan if step == 1 else 1.0 / (step + 1)]),
        "loss_scale": pa.array([None if step % 2 else 2.0], pa.float64()),
        "skipped": pa.array([None], pa.bool_()),
        f"running/{HOSTILE}": np.asarray([0.25 * step]),
    }  # fmt: skip
    found: dict[str, dict[str, Any]] = {"samples": samples, "scalars": scalars}
    if phase == "train":
        raw = keys(phase, epoch, step, BATCH, step % STEPS) | _identity(phase, step)
        found["inputs.x"] = raw | {"values": rng.random((BATCH, 6, 6, 1)).astype(np.float32)}
        found["activations.conv"] = raw | {"values": rng.normal(size=(BATCH, 2, 3)).astype(np.float32)}
        gradient = rng.normal(size=(1, 4, 2)).astype(np.float32)
        gradient[0, 0] = np.nan, np.inf
        found["gradients.k"] = keys(phase, epoch, step, 1, step % STEPS) | {"values": gradient}
        found["activations"] = _statistics(epoch, step, rng)
    return found


def _statistics(epoch: int, step: int, rng: np.random.Generator) -> dict[str, Any]:
    found = {
        ("a#b", "mean"): np.asarray(rng.normal()),
        ("a_b", "mean"): np.asarray(rng.normal()),
        ("a_b", "histogram"): rng.integers(0, 9, len(EDGES) - 1).astype(np.float32),
        ("a_b", "quantiles"): np.sort(rng.normal(size=len(PROBABILITIES))).astype(np.float32),
        ("a_b", "min"): rng.normal(size=5).astype(np.float32),
        ("a_b", "own"): rng.normal(size=2).astype(np.float32),
    }
    return keys("train", epoch, step, len(found), step % STEPS) | {
        "path": np.asarray([path for path, _ in found], object),
        "statistic": np.asarray([name for _, name in found], object),
        "over": np.full(len(found), "batch", object),
        "value": pa.array([float(each) if each.ndim == 0 else None for each in found.values()], pa.float64()),
        "values": pa.array(
            [None if each.ndim == 0 else each.tolist() for each in found.values()], pa.list_(pa.float32())
        ),
        "shape": pa.array([list(each.shape) for each in found.values()], pa.list_(pa.int32())),
    }


def _of_epoch(epoch: int) -> dict[str, Any]:
    names = ["loss", "val_loss", "accuracy"]
    return {
        "phase": np.full(3, "train", object),
        "epoch": np.full(3, epoch, np.int32),
        "name": np.asarray(names, object),
        "value": np.asarray([1.0 / (epoch + 1), 2.0, np.nan if epoch else 0.5]),
    }


def _identity(phase: str, step: int) -> dict[str, Any]:
    """The same samples in each epoch; the first has a hostile name."""
    first = step % STEPS * BATCH + 1000 * (phase == "val")
    names = [HOSTILE if place == 0 else f"{phase}-{place}" for place in range(first, first + BATCH)]
    return {
        "position": np.arange(BATCH, dtype=np.int32),
        "sample_id": np.asarray(names, object),
        "fingerprint": np.arange(first, first + BATCH) + 2**60,
    }


def _put(
    writer: RunWriter, made: dict[tuple[str, str, int], dict[str, Array]], table: str, rows: dict[str, Any]
) -> None:
    changing = frozenset({"mask"}) & rows.keys()
    writer.write(table, columns.record_batch(rows.items(), changing))
    writer.flush()
    known = made.setdefault((table, str(rows["phase"][0]), int(rows["epoch"][0])), {})
    for name, values in rows.items():
        plain = np.asarray(values.to_pylist(), object) if isinstance(values, pa.Array) else values
        if name in changing:  # the longest row of all has three
            plain = np.pad(plain, ((0, 0), (0, 3 - plain.shape[1])))
        known[name] = plain if name not in known else np.concatenate([known[name], plain])
