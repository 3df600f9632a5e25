"""A model that is fitted again and again in one way, and what was measured of it.

A fit is timed as a user would see it, the run's opening and closing included. Of a recorded one, the run is
looked at afterwards: a row that is missing ends the measurement, since recording less is no way to be fast.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _measure import Timed, timed
from _training import EPOCH, Way, Workload, raw

import truetap as tt

__all__ = ["Cost", "Lane"]


class Mark(keras.callbacks.Callback):  # type: ignore[misc]
    """Notes when Keras passes it: one before and one after the Recorder tell what it does in between."""

    began = ended = 0.0

    def on_train_begin(self, logs: Any = None) -> None:
        self.began = time.perf_counter()

    def on_train_end(self, logs: Any = None) -> None:
        self.ended = time.perf_counter()


@dataclass(frozen=True)
class Cost:
    """What a recording says of itself, or leaves behind."""

    steps: int
    seconds: float
    training_thread: float
    writer: float
    waiting: float
    rows: int
    bytes: int
    opening: float
    closing: float
    behind: float


class Lane:
    """A way to train one workload: its model, and what was measured of it by repetition."""

    def __init__(self, work: Workload, way: Way, folder: Path) -> None:
        keras.utils.set_random_seed(0)
        self.work = work
        self.way = way
        self.title = f"{work.title}, {way.title}"
        self.folder = folder
        self.model = work.make(**way.options)
        self.epochs, self.steps = 1, 10
        self.times: dict[int, Timed] = {}
        self.costs: list[Cost] = []
        self.written: dict[int, tuple[float, float]] = {}
        self.marks = Mark(), Mark()
        self.recorder: Any = None
        self.callbacks = [] if way.callback is None else [way.callback(work)]
        if way.taps is not None:
            self.recorder = tt.Recorder(folder, way.taps(work), on_error="raise")
            self.callbacks = [self.marks[0], self.recorder, self.marks[1]]

    def fit(self, _: object = None) -> None:
        """Once over its steps."""
        data, callbacks = self.work.data(self.steps), list(self.callbacks)
        self.model.fit(**data, epochs=self.epochs, shuffle=False, verbose=0, callbacks=callbacks)

    def warm(self, seconds: float, like: Lane | None) -> None:
        """Traces the step, and chooses the number of steps: so many as take the seconds, or as another has."""
        self.steps = 1 if like is None else min(like.steps, 10)
        self.fit()
        if like is None:
            self.steps = 10
            first = timed(self.fit, None).wall / 10
            self.steps = max(5, min(EPOCH, int(seconds / 3 / first)))
            steps = max(5, round(seconds * self.steps / timed(self.fit, None).wall))
            self.epochs = max(1, round(steps / EPOCH))
            self.steps = min(EPOCH, steps // self.epochs)
        else:
            once = timed(self.fit, None).wall / self.steps if self.way.rival else 0.0
            self.epochs, self.steps = like.epochs, like.steps
            if once * self.epochs * self.steps > 3 * seconds:
                self.epochs, self.steps = 1, max(5, min(like.steps, int(1.5 * seconds / once)))
        self.finish()
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self) -> float:
        """Seconds until what a Recorder does behind `fit` is done: small tables become Parquet."""
        began = time.perf_counter()
        if self.recorder is not None:
            self.recorder.finish()
        return time.perf_counter() - began

    def measure(self, repetition: int) -> Timed:
        """One fit; of a recorded one, what it left behind."""
        one = timed(self.fit, None)
        steps = self.epochs * self.steps
        if self.way.taps is not None:
            cost = self._cost(one.wall, self.finish())
            self.costs.append(cost)
            shutil.rmtree(self.folder)
            if self.way.taps is raw:
                self.written[repetition] = write_plainly(self.folder, cost.bytes // steps, steps)
        self.times[repetition] = Timed(one.wall / steps, one.cpu / steps)
        return self.times[repetition]

    def _cost(self, seconds: float, behind: float) -> Cost:
        """Of the run in the folder; not a row may be missing."""
        run = tt.open(self.folder)
        said = run.overhead()
        steps = self.epochs * self.steps
        counts = {name: run.reader.num_rows(name) for name in run.tables}
        samples = [name for name in counts if name == "samples" or name.startswith("activations.")]
        if said.steps != steps or said.dropped or any(counts[name] != steps * self.work.batch for name in samples):
            raise RuntimeError(f"Not all of {steps} steps was recorded: {said}, rows: {counts}.")
        before, after = self.marks
        return Cost(
            steps=steps,
            seconds=seconds,
            training_thread=said.seconds_in_training_thread,
            writer=said.seconds_in_writer,
            waiting=said.seconds_waiting,
            rows=sum(counts.values()),
            bytes=sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()),
            opening=after.began - before.began,
            closing=after.ended - before.ended,
            behind=behind,
        )


def write_plainly(folder: Path, size: int, steps: int) -> tuple[float, float]:
    """Seconds for the same bytes by plain writes, a step at a time: to the system alone, and down to the disk."""
    rng = np.random.default_rng(0)
    blocks = [rng.bytes(size) for _ in range(min(steps, (64 << 20) // size + 1))]  # more than a cache holds
    began = time.perf_counter()
    with folder.open("xb", buffering=0) as file:
        for step in range(steps):
            file.write(blocks[step % len(blocks)])
        written = time.perf_counter()
        os.fsync(file.fileno())
    ended = time.perf_counter()
    folder.unlink()
    return written - began, ended - began
