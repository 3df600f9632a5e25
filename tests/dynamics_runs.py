"""Runs made by hand for the tests of dynamics: what steps would have recorded, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import truetap as tt
from tests.made_rows import keys, put
from truetap.about import About
from truetap.run import Run
from truetap.store import RunWriter
from truetap.tasks import Hint

Array = npt.NDArray[Any]

SOFTMAX = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")


@dataclass
class Epoch:
    """Rows of an epoch in the order of its steps.

    Attributes:
        ids: The samples.
        y_true: Their labels; None for none.
        y_pred: The predictions.
        loss: Their losses; None for none.
        prints: Fingerprints, if they aren't the ids.
    """

    ids: Any
    y_true: Any
    y_pred: Any
    loss: Any = None
    prints: Any = None


def write_run(path: Path, epochs: Sequence[Epoch], hint: Hint = SOFTMAX, phase: str = "train", batch: int = 4) -> Run:
    """A finished run of these rows in steps of `batch`."""
    metadata = {"collect": About(hints={"": hint}, model="model", source="recorder").to_json()}
    step = 0
    with RunWriter(path, metadata=metadata) as writer:
        for number, epoch in enumerate(epochs):
            for start in range(0, len(epoch.ids), batch):
                part = slice(start, start + batch)
                put(writer, "samples", _columns(epoch, part, phase, number, step))
                step += 1
    return tt.open(path)


def _columns(epoch: Epoch, part: slice, phase: str, number: int, step: int) -> dict[str, Any]:
    ids = np.asarray(epoch.ids)[part]
    count = len(ids)
    found: dict[str, Any] = keys(phase, number, step, count) | {
        "position": np.arange(count, dtype=np.int32),
        "sample_id": ids,
        "fingerprint": ids if epoch.prints is None else np.asarray(epoch.prints)[part],
    }
    values = {"y_true": epoch.y_true, "y_pred": epoch.y_pred, "loss": epoch.loss}
    return found | {name: np.asarray(each)[part] for name, each in values.items() if each is not None}


def rows_by_id(table: Any) -> dict[Any, dict[str, Any]]:
    """The rows of a table by sample."""
    return {row["sample_id"]: row for row in table.to_pylist()}
