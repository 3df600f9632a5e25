"""Actors, and the units that they are given: an actor that dies is replaced, its units go to others.

An actor has two units at a time, so that the next one's rows arrive while it computes. Retrying is
safe whatever the dead one had done: a unit that was published is not published again.
"""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from truetap.engines.ray.actor import check_same
from truetap.engines.ray.reading import Given
from truetap.engines.work import Outcome
from truetap.errors import TruetapError

__all__ = ["Pool", "cause_of"]

_AT_ONCE = 2


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
        max_losses: How often a unit may lose its actor.

    Attributes:
        lost: How many actors were lost.
        stamp: Digest of the model that the actors hold, once they are ready.
    """

    def __init__(self, make: Callable[[str | None], Any], num_actors: int, max_losses: int) -> None:
        self._make = make
        self._max_losses = max_losses
        self._losses: Counter[int] = Counter()
        self._running: dict[Any, _Running] = {}
        self._again: deque[Given] = deque()
        self._given = 0
        self.stamp: str | None = None
        self.lost = 0
        self._actors = [make(None) for _ in range(num_actors)]

    def wait_until_ready(self, seconds: float) -> str:
        """Waits for all actors to have read the model.

        Returns:
            The model's digest.

        Raises:
            ModelError: It can't be read, or is another in each actor.
            TruetapError: They did not start in time.
        """
        waited = [actor.ready.remote() for actor in self._actors]
        try:
            stamps = ray.get(waited, timeout=seconds)
        except GetTimeoutError as error:
            started, _ = ray.wait(waited, num_returns=len(waited), timeout=0)
            raise TruetapError(
                f"Only {len(started)} of {len(waited)} actors started in {seconds:g} s. Other work on the cluster may "
                f"hold its resources: {_shown(ray.available_resources())} of {_shown(ray.cluster_resources())} are "
                "free. Expected: fewer actors, or a longer start_seconds."
            ) from error
        except RayTaskError as error:
            raise cause_of(error) from error
        except RayActorError as error:
            raise TruetapError(
                f"An actor died while it read the model: {_first(error)} Expected: memory for one model in each of "
                f"{len(waited)} processes; fewer actors."
            ) from error
        for stamp in stamps:
            check_same(stamp, stamps[0])
        self.stamp = stamps[0]
        return self.stamp

    def run(self, units: Iterator[Given]) -> Generator[Outcome, None, None]:
        """Has the units collected, in any order.

        Raises:
            TruetapError: What went wrong in an actor, or a unit lost too many of them.
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
            if not self._running:
                return
            finished, _ = ray.wait(list(self._running), num_returns=1)
            for reference in finished:
                running = self._running.pop(reference, None)
                if running is None:
                    continue  # of an actor that was found dead meanwhile
                try:
                    outcome = ray.get(reference)
                except RayActorError as error:
                    self._replace(running, error)
                    continue
                except RayTaskError as error:
                    raise cause_of(error) from error
                if outcome is not None:
                    yield outcome

    def close(self) -> None:
        """Ends the actors, and drops what they were at."""
        left = list(self._running)
        for reference in ray.wait(left, num_returns=len(left), timeout=0)[0] if left else ():
            with contextlib.suppress(RayError):  # else Ray prints what one error has told already
                ray.get(reference)
        self._running.clear()
        for actor in self._actors:
            ray.kill(actor)

    def _free(self) -> int | None:
        busy = Counter(running.actor for running in self._running.values())
        actor = min(range(len(self._actors)), key=lambda index: busy[index])
        return actor if busy[actor] < _AT_ONCE else None

    def _give(self, given: Given, actor: int) -> None:
        reference = self._actors[actor].collect.remote(replace(given, data=None), given.data)
        self._running[reference] = _Running(given, actor, self._given)
        self._given += 1

    def _replace(self, found: _Running, error: RayActorError) -> None:
        """Another actor in the place of a dead one; what it had goes to whoever is free."""
        self.lost += 1
        others = [reference for reference, running in self._running.items() if running.actor == found.actor]
        lost = sorted([found, *map(self._running.pop, others)], key=lambda running: running.order)
        number = lost[0].given.task.number  # an actor takes them one after the other: this one it was at
        self._losses[number] += 1
        if self._losses[number] >= self._max_losses:
            raise TruetapError(
                f"Unit {number} of the data lost its actor {self._losses[number]} times: {_first(error)} The units "
                "that were done are in the run, and the same call goes on from there. Expected: memory for the model "
                "and a unit in each actor; fewer actors, a smaller unit_rows or batch_size."
            ) from error
        self._again.extend(running.given for running in lost)
        ray.kill(self._actors[found.actor])  # should it be unreachable rather than dead
        self._actors[found.actor] = self._make(self.stamp)


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


def _shown(resources: dict[str, float]) -> str:
    return ", ".join(f"{resources.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))
