"""What the examples in docstrings have at hand: `run`, a small recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _run_of_the_examples(request: pytest.FixtureRequest, doctest_namespace: dict[str, Any]) -> None:
    if isinstance(request.node, pytest.DoctestItem) and request.node.name.startswith("truetap.run"):
        doctest_namespace["run"] = _recorded(request.getfixturevalue("tmp_path") / "run")


def _recorded(path: Path) -> Any:
    """Two epochs of two steps of two samples, 100 to 103."""
    import numpy as np

    import truetap as tt
    from truetap.store import Recording, Rows

    def keys(epoch: int, step: int, rows: int) -> dict[str, Any]:
        return {
            "phase": np.full(rows, "train", object),
            "epoch": np.full(rows, epoch, np.int32),
            "step": np.full(rows, step, np.int64),
            "batch": np.full(rows, step % 2, np.int32),
        }

    def step(number: int) -> list[Rows]:
        epoch, ids = number // 2, np.asarray([100, 101]) + number % 2 * 2
        samples = keys(epoch, number, 2) | {
            "position": np.arange(2, dtype=np.int32),
            "sample_id": ids,
            "fingerprint": ids,
            "y_true": np.asarray([0.0, 1.0], np.float32),
            "y_pred": np.asarray([0.5, 0.5], np.float32),
            "loss": np.full(2, 0.5 / (epoch + 1), np.float32),
        }
        means = keys(epoch, number, 1) | {
            "path": np.asarray(["dense"], object),
            "statistic": np.asarray(["mean"], object),
            "over": np.asarray(["batch"], object),
            "value": np.asarray([0.25 * (number + 1)]),
        }
        return [Rows("samples", samples, ("train", epoch)), Rows("activations", means, ("train", epoch))]

    with Recording(path) as recording:
        for number in range(4):
            recording.put(lambda number=number: step(number), 100)
    return tt.open(path)
