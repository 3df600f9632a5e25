"""Work that takes longer than a click: done by one thread behind the page, kept until the run has changed.

What was worked out before a change is handed out, marked as old, until the new answer is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Literal

import duckdb
import pyarrow as pa

from truetap.errors import TruetapError
from truetap.server.refusal import Refusal, refusal_of

__all__ = ["Answer", "Board"]

_LOG = logging.getLogger(__name__)
_MOST_KEPT = 256
_LOOK_AGAIN = 0.05  # seconds


@dataclass(frozen=True)
class Answer:
    """How far a piece of work is.

    Attributes:
        state: "ready", "working" or "failed".
        value: What came out, when it is ready.
        why: Why it failed.
        fresh: Whether it is of the run as it stands now.
        seconds: How long it took.
    """

    state: Literal["ready", "working", "failed"]
    value: Any = None
    why: Refusal | None = None
    fresh: bool = True
    seconds: float = 0.0


@dataclass(frozen=True)
class _Order:
    key: Hashable
    stamp: Hashable
    work: Callable[[], Any]


class Board:
    """Orders that are worked off by one thread, in the order in which they came.

    Args:
        name: The thread's.
        after: A board whose orders come first.
    """

    def __init__(self, name: str, after: Board | None = None) -> None:
        self._after = after
        self._changed = threading.Condition()
        self._waiting: deque[_Order] = deque()
        self._doing: _Order | None = None
        self._known: OrderedDict[Hashable, tuple[Hashable, Answer]] = OrderedDict()
        self._closed = False
        # a daemon: Ctrl-C doesn't wait until a diagnosis is done
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def ask(self, key: Hashable, stamp: Hashable, work: Callable[[], Any], *, patience: float = 0.0) -> Answer:
        """What came out of some work; orders it if it wasn't done for this stamp.

        Args:
            key: What is to be worked out.
            stamp: For which state of the run.
            work: Does it; what it returns must not be changed afterwards.
            patience: Seconds to wait for it.
        """
        deadline = time.monotonic() + patience
        with self._changed:
            while True:
                known = self._known.get(key)
                if known is not None and known[0] == stamp:
                    self._known.move_to_end(key)
                    return known[1]
                if not self._ordered(key) and not self._closed:
                    self._waiting.append(_Order(key, stamp, work))
                    self._changed.notify_all()
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    break
                self._changed.wait(left)
        return Answer("working") if known is None else replace(known[1], fresh=False)

    def done(self) -> bool:
        """Whether nothing waits and nothing is being done."""
        with self._changed:
            return self._doing is None and not self._waiting

    def close(self, patience: float = 0.0) -> bool:
        """Takes no more orders; what is being done is left to itself.

        Args:
            patience: Seconds to wait for its end.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(patience)
        return not self._thread.is_alive()

    @property
    def closed(self) -> bool:
        """Whether whoever works may stop."""
        return self._closed

    def _others_first(self) -> bool:
        return self._after is not None and not self._after.done()

    def _ordered(self, key: Hashable) -> bool:
        return any(order.key == key for order in (*self._waiting, *([self._doing] if self._doing else [])))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._waiting or self._others_first()):
                    self._changed.wait(_LOOK_AGAIN if self._waiting else None)
                if self._closed:
                    return
                order = self._doing = self._waiting.popleft()
            answer = _answered(order.work)
            pa.default_memory_pool().release_unused()
            with self._changed:
                self._known[order.key] = (order.stamp, answer)
                self._known.move_to_end(order.key)
                while len(self._known) > _MOST_KEPT:
                    self._known.popitem(last=False)
                self._doing = None
                self._changed.notify_all()


def _answered(work: Callable[[], Any]) -> Answer:
    began = time.monotonic()
    try:
        return Answer("ready", work(), seconds=time.monotonic() - began)
    except TruetapError as error:
        return Answer("failed", why=refusal_of(error))
    except Refusal as refusal:
        return Answer("failed", why=refusal)
    except (duckdb.Error, MemoryError) as error:
        _LOG.exception("work behind the page failed")
        why = Refusal(422, f"{type(error).__name__}: {error}", "enough memory", "Look at a smaller part of the run.")
        return Answer("failed", why=why)
    except Exception:  # the thread must live on; the terminal gets the traceback, the page a sentence
        _LOG.exception("work behind the page failed")
        why = Refusal(500, "an error in truetap", "an answer", "Look at the server's terminal, and report it.")
        return Answer("failed", why=why)
