"""The host's side of a phase: counts steps, says what is due, hands what came out to the writer.

Runs in the training thread between two steps, so it only counts, compares and puts: values are
fetched and made rows of in the writer's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from truetap.capture.host import Kept
from truetap.capture.plan import Chosen, Plan
from truetap.capture.step import RecordedStep

__all__ = ["Clock", "Feed", "at_epoch_end"]


@dataclass
class Clock:
    """Where a run is.

    Attributes:
        epoch: The epoch of training over the run, also that of its validation.
        passes: Passes of "test" and "predict" begun so far: those count by themselves.
        steps: Steps so far, by phase.
        batch: Batches so far of the epoch, or of the pass, by phase.
    """

    epoch: int = 0
    passes: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    batch: dict[str, int] = field(default_factory=dict)

    def at(self, phase: str, ahead: int = 0) -> dict[str, Any]:
        """The step that comes `ahead` steps after the next, as arguments for a schedule."""
        step, batch = self.steps.get(phase, 0), self.batch.get(phase, 0)
        epoch = self.passes[phase] - 1 if phase in self.passes else self.epoch
        return {"phase": phase, "epoch": epoch, "step": step + ahead, "batch": batch + ahead}

    def next(self, phase: str) -> None:
        """Counts a step."""
        self.steps[phase] = self.steps.get(phase, 0) + 1
        self.batch[phase] = self.batch.get(phase, 0) + 1

    def begin(self, phase: str) -> None:
        """Begins an epoch of "train" or "val", or the next pass of "test" or "predict"."""
        self.batch[phase] = 0
        if phase in ("test", "predict"):
            self.passes[phase] = self.passes.get(phase, 0) + 1


class Feed:
    """See `truetap.backends.training.Feed`.

    Args:
        plan: The taps of the phase.
        step: The step, for what it learned while it was traced.
        clock: Shared by the phases of a run.
        put: Takes what came out of a step for the writer's thread, with its size in bytes.
    """

    def __init__(
        self, plan: Plan, step: RecordedStep, clock: Clock, put: Callable[[tuple[Kept, RecordedStep], int], None]
    ) -> None:
        self._plan = plan
        self._step = step
        self._clock = clock
        self._put = put
        self._in_step = plan.in_step
        self._around = plan.around
        self._of_samples = [each for each in plan.taps if not each.reducers and each.tap.kind in _PER_SAMPLE]
        self._places = {each.place for each in plan.taps}
        self._every_step = all(each.tap.always and each.tap.samples is None for each in plan.taps)
        self._left: dict[int, int | None] = {}
        self._before: dict[int, dict[str, Any]] = {}
        self._bytes_per_row: dict[frozenset[str], float] = {}
        self._seconds = 0.0
        self._steps = 0
        self._begun = 0  # of those that `begin_ahead` began, how many have not ended
        self.restart()

    @property
    def conditions(self) -> int:
        return len(self._in_step)

    def restart(self) -> None:
        """Begins an epoch or a pass: caps on samples count anew."""
        self._left = {each.place: each.tap.samples for each in self._of_samples}

    def spent(self) -> tuple[int, float]:
        """Steps, and the training thread's seconds spent on them here, since this was asked last."""
        steps, seconds = self._steps, self._seconds
        self._steps, self._seconds = 0, 0.0
        return steps, seconds

    def begin(self, ahead: int = 0) -> list[bool]:
        if self._every_step or not self._in_step:
            return [True] * len(self._in_step)
        at = self._clock.at(self._plan.phase, ahead)
        return [self._due(each, at) for each in self._in_step]

    def begin_ahead(self, epoch: int | None) -> list[bool]:
        """What may be due in the next step of a compiled function, which may begin before the last one has ended.

        Args:
            epoch: Its epoch over the run, if that is told; the first steps of another one count as its first.
        """
        at = self._clock.at(self._plan.phase, self._begun)
        self._begun += 1
        if epoch is not None and epoch != at["epoch"]:
            at |= {"epoch": epoch, "batch": 0}
        return [self._due(each, at) for each in self._in_step]

    def before(self, read: Callable[[Any], Any]) -> None:
        if not self._around:
            return
        at = self._clock.at(self._plan.phase)
        for each in self._around:
            if each.tap.kind == "updates" and each.tap.due(**at):
                self._before[each.place] = {path: read(variable) for path, variable in each.members.items()}

    def end(self, extras: dict[str, Any], read: Callable[[Any], Any] | None = None) -> None:
        began = time.perf_counter()
        phase = self._plan.phase
        at = self._clock.at(phase)
        if self._every_step:  # the usual case, and the one whose steps are shortest
            due, values = self._places, extras
        else:
            due = {each.place for each in self._plan.taps if self._due(each, at)}
            values = {name: value for name, value in extras.items() if _wanted(name, due)}
        size, limits = self._sizes(values, due)
        kept = Kept(
            phase=phase,
            epoch=at["epoch"],
            step=at["step"],
            batch=at["batch"],
            size=size,
            values=values,
            due=due,
            limits=limits,
        )
        if read is not None and self._around:
            self._read_variables(kept, due, read)
        self._clock.next(phase)
        self._steps += 1
        self._begun = max(self._begun - 1, 0)
        self._put((kept, self._step), self._bytes(values, size))
        self._seconds += time.perf_counter() - began

    def at_epoch_end(self, read: Callable[[Any], Any]) -> None:
        """Takes the variables that are wanted once an epoch, after its last step."""
        at = self._clock.at(self._plan.phase)
        last = {**at, "step": at["step"] - 1, "batch": at["batch"] - 1}
        chosen = [each for each in self._around if at_epoch_end(each)]
        chosen = [each for each in chosen if each.tap.epochs is None or at["epoch"] in each.tap.epochs]
        if not chosen or at["batch"] == 0:
            return
        kept = Kept(size=0, values={}, due=set(), limits={}, scalars=False, **last)
        for each in chosen:
            kept.variables[each.place] = {path: read(variable) for path, variable in each.members.items()}
        self._put((kept, self._step), sum(map(_nbytes, _all(kept.variables))))

    def _read_variables(self, kept: Kept, due: set[int], read: Callable[[Any], Any]) -> None:
        for each in self._around:
            if each.place in due and not at_epoch_end(each):
                kept.variables[each.place] = {path: read(variable) for path, variable in each.members.items()}
        kept.before, self._before = self._before, {}

    def _due(self, each: Chosen, at: Mapping[str, Any]) -> bool:
        tap = each.tap
        if tap.always and tap.samples is None:
            return True
        if each.place in self._left and tap.samples is not None:
            if tap.per_epoch:  # its first batches, until so many samples are recorded
                return bool(self._left[each.place]) and tap.due(**{**at, "batch": 0})
            return bool(self._left[each.place]) and tap.due(**at)
        return bool(tap.due(**at))

    def _sizes(self, values: Mapping[str, Any], due: set[int]) -> tuple[int, dict[int, int]]:
        """The batch's size, and how many of its samples each tap with a cap still takes."""
        size = -1
        for name, value in values.items():
            if name.startswith(_WITH_ROWS):
                size = int(value.shape[0])
                break
        limits = {}
        for each in self._of_samples:
            left = self._left.get(each.place)
            if left is not None and each.place in due:
                limits[each.place] = min(left, max(size, 0))
                self._left[each.place] = left - limits[each.place]
        return size, limits

    def _bytes(self, values: Mapping[str, Any], size: int) -> int:
        names = frozenset(values)
        known = self._bytes_per_row.get(names)
        if known is None:  # sizes of the parts once: asking each tensor costs more than the rest
            total = sum(map(_nbytes, values.values()))
            known = self._bytes_per_row[names] = total / max(size, 1)
        return int(known * max(size, 1))


_WITH_ROWS = ("fingerprint", "columns:", "print:", "x:", "y_pred", "loss")
_PER_SAMPLE = {"samples", "inputs", "activations", "activation_gradients", "tapped"}


def at_epoch_end(each: Chosen) -> bool:
    """Whether a tap of variables is read after an epoch's last step; an update is of one step, the first."""
    return bool(each.tap.per_epoch) and each.tap.kind != "updates"


def _wanted(name: str, due: set[int]) -> bool:
    kind, colon, rest = name.partition(":")
    if not colon or kind in ("x", "print", "columns", "scalars"):
        return True
    return int(rest.rpartition(":")[2] if kind == "states" else rest.partition(":")[0]) in due


def _nbytes(value: Any) -> int:
    size = 1
    for extent in value.shape:
        size *= int(extent)
    return size * int(getattr(value.dtype, "itemsize", 0) or getattr(value.dtype, "size", 4) or 8)


def _all(variables: Mapping[int, Mapping[str, Any]]) -> list[Any]:
    return [value for found in variables.values() for value in found.values()]
