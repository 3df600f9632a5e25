"""When a tap records: by step, by epoch, at named steps, in which phases.

Steps are counted over the whole run, for each phase by itself, from 0; so are epochs. A step that
the schedule leaves out costs nothing but a comparison.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from truetap.errors import TapError, near_names

__all__ = ["PHASES", "Schedule"]

PHASES = ("train", "val", "test", "predict")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The steps at which something is recorded.

    A step is recorded if it is one of `steps`, or if it lies in `range(start, stop, every)`. With
    `steps` alone, only those are. All of it within `epochs` and `phases`.

    Args:
        every: An interval in steps, counted from `start`; or "epoch": once an epoch, at its first batch
            (with `samples=`, its first batches until so many samples are recorded; weights and optimizer
            state at its end).
        steps: Single steps, as numbers over the run.
        start: The first step.
        stop: The step before which recording ends, or None.
        epochs: The epochs in which anything is recorded, or None for all.
        phases: Of "train", "val" (validation inside `fit`), "test" (`evaluate`), "predict".

    Raises:
        TapError: A value that can't be one of these.

    Example:
        >>> three = Schedule(every=3)
        >>> [step for step in range(10) if three.due(phase="train", epoch=0, step=step, batch=step)]
        [0, 3, 6, 9]
    """

    every: int | str | None = None
    steps: Collection[int] | None = None
    start: int = 0
    stop: int | None = None
    epochs: Collection[int] | None = None
    phases: Collection[str] = ("train",)

    def __post_init__(self) -> None:
        every = self.every
        whole = isinstance(every, int) and not isinstance(every, bool) and every >= 1
        if every is not None and every != "epoch" and not whole:
            raise TapError(f"every= is a number of steps from 1, or 'epoch'. Received: every={every!r}.")
        if isinstance(self.phases, str):
            object.__setattr__(self, "phases", (self.phases,))
        for phase in self.phases:
            if phase not in PHASES:
                raise TapError(f"There is no phase {phase!r}. {near_names(str(phase), PHASES)}")
        if not self.phases:
            raise TapError(f"phases= is empty: nothing would be recorded. Expected: some of {PHASES}.")
        if self.start < 0 or (self.stop is not None and self.stop <= self.start):
            raise TapError(
                f"No step lies between start and stop. Received: start={self.start}, stop={self.stop}. Expected: "
                "0 <= start < stop; steps count over the run from 0."
            )

    @property
    def per_epoch(self) -> bool:
        """Whether it is once an epoch."""
        return self.every == "epoch"

    @property
    def always(self) -> bool:
        """Whether every step of its phases is recorded."""
        unbounded = self.steps is None and self.stop is None and self.start == 0 and self.epochs is None
        return unbounded and self.every in (None, 1)

    def due(self, *, phase: str, epoch: int, step: int, batch: int) -> bool:
        """Whether a step is recorded.

        Args:
            phase: The phase.
            epoch: The epoch over the run.
            step: The step over the run, within its phase.
            batch: The batch within its epoch.
        """
        if phase not in self.phases or (self.epochs is not None and epoch not in self.epochs):
            return False
        if self.steps is not None:
            if step in self.steps:
                return True
            if self.every is None:
                return False
        if step < self.start or (self.stop is not None and step >= self.stop):
            return False
        if self.every == "epoch":
            return batch == 0
        return (step - self.start) % int(self.every or 1) == 0
