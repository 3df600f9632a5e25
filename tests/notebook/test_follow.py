"""A run followed while it is written: only what is new is read, peaks stay, memory doesn't grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truetap.columns import record_batch
from truetap.errors import StoreError
from truetap.notebook.follow import Course, Follower
from truetap.store import RunWriter
from truetap.store.batches import Batches


def steps(phase: str, epoch: int, first: int, loss: list[float]) -> Any:
    count = len(loss)
    columns: dict[str, Any] = {
        "phase": np.full(count, phase, object),
        "epoch": np.full(count, epoch, np.int32),
        "step": np.arange(first, first + count),
        "loss": np.asarray(loss, np.float32),
        "running/loss": np.cumsum(loss) / np.arange(1, count + 1),
    }
    return record_batch(columns.items())


def metrics(epoch: int, **values: float) -> Any:
    columns: dict[str, Any] = {
        "phase": np.full(len(values), "train", object),
        "epoch": np.full(len(values), epoch, np.int32),
        "name": np.asarray(list(values), object),
        "value": np.asarray(list(values.values())),
    }
    return record_batch(columns.items())


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The places of the batches that are read."""
    places: list[int] = []
    real = Batches.at

    def at(self: Batches, place: int) -> Any:
        places.append(place)
        return real(self, place)

    monkeypatch.setattr(Batches, "at", at)
    return places


def test_each_look_reads_what_is_new(tmp_path: Path, read: list[int]) -> None:
    follower = Follower(str(tmp_path / "run"))
    with pytest.raises(StoreError):
        follower.look()
    with RunWriter(tmp_path / "run") as writer:
        for number in range(5):
            writer.write("scalars", steps("train", 0, 4 * number, [8.0, 7.0, 6.0, 5.0 - number]))
            writer.flush()
        assert follower.look()
        assert sorted(read) == [0, 1, 2, 3, 4]
        read.clear()
        assert not follower.look()
        assert read == [4]
        read.clear()
        writer.write("scalars", steps("val", 0, 0, [1.0, 2.0]))
        writer.flush()
        writer.write("scalars", steps("train", 1, 20, [0.5]))
        writer.flush()
        assert follower.look()
        assert read == [6, 5, 4]
        assert follower.rows == 23
    own = follower.steps["train", "own"].points
    assert [step for step, _ in own] == list(range(21))
    assert own[-2:] == [(19, 1.0), (20, 0.5)]
    assert follower.steps["train", "running"].points[3:4] == [(3, 6.5)]
    assert follower.steps["val", "own"].points == [(0, 1.0), (1, 2.0)]


def test_metrics_by_epoch(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path / "run"))
    with RunWriter(tmp_path / "run") as writer:
        for epoch in range(3):
            writer.write("epochs", metrics(epoch, loss=1.0 / (1 + epoch), val_loss=float("nan")))
            writer.flush()
            follower.look()
            follower.look()
    assert follower.epochs["loss"].points == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert [np.isnan(value) for _, value in follower.epochs["val_loss"].points] == [True] * 3


def test_a_thorough_look_finds_rows_that_were_moved(tmp_path: Path) -> None:
    """Compaction puts the rows of phases one behind the other: the last batch may be an old one."""
    follower = Follower(str(tmp_path / "run"))
    writer = RunWriter(tmp_path / "run")
    writer.write("scalars", steps("train", 0, 0, [1.0]))
    writer.flush()
    writer.write("scalars", steps("val", 0, 0, [2.0]))
    writer.flush()
    follower.look()
    writer.write("scalars", steps("train", 0, 1, [3.0, 4.0]))
    writer.close(compact=True)
    follower.look(thorough=True)
    assert follower.steps["train", "own"].points == [(0, 1.0), (1, 3.0), (2, 4.0)]
    assert follower.steps["val", "own"].points == [(0, 2.0)]


def test_a_course_is_thinned_and_keeps_peaks() -> None:
    course = Course()
    values = np.random.default_rng(0).normal(size=100_000)
    values[31_234], values[77_777] = 50.0, -50.0
    for start in range(0, len(values), 1000):
        steps_of = [float(at) for at in range(start, start + 1000)]
        course.add(steps_of, values[start : start + 1000].tolist())
        assert len(course.points) <= 800
    places = [step for step, _ in course.points]
    assert places == sorted(places)
    assert (31_234.0, 50.0) in course.points
    assert (77_777.0, -50.0) in course.points
    assert all(values[int(step)] == value for step, value in course.points)
    assert places[-1] > 99_900


def test_a_value_that_is_not_finite_is_kept() -> None:
    course = Course()
    values = [1.0] * 5000
    values[2345] = float("nan")
    course.add([float(at) for at in range(5000)], values)
    assert [step for step, value in course.points if np.isnan(value)] == [2345.0]
