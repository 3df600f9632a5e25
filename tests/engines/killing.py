"""A Ray on this machine, and what kills or fails a process of it at a row that is known beforehand."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

Array = npt.NDArray[Any]

# Ray 2.60 sets options of its own that it has deprecated.
quiet = [
    pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning"),
    # Ray forks to start its processes, which run another program at once
    pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning"),
]


@contextmanager
def started(ray: Any) -> Iterator[None]:
    """Within, a Ray of two CPUs; starting it takes seconds, so once for a module."""
    ray.init("local", num_cpus=2, object_store_memory=300 << 20, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def first_here(marker: Path) -> bool:
    """Whether nobody else came here before."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def die() -> None:
    """Ends this process as the system does when memory is short."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class KilledOnce:
    """Ids from the first column of x; the first process that meets a certain one dies of it."""

    marker: Path
    row: int

    def __call__(self, element: Any) -> Array:
        ids = numbers_in(element)
        if self.row in ids and first_here(self.marker):
            die()
        return ids


@dataclass(frozen=True)
class FailsWhile:
    """Ids from the first column of x; a certain one is an error while a file exists."""

    marker: Path
    row: int

    def __call__(self, element: Any) -> Array:
        ids = numbers_in(element)
        if self.row in ids and self.marker.exists():
            raise ValueError(f"a failure at row {self.row}")
        return ids


def numbers_in(element: Any) -> Array:
    """Row numbers, where the first column of x holds them."""
    x = element["x"] if isinstance(element, dict) else element[0]
    return np.asarray(x)[:, 0].astype(np.int64)
