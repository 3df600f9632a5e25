"""What can be chosen of a collection on Ray: `Ray`."""

from __future__ import annotations

from dataclasses import dataclass

from truetap.errors import TruetapError

__all__ = ["Ray"]


@dataclass(frozen=True)
class Ray:
    """`collect(…, engine=Ray(num_actors=4, num_gpus=1))`; `engine="ray"` is `Ray()`.

    Args:
        num_actors: Processes that hold the model; by default as many as fit beside one CPU that reads, and no
            more than one for each other CPU.
        num_cpus: CPUs that each of them is given, also in parts.
        num_gpus: GPUs that each of them is given, also in parts.
        address: Of a running cluster, as for `ray.init`; by default the one that this process is
            connected to, that RAY_ADDRESS names, or that runs on this machine; else Ray is started here for the
            call, which "local" does in any case.
        unit_rows: Rows that are collected, and lost, together; by default some 16 MB of input and at most
            8,192 rows.
        start_seconds: How long to wait for the actors to read the model, and for the first task that reads.
        max_losses: How often a unit of work may lose its actor before the collection gives up.

    Example:
        >>> Ray(num_actors=2, num_gpus=0.5).num_gpus
        0.5
    """

    num_actors: int | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    address: str | None = None
    unit_rows: int | None = None
    start_seconds: float = 300.0
    max_losses: int = 3

    def __post_init__(self) -> None:
        for name in ("num_actors", "unit_rows", "max_losses"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise TruetapError(f"{name} is a number. Received: {name}={value!r}. Expected: 1 or more.")
        for name in ("num_cpus", "num_gpus", "start_seconds"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= 0:
                raise TruetapError(f"{name} is an amount. Received: {name}={value!r}. Expected: 0 or more.")
