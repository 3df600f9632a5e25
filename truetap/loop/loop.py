"""`Loop`: what a recorder keeps of a loop that the user wrote, from its first step to its end.

A compiled step is traced once and runs for as long as the user keeps it: whatever it delivers is taken, in a
session of its own if the one in which it was traced has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from truetap.backends.loops import Variables, loops
from truetap.capture.book import Book, Tapped
from truetap.capture.replicas import Shards
from truetap.capture.session import Session
from truetap.errors import TapError
from truetap.loop.replicas import Replicas
from truetap.loop.step import EPOCH, LoopStep

__all__ = ["PHASES_OF_LOOPS", "Loop"]

PHASES_OF_LOOPS = ("train", "val", "test")


@dataclass(eq=False)
class _Phase:
    """A phase of a model, and the values of variables after its last step, where a step gave them."""

    model: Any
    phase: str
    tapped: Tapped
    latest: Variables = field(default_factory=dict)
    replicas: Replicas = field(default_factory=Replicas)

    def read(self, variable: Any) -> Any:
        """The value of a variable after the last step."""
        return self.latest[id(variable)] if id(variable) in self.latest else loops().read(variable)


class Loop:
    """The loops of one recorder, one at a time.

    Args:
        book: The recorder's.
        open_session: Opens one for a model.
        close_session: Ends it, and the recording with it.
    """

    def __init__(
        self, book: Book, open_session: Callable[[Any], Session], close_session: Callable[[Session], None]
    ) -> None:
        self._book = book
        self._open_session = open_session
        self._close_session = close_session
        self._session: Session | None = None
        self._phases: dict[str, _Phase] = {}
        self._before = -1  # the run's last epoch when the session began
        self._offset: int | None = None  # what the run's number of an epoch is more than the loop's
        self._last = 0  # the loop's own number of the epoch

    def step(self, model: Any, phase: str, epoch: Any, optimizer: Any) -> LoopStep:
        """The next step, to be entered."""
        self._begin(model)
        tapped = self._book.ready(model, phase, loop=True)
        known = self._phases.get(phase)
        if known is None or known.tapped is not tapped:
            known = self._phases[phase] = _Phase(model, phase, tapped)
            tapped.read = known.read
        of = known

        def arrived(
            replica: int, replicas: int, values: Mapping[str, Any], before: Variables, after: Variables
        ) -> None:
            whole = values if replicas == 1 else of.replicas.add(replica, replicas, values)
            if whole is not None:
                self._arrived(of, dict(whole), before, after)

        def due(epoch: Any) -> list[bool]:
            return tapped.feed.begin_ahead(None if epoch is None else self._number(int(epoch)))

        return LoopStep(tapped.step, tapped.feed, optimizer, epoch, self.turn, due, arrived)

    def turn(self, epoch: int) -> None:
        """What comes from now on is of this epoch, as the loop counts them."""
        number = self._number(epoch)
        self._offset, self._last = number - epoch, epoch
        if number == self._book.clock.epoch:
            return
        if any(self._book.clock.batch.get(phase) for phase in PHASES_OF_LOOPS):
            self._book.begin_epoch(number, PHASES_OF_LOOPS)
        else:
            self._book.clock.epoch = self._book.last_epoch = number

    def end(self, *, complete: bool = True) -> None:
        """Ends the loop, if one goes on, when all of its steps have arrived."""
        session = self._session
        if session is None:
            return
        loops().settle()
        self._session = None
        if not session.open:
            return
        for phase in PHASES_OF_LOOPS:
            self._book.end_pass(phase)
        if complete:
            self._close_session(session)
        else:
            session.abort()

    def _begin(self, model: Any) -> None:
        session = self._session
        if session is not None and session.open:
            if session.model is model:
                return
            raise TapError(
                f"This recorder records a loop of the model {session.model.name!r}. Received: a step of another, "
                f"{model.name!r}. Expected: a Recorder for each model; or recorder.finish() between two loops."
            )
        self._before = self._book.last_epoch
        self._session = self._open_session(model)
        self._offset = None
        self._book.clock.epoch = self._book.last_epoch = self._before + 1
        for phase in PHASES_OF_LOOPS:
            self._book.restart(phase)

    def _number(self, epoch: int) -> int:
        """The run's number of an epoch of the loop; one that begins to count anew goes on."""
        if self._offset is None:
            return epoch if epoch > self._before else self._before + 1
        if epoch < self._last:
            return self._book.clock.epoch + 1
        return epoch + self._offset

    def _arrived(self, of: _Phase, values: dict[str, Any], before: Variables, after: Variables) -> None:
        self._begin(of.model)
        self._book.tapped[of.phase] = of.tapped
        epoch = values.pop(EPOCH, None)
        if epoch is not None:
            self.turn(int(np.max(epoch.parts if isinstance(epoch, Shards) else epoch)))
        feed = of.tapped.feed
        if before:
            feed.before(lambda variable: before[id(variable)])
        of.latest = {key: np.asarray(value) for key, value in after.items()}
        feed.end(values, of.read)
