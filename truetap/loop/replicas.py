"""Parts of one step of a loop that come from several replicas of a strategy, each in its own order and thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

from truetap.capture.replicas import Shards

__all__ = ["Replicas"]


class Replicas:
    """Steps as the replicas hand them over."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[Mapping[str, Any]]] = {}

    def add(self, replica: int, replicas: int, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The whole step, as `truetap.capture.replicas` has it, if this was its last part; else None."""
        with self._lock:
            self._waiting.setdefault(replica, deque()).append(values)
            if len(self._waiting) < replicas or not all(self._waiting.values()):
                return None
            parts = [self._waiting[number].popleft() for number in range(replicas)]
        return {name: Shards(tuple(part[name] for part in parts)) for name in parts[0]}
