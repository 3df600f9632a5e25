"""The cluster that a collection runs on: connected to or started, and whether it has room.

Ray waits for ever, without a word, when actors take all CPUs and none is left to read for them. So
what is asked for is compared with what there is before anything starts, and once the actors have
their places a task is tried in the place of those that will read: others may use the cluster, and a
CPU that is left over in halves on two machines is none.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.exceptions import GetTimeoutError

from truetap.engines.ray.options import Ray
from truetap.errors import TruetapError

__all__ = ["CPUS_OF_A_TASK", "actors_that_fit", "connected", "free", "most_actors", "quiet", "wait_for_room_to_read"]

CPUS_OF_A_TASK = 1.0  # of Ray Data, by default


@contextmanager
def connected(options: Ray) -> Iterator[None]:
    """Within, there is a cluster; one that was started here is stopped afterwards.

    Raises:
        TruetapError: Ray can't be reached or started.
    """
    if ray.is_initialized():
        if options.address is not None:
            raise TruetapError(
                f"This process is connected to Ray already. Received: address={options.address!r}. Expected: no "
                "address, or ray.shutdown() first."
            )
        yield
        return
    _check_address(options.address or os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(address=options.address, log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    except (ConnectionError, OSError, RuntimeError, TimeoutError, ValueError) as error:
        raise _unreachable(options.address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


def actors_that_fit(options: Ray, cpus_to_read: float) -> int:
    """How many actors there will be.

    Args:
        options: What is asked for.
        cpus_to_read: CPUs that have to be left beside them.

    Raises:
        TruetapError: The cluster has not enough CPUs or GPUs for them and for reading.
    """
    cpus, gpus = _cpus_and_gpus()
    most = most_actors(options, cpus_to_read)
    wanted = options.num_actors or max(1, int(min(most, cpus - cpus_to_read)))
    if wanted > most:
        raise TruetapError(
            f"The actors leave nothing to read with, or don't fit, and Ray would wait for ever. Received: {wanted} "
            f"actors of {options.num_cpus:g} CPUs and {options.num_gpus:g} GPUs on a cluster of {cpus:g} CPUs and "
            f"{gpus:g} GPUs. Expected: at least {cpus_to_read:g} CPU left over; fewer actors, a smaller num_cpus "
            "(parts such as 0.5 are fine), or a larger cluster."
        )
    return wanted


def most_actors(options: Ray, cpus_to_read: float) -> float:
    """How many actors the cluster has room for at this moment, whoever else uses it."""
    cpus, gpus = _cpus_and_gpus()
    most = float("inf")
    if options.num_cpus:
        most = (cpus - cpus_to_read) / options.num_cpus
    if options.num_gpus:
        most = min(most, gpus / options.num_gpus)
    return most


def wait_for_room_to_read(seconds: float) -> None:
    """Waits until a task such as those of Ray Data has run beside the actors.

    Raises:
        TruetapError: None has, in that time.
    """
    task = ray.remote(num_cpus=CPUS_OF_A_TASK, max_retries=-1)(_nothing).remote()
    try:
        ray.get(task, timeout=seconds)
    except GetTimeoutError as error:
        ray.cancel(task)
        raise TruetapError(
            f"Beside the actors nothing found room to read in {seconds:g} s, and Ray would wait for ever. Other work "
            f"on the cluster, or the actors themselves, left {free()}, and not {CPUS_OF_A_TASK:g} CPU on one machine. "
            "Expected: fewer actors, a smaller num_cpus, or a longer start_seconds."
        ) from error


def free() -> str:
    """What of the cluster nobody uses now, in words."""
    there, total = ray.available_resources(), ray.cluster_resources()
    return " and ".join(f"{there.get(name, 0.0):g} of {total.get(name, 0.0):g} {name}s" for name in ("CPU", "GPU"))


def _cpus_and_gpus() -> tuple[float, float]:
    total = ray.cluster_resources()
    return total.get("CPU", 0.0), total.get("GPU", 0.0)


def _nothing() -> None:
    """A task that shows that there is room."""


def _check_address(address: str) -> None:
    """Looks whether anyone listens: where nobody does, Ray ends the whole process."""
    if address.startswith("ray://"):
        raise TruetapError(
            f"Over Ray's client protocol the data would pass this process. Received: address={address!r}. Expected: "
            "the call made on a machine of the cluster, such as by `ray job submit`."
        )
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto" and "local", for which Ray looks itself
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str | None, error: Exception) -> TruetapError:
    what = f"reach a cluster at {address!r}" if address else "start on this machine"
    return TruetapError(
        f"Ray can't {what} ({type(error).__name__}: {error}). Expected: a cluster of the same versions of Ray and "
        "Python; `ray status` there tells of it. On one machine, engine=None needs no Ray."
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Within, Ray Data tells of errors only: progress is ours to show."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
