"""Work handed from the training thread to the writer, bounded in bytes.

`put` costs about two microseconds: it adds to a list. The writer is woken when work comes after a
pause, then lets more of it come for some milliseconds, for each time it wakes it takes the
interpreter from the training thread; a megabyte that waits, or someone who waits for room, is
reason enough to begin at once.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Literal, NamedTuple

from truetap.store.rows import Together

_AT_ONCE = 1 << 20  # bytes that are not left waiting for more


class Item(NamedTuple):
    """Work that was put: what, how big about, when, and what does it with others of its kind."""

    work: Any
    nbytes: int
    since: float
    together: Together | None = None


class WorkQueue:
    """A queue between one or more threads that put and one that takes.

    Args:
        limit: Bytes that may wait or be worked on; more is taken only when there is nothing else.
        when_full: "block": `put` waits for room. "drop": it refuses.
        linger: Seconds that work is left waiting for more.
    """

    def __init__(self, limit: int, when_full: Literal["block", "drop"], linger: float) -> None:
        self._limit = limit
        self._drop = when_full == "drop"
        self._linger = linger
        self._changed = threading.Condition()
        self._items: list[Item] = []
        self._nbytes = 0  # waiting, or being worked on
        self._waiting_for_room = 0
        self._num_taken = 0
        self._num_committed = 0
        self._wanted = 0  # how many items someone waits to see committed
        self._ended = False
        self.dropped = 0
        self.peak_bytes = 0
        self.seconds_waiting = 0.0

    def put(self, work: Any, nbytes: int, together: Together | None = None) -> bool:
        """Add work; False when it was dropped, or nothing is taken any more."""
        with self._changed:
            if self._nbytes and self._nbytes + nbytes > self._limit:
                self._make_room(nbytes)
            if self._ended or (self._drop and self._nbytes and self._nbytes + nbytes > self._limit):
                self.dropped += 1
                return False
            # Counted first: should Ctrl-C strike between two of these lines, too much is counted
            # rather than too little, and of an empty queue the count begins anew.
            self._nbytes += nbytes
            self._items.append(Item(work, nbytes, time.monotonic(), together))
            self.peak_bytes = max(self.peak_bytes, self._nbytes)
            if len(self._items) == 1 or self._nbytes >= _AT_ONCE:
                self._changed.notify_all()
        return True

    def take(self, deadline: float | None) -> list[Item]:
        """All that waits; nothing when something else is due first.

        Args:
            deadline: When the writer has to do something else at the latest, if it has to.
        """
        with self._changed:
            while True:
                now = time.monotonic()
                if self._is_urgent() or (deadline is not None and deadline <= now):
                    break
                due = deadline
                if self._items:
                    ready = self._items[0].since + self._linger
                    if ready <= now:
                        break
                    due = ready if due is None else min(ready, due)
                self._changed.wait(None if due is None else due - now)
            taken, self._items = self._items, []
            self._num_taken += len(taken)
            if not taken:  # whatever Ctrl-C did to the count
                self._nbytes = 0
            return taken

    def done(self, nbytes: int) -> None:
        """Give back the room of an item that was taken."""
        with self._changed:
            self._nbytes = max(0, self._nbytes - nbytes)
            if self._waiting_for_room:
                self._changed.notify_all()

    def committed(self) -> None:
        """Say that all that was taken is on disk."""
        with self._changed:
            self._num_committed = self._num_taken
            self._changed.notify_all()

    def wait_until_committed(self) -> None:
        """Wait until all that was put by now is committed, or the queue has ended."""
        with self._changed:
            target = self._num_taken + len(self._items)
            self._wanted = max(self._wanted, target)
            self._changed.notify_all()
            while self._num_committed < target and not self._ended:
                self._changed.wait()

    @property
    def flush_wanted(self) -> bool:
        """Whether someone waits for a commit."""
        return self._wanted > self._num_committed

    def end(self) -> None:
        """Take nothing more, and let everyone go who waits."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether nothing is taken any more."""
        return self._ended

    def _is_urgent(self) -> bool:
        if self._ended or self.flush_wanted:
            return True
        return bool(self._items) and (self._nbytes >= _AT_ONCE or bool(self._waiting_for_room))

    def _make_room(self, nbytes: int) -> None:
        if self._drop:
            return
        began = time.monotonic()
        self._waiting_for_room += 1
        self._changed.notify_all()
        try:
            while self._nbytes and self._nbytes + nbytes > self._limit and not self._ended:
                self._changed.wait()
        finally:
            self._waiting_for_room -= 1
            self.seconds_waiting += time.monotonic() - began
