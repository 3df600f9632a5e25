"""Which cluster is used, and that what would wait for ever is refused instead."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.engines.killing import quiet
from truetap.engines import Ray
from truetap.engines.ray.cluster import actors_that_fit, wait_for_room_to_read
from truetap.errors import TruetapError

ray = pytest.importorskip("ray")
pytestmark = quiet


def run(code: str) -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=200)


ADDRESSES = """
import ray
from truetap.engines import Ray
from truetap.engines.ray.cluster import connected
from truetap.errors import TruetapError
for address in ("127.0.0.1:1", "ray://127.0.0.1:1", "auto"):
    try:
        with connected(Ray(address=address)):
            print(ray.cluster_resources()["CPU"], "CPUs")
    except TruetapError as error:
        print(error)
    print("connected:", ray.is_initialized())
"""


def test_a_cluster_is_reached_by_its_address() -> None:
    done = run(ADDRESSES)
    refused, after_refused, client, after_client, *reached = done.stdout.splitlines()
    assert "Ray can't reach a cluster at '127.0.0.1:1' (ConnectionRefusedError" in refused
    assert "Received: address='ray://127.0.0.1:1'. Expected: the call made on a machine of the cluster" in client
    assert reached == ["2.0 CPUs", "connected: False"], done.stderr[-3000:]
    assert after_refused == after_client == "connected: False"


def test_a_process_that_reads_loads_no_keras() -> None:
    done = run("import sys, truetap.engines.ray.reading; print('keras' in sys.modules)")
    assert done.stdout == "False\n", done.stderr[-3000:]


def test_actors_leave_a_cpu_to_read_with() -> None:
    with pytest.raises(TruetapError, match=r"2 actors of 1 CPUs .* on a cluster of 2 CPUs .* at least 1 CPU left over"):
        actors_that_fit(Ray(num_actors=2), 1.0)
    with pytest.raises(TruetapError, match=r"1 actors of 0.5 CPUs and 1 GPUs on a cluster of 2 CPUs and 0 GPUs"):
        actors_that_fit(Ray(num_actors=1, num_cpus=0.5, num_gpus=1), 1.0)
    assert actors_that_fit(Ray(num_actors=2), 0.0) == 2  # arrays are sent, not read
    assert actors_that_fit(Ray(), 1.0) == 1
    assert actors_that_fit(Ray(num_cpus=0.25), 1.0) == 1


def test_work_of_others_that_leaves_no_room_to_read_is_told() -> None:
    held = holder().options(num_cpus=1.5).remote()
    ray.get(held.here.remote())
    with pytest.raises(TruetapError, match=r"nothing found room to read in 0.2 s.* left 0.5 of 2 CPUs and 0 of 0 GPUs"):
        wait_for_room_to_read(0.2)
    ray.kill(held)
    wait_for_room_to_read(100)


def holder() -> Any:
    """An actor that holds what it was given; a class of this function, so that Ray sends it and imports nothing."""

    class Holder:
        def here(self) -> None: ...

    return ray.remote(Holder)
