"""Parts of one step that come from several replicas of a strategy, put together into one batch."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["Replicas"]


class Replicas:
    """Steps as the replicas hand them over, each in its own order and thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, deque[Mapping[str, Any]]] = {}

    def add(self, replica: int, replicas: int, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The whole step if this was its last part, else None.

        Rows are put one behind the other in the order of the replicas; scalars are averaged over the samples.
        """
        with self._lock:
            self._waiting.setdefault(replica, deque()).append(values)
            if len(self._waiting) < replicas or not all(self._waiting.values()):
                return None
            parts = [self._waiting[number].popleft() for number in range(replicas)]
        sizes = [max(len(value) for value in part.values() if np.ndim(value)) for part in parts]
        whole: dict[str, Any] = {}
        for name in parts[0]:
            several = [part[name] for part in parts]
            if name.startswith("scalars:") or not np.ndim(several[0]):
                whole[name] = np.average(several, axis=0, weights=sizes).astype(np.asarray(several[0]).dtype)
            else:
                whole[name] = np.concatenate(several)
        return whole
