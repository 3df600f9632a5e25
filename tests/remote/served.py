"""A real S3 server on loopback, with a gate before it, for a session; a bucket for each test."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("s3fs")
import s3fs
from moto.server import ThreadedMotoServer

from .gate import Gate

_NUMBERS = itertools.count()
_FAKE = {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass(frozen=True)
class Store:
    """A bucket in the server, behind the gate.

    Attributes:
        gate: What stands before the server.
        bucket: Name of a bucket of the test's own.
        filesystem: Straight to the server, without caches; the gate doesn't count it.
    """

    gate: Gate
    bucket: str
    filesystem: s3fs.S3FileSystem

    def url(self, name: str = "run") -> str:
        return f"s3://{self.bucket}/{name}"

    def keys(self, name: str = "run") -> list[str]:
        """The objects of a run, relative to it."""
        prefix = f"{self.bucket}/{name}/"
        return sorted(key.removeprefix(prefix) for key in self.filesystem.find(prefix))


@pytest.fixture(scope="session")
def server() -> Iterator[tuple[str, int]]:
    os.environ.update(_FAKE)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line for each request
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    yield moto.get_host_and_port()
    moto.stop()


@pytest.fixture(scope="session")
def gate(server: tuple[str, int]) -> Iterator[Gate]:
    made = Gate(server)
    yield made
    made.close()


@pytest.fixture
def store(server: tuple[str, int], gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Store]:
    """Its endpoint is told by the environment, as fsspec reads it in this process and in those that a test starts."""
    from fsspec.config import conf

    monkeypatch.setitem(conf, "s3", {"endpoint_url": gate.url, "config_kwargs": {"retries": {"max_attempts": 1}}})
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", gate.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    straight = s3fs.S3FileSystem(endpoint_url="http://{}:{}".format(*server), use_listings_cache=False)
    made = Store(gate, f"bucket-{next(_NUMBERS)}", straight)
    made.filesystem.mkdir(made.bucket)
    gate.turn("open")
    yield made
    gate.turn("open")
