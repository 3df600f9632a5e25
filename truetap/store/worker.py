"""Which of several processes writes to a run, and which names in it are its own.

The workers of one training share a run's folder and nothing else: each has its manifest, its lock, its folder in
every table and names of its own for Parquet files, so none ever waits for another or writes what another does,
also on a shared file system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["ALONE", "Worker", "is_manifest", "is_of_a_worker", "rank_told"]

_MANIFEST = re.compile(r"manifest(?:-[0-9]{5})?\.json")
_LOCK = re.compile(r"\.writer(?:-[0-9]{5})?")


@dataclass(frozen=True)
class Worker:
    """One of the processes that write a run.

    Attributes:
        rank: Its number, from 0.
        size: How many there are.

    Example:
        >>> Worker(1, 2).manifest, Worker(1, 2).folder
        ('manifest-00001.json', 'worker-00001')
    """

    rank: int = 0
    size: int = 1

    @property
    def folder(self) -> str:
        """Its folder in a table's."""
        return f"worker-{self.rank:05d}"

    @property
    def manifest(self) -> str:
        """Its manifest; that of the first is the run's."""
        return f"manifest-{self.rank:05d}.json" if self.rank else "manifest.json"

    @property
    def lock(self) -> str:
        """The file that says it is writing."""
        return f".writer-{self.rank:05d}" if self.rank else ".writer"

    def all(self) -> list[Worker]:
        """This one and the others."""
        return [Worker(rank, self.size) for rank in range(self.size)]

    def __str__(self) -> str:
        return f"worker {self.rank} of {self.size}"


ALONE = Worker()


def is_manifest(name: str) -> bool:
    """Whether a file of this name is the manifest of a worker."""
    return bool(_MANIFEST.fullmatch(name))


def rank_told(manifest: str) -> int:
    """The rank of the worker whose manifest has this name."""
    return int(manifest.removeprefix("manifest").removesuffix(".json").removeprefix("-") or 0)


def is_of_a_worker(name: str) -> bool:
    """Whether this is what a worker puts into a run's folder before its first table: manifest, lock, a draft of one."""
    return is_manifest(name) or bool(_LOCK.fullmatch(name)) or name.startswith(".manifest")
