"""One Ray for all tests here: starting it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines.killing import started

ray = pytest.importorskip("ray")


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[None]:
    with started(ray):
        yield
