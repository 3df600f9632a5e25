"""How the benchmarks measure: ratios of two pieces of work, run in turns in one process.

Absolute times say little on a shared machine; two things run one after the other see the same
machine. So each repetition gives one ratio, and what is reported is their median with the smallest
and the largest. Beside the time on the clock stands the CPU time of all threads, which other
processes disturb less.
"""

from __future__ import annotations

import datetime
import gc
import importlib.metadata
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "PACKAGES",
    "Ratio",
    "Timed",
    "compare",
    "facts",
    "load",
    "peak_megabytes",
    "quartiles",
    "table",
    "timed",
    "write_section",
]

# of each backend, those whose versions a reader needs
PACKAGES = {"tensorflow": ("keras", "tensorflow-cpu"), "jax": ("keras", "jax"), "torch": ("keras", "torch")}


@dataclass(frozen=True)
class Timed:
    """One run: seconds on the clock, and CPU seconds of all threads of the process."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Ratio:
    """Runs of the work measured and of what it is held against, one of each per repetition."""

    ours: tuple[Timed, ...]
    plain: tuple[Timed, ...]

    @property
    def wall(self) -> list[float]:
        """Ours over plain on the clock, pair by pair."""
        return [a.wall / b.wall for a, b in zip(self.ours, self.plain, strict=True)]

    @property
    def median(self) -> float:
        """The median of the ratios on the clock."""
        return statistics.median(self.wall)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio on the clock."""
        return min(self.wall), max(self.wall)

    @property
    def cpu(self) -> float:
        """The median of the ratios of CPU time."""
        return statistics.median(a.cpu / b.cpu for a, b in zip(self.ours, self.plain, strict=True))

    @property
    def best(self) -> tuple[float, float]:
        """The shortest run of each on the clock, in seconds."""
        return min(run.wall for run in self.ours), min(run.wall for run in self.plain)

    def inverse(self) -> Ratio:
        """Plain over ours: how many times faster ours is."""
        return Ratio(self.plain, self.ours)


def compare(
    ours: Callable[[Any], object],
    plain: Callable[[Any], object],
    *,
    pairs: int,
    fresh: Callable[[], Any] = lambda: None,
    warm: bool = True,
) -> Ratio:
    """Times both in turns: ours, plain, ours, plain, and so on.

    Args:
        ours: The work to measure; called with what `fresh` returned.
        plain: What it is held against.
        pairs: Repetitions.
        fresh: Makes what a single call needs, outside the timed part.
        warm: Whether each runs once untimed before.
    """
    if warm:
        ours(fresh())
        plain(fresh())
    runs: tuple[list[Timed], list[Timed]] = ([], [])
    for _ in range(pairs):
        for work, times in zip((ours, plain), runs, strict=True):
            times.append(timed(work, fresh()))
    return Ratio(tuple(runs[0]), tuple(runs[1]))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Below the first lies a quarter of the values, the second is their median, above the third lies a quarter."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    first, second, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, second, third


def timed(work: Callable[[Any], object], needed: Any) -> Timed:
    """Times `work(needed)` once, garbage collected before."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    work(needed)
    return Timed(time.perf_counter() - wall, time.process_time() - cpu)


def facts(packages: Sequence[str]) -> list[tuple[str, str]]:
    """What a reader needs to judge the numbers: date, machine size, versions. No name, no path."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages if _installed(name))
    return [
        ("date", datetime.datetime.now(datetime.UTC).date().isoformat()),
        ("machine", f"{_cores()} cores ({platform.machine()}), {memory:.0f} GB memory, {platform.system()}"),
        ("versions", f"Python {platform.python_version()}, {versions}"),
    ]


def load() -> float:
    """Processes that wanted a core in the last minute, on average."""
    return os.getloadavg()[0]


def peak_megabytes() -> float:
    """The highest resident memory of this process so far.

    On Linux from /proc: the `ru_maxrss` of a child begins at what its parent held, not at 0.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # bytes on macOS


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(path: Path, heading: str, body: str, introduction: str | None = None) -> None:
    """Puts a section in the place of the one with that heading, or after the others.

    Args:
        path: A Markdown file; made if there is none.
        heading: The section's heading, of the second level.
        body: What stands under it.
        introduction: What stands above the first section; what stands there already if None.
    """
    before, *sections = path.read_text().rstrip().split("\n## ") if path.exists() else [""]
    introduction = before if introduction is None else introduction
    bodies = dict(section.split("\n", 1) for section in sections)
    bodies[heading] = body
    parts = [introduction.strip(), *(f"## {name}\n\n{text.strip()}" for name, text in bodies.items())]
    path.write_text("\n\n".join(parts) + "\n")


def _cores() -> int:
    known = getattr(os, "sched_getaffinity", None)
    return len(known(0)) if known is not None else os.cpu_count() or 1


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
