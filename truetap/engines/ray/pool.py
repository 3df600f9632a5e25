"""Actors, and the units that they are given: an actor that dies is replaced, its units go to others.

An actor has two units at a time, so that the next one's rows arrive while it computes; one that
takes the place of another gets units only when it has read the model. Where a machine was lost none
takes the place for which there is no room any more, at the cost of those that read. Retrying is safe
whatever the dead one had done: a unit that was published is not published again.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

from truetap.engines.ray.actor import check_same
from truetap.engines.ray.cluster import free
from truetap.engines.ray.options import Ray
from truetap.engines.ray.reading import Given
from truetap.engines.work import Outcome
from truetap.errors import TruetapError

__all__ = ["Pool", "cause_of"]

_AT_ONCE = 2
_DEATHS = (RayActorError, NodeDiedError, OutOfMemoryError)  # the last is Ray's own killing when memory gets short


@dataclass(frozen=True)
class _Running:
    given: Given
    actor: int
    order: int


class Pool:
    """So many actors, from their start to their end.

    Args:
        make: Makes an actor, given the digest of the model that it has to hold, or None.
        num_actors: How many there are.
        most: How many there is room for at the moment.
        options: How long to wait for them, and how often a unit may lose its actor.

    Attributes:
        lost: How many actors were lost.
        stamp: Digest of the model that the actors hold, once they are ready.
    """

    def __init__(
        self, make: Callable[[str | None], Any], num_actors: int, most: Callable[[], float], options: Ray
    ) -> None:
        self._make = make
        self._most = most
        self._options = options
        self._losses: Counter[int] = Counter()
        self._running: dict[Any, _Running] = {}
        self._starting: dict[Any, int] = {}  # actors in the place of dead ones, until they have read the model
        self._again: deque[Given] = deque()
        self._given = 0
        self._died_starting = 0
        self.stamp: str | None = None
        self.lost = 0
        self._actors = dict(enumerate(make(None) for _ in range(num_actors)))

    def wait_until_ready(self) -> str:
        """Waits for all actors to have read the model.

        Returns:
            The model's digest.

        Raises:
            ModelError: It can't be read, or is another in each actor.
            TruetapError: They did not start in time, or one died.
        """
        waited = [actor.ready.remote() for actor in self._actors.values()]
        try:
            stamps = ray.get(waited, timeout=self._options.start_seconds)
        except GetTimeoutError as error:
            started, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
            raise self._not_started(f"{len(started)} of {len(waited)} actors") from error
        except RayTaskError as error:
            raise cause_of(error) from error
        except _DEATHS as error:
            raise self._died_reading(error) from error
        for stamp in stamps:
            check_same(stamp, stamps[0])
        self.stamp = stamps[0]
        return self.stamp

    def run(self, units: Iterator[Given]) -> Generator[Outcome, None, None]:
        """Has the units collected, in any order.

        Raises:
            TruetapError: What went wrong in an actor, a unit lost too many of them, or none is left.
        """
        ended = False
        while True:
            while not ended or self._again:
                actor = self._free()
                if actor is None:
                    break
                given = self._again.popleft() if self._again else next(units, None)
                if given is None:
                    ended = True
                else:
                    self._give(given, actor)
            if ended and not self._running and not self._again:
                return
            # With something running it comes to an end; with nothing, an actor has to start.
            seconds = None if self._running else self._options.start_seconds
            finished, _ = ray.wait([*self._running, *self._starting], num_returns=1, timeout=seconds)
            if not finished:
                raise self._not_started(f"0 of {len(self._starting)} actors in the place of lost ones")
            outcome = self._outcome(finished[0])
            if outcome is not None:
                yield outcome

    def close(self) -> None:
        """Ends the actors, and drops what they were at."""
        left = [*self._running, *self._starting]
        for reference in ray.wait(left, num_returns=len(left), timeout=0)[0] if left else ():
            with contextlib.suppress(RayError):  # else Ray prints what one error has told already
                ray.get(reference)
        self._running.clear()
        self._starting.clear()
        for actor in self._actors.values():
            ray.kill(actor)

    def _free(self) -> int | None:
        """The actor with the least to do, if any can take a unit."""
        busy = Counter(running.actor for running in self._running.values())
        starting = set(self._starting.values())
        ready = [index for index in self._actors if index not in starting and busy[index] < _AT_ONCE]
        return min(ready, key=lambda index: busy[index], default=None)

    def _give(self, given: Given, actor: int) -> None:
        reference = self._actors[actor].collect.remote(replace(given, data=None), given.data)
        self._running[reference] = _Running(given, actor, self._given)
        self._given += 1

    def _outcome(self, reference: Any) -> Outcome | None:
        """What a call gave; None when its actor started or was lost, or had nothing to do."""
        try:
            found = ray.get(reference)
        except RayTaskError as error:
            raise cause_of(error) from error
        except _DEATHS as error:
            if reference in self._starting:
                self._lost_starting(reference, error)
            else:
                self._lost_running(self._running.pop(reference), error)
            return None
        if self._starting.pop(reference, None) is not None:
            return None
        del self._running[reference]
        outcome: Outcome | None = found
        return outcome

    def _lost_running(self, found: _Running, error: Exception) -> None:
        """What a dead actor had goes to whoever is free."""
        others = [reference for reference, running in self._running.items() if running.actor == found.actor]
        lost = sorted([found, *map(self._running.pop, others)], key=lambda running: running.order)
        number = lost[0].given.task.number  # an actor takes them one after the other: this one it was at
        self._losses[number] += 1
        if self._losses[number] >= self._options.max_losses:
            raise TruetapError(
                f"Unit {number} of the data lost its actor {self._losses[number]} times: {_first(error)} The units "
                "that were done are in the run, and the same call goes on from there. Expected: memory for the model "
                "and a unit in each actor; fewer actors, a smaller unit_rows or batch_size."
            ) from error
        self._again.extend(running.given for running in lost)
        self._replace(found.actor)

    def _lost_starting(self, reference: Any, error: Exception) -> None:
        """An actor that died before it had anything to do."""
        actor = self._starting.pop(reference)
        self._died_starting += 1
        if self._died_starting >= self._options.max_losses * len(self._actors):
            raise self._died_reading(error) from error
        self._replace(actor)

    def _replace(self, index: int) -> None:
        self.lost += 1
        ray.kill(self._actors.pop(index))  # should it be unreachable rather than dead
        if len(self._actors) + 1 > self._most():
            if not self._actors:
                raise TruetapError(
                    f"All actors were lost, and what is left of the cluster has no room for another: {free()} are "
                    "free. The units that were done are in the run, and the same call goes on from there."
                )
            return
        self._actors[index] = self._make(self.stamp)
        self._starting[self._actors[index].ready.remote()] = index

    def _not_started(self, what: str) -> TruetapError:
        return TruetapError(
            f"Only {what} started in {self._options.start_seconds:g} s. Other work on the cluster may hold its "
            f"resources, or a machine has left it: {free()} are free. Expected: fewer actors, a smaller num_cpus, or a "
            "longer start_seconds."
        )

    def _died_reading(self, error: Exception) -> TruetapError:
        return TruetapError(
            f"An actor died while it read the model: {_first(error)} Expected: memory for one model in each of "
            f"{len(self._actors)} processes; fewer actors."
        )


def cause_of(error: BaseException) -> BaseException:
    """What was raised over there, out of what Ray wrapped it in."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, TruetapError):
            return found
        found = getattr(found, "cause", None) or found.__cause__
    return error


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".") + "."
