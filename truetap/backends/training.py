"""What the trainers of the three backends have in common, as a recorder sees them.

A backend makes the function that Keras calls for a phase (`model.train_function`, …) over a step that
gives extras beside its result, and takes those off before Keras sees them.

On several devices, with Keras 3.15.1:

- TensorFlow `MirroredStrategy`: fit, evaluate, predict; a step's rows are in the order of the replicas. Fit with
  `steps_per_execution` above 1, and `jit_compile=True`, fail in Keras.
- JAX `keras.distribution`, one process: fit, evaluate, predict. Batches that don't divide fail in Keras.
- JAX `DataParallel`, several processes: fit, evaluate; statistics are of the whole batch. Predict fails in Keras.
- torch, a step that calls `DistributedDataParallel`: fit, evaluate; statistics of activations are of the
  worker's own samples.
- TensorFlow `MultiWorkerMirroredStrategy`: predict. Fit and evaluate fail in Keras.

Where there are several processes, each is a worker of the run.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from truetap.backends import current
from truetap.store import Worker

__all__ = ["MAKERS", "Feed", "Recorded", "StepLike", "Training", "training"]

# The words by which Keras names the step, the function and its maker of each phase.
MAKERS = {"train": "train", "val": "test", "test": "test", "predict": "predict"}

# A function with the signature of Keras' own for that phase and backend.
Recorded = Callable[..., Any]


class StepLike(Protocol):
    """The step that is compiled: `truetap.capture.step.RecordedStep`."""

    model: Any
    plan: Any
    learned: Any

    def run(
        self,
        inner: Callable[..., Any],
        data: Any,
        flags: Sequence[Any],
        through: Callable[[dict[str, Any], str, Any], Any],
        plan: Any = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Runs a step whose state lives in the model; returns its result and the extras."""

    def only(self, due: Sequence[bool]) -> Any:
        """The plan of a step in which some taps aren't due."""

    def run_stateless(
        self, watch: Any, data: Any, flags: Sequence[Any], result: Any, reached: dict[str, Any]
    ) -> dict[str, Any]:
        """The extras of a step that is a function of its state."""

    def gradients_given(self, watch: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """Hands what reaches the optimizer to a watch."""


class Feed(Protocol):
    """The host's side of a phase: `truetap.capture.feed.Feed`."""

    @property
    def conditions(self) -> int:
        """How many flags `begin` gives."""

    def begin(self, ahead: int = 0) -> list[bool]:
        """Which taps are due in the step that comes `ahead` steps after the next."""

    def before(self, read: Callable[[Any], Any]) -> None:
        """Right before a step; `read(variable)` gives a copy of its value."""

    def end(self, extras: dict[str, Any], read: Callable[[Any], Any] | None = None) -> None:
        """Right after a step; its values may still be on their way."""


class Training(Protocol):
    """One backend's trainer."""

    exhausted: tuple[type[BaseException], ...]

    def record(self, model: Any, phase: str, step: StepLike, feed: Feed) -> Recorded:
        """The function of a phase that records; what is on the model stays as it is."""

    def once_built(self, model: Any, phase: str, make: Callable[[], Recorded]) -> Recorded:
        """The function that `make` gives, made at its first call if the model is built only then."""

    def worker(self) -> Worker:
        """Which of the processes that train together this is."""

    def snapshot(self, variable: Any) -> Any:
        """A copy of a variable's value that later steps leave alone."""


def training() -> Training:
    """The trainer of the backend that Keras runs on."""
    found: Training = importlib.import_module(f"truetap.backends.{current().name}_training").TRAINING
    return found
