"""`collect(…, engine="ray")` gives the rows of a single process, on this backend, though an actor is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import truetap as tt
from tests.engines.killing import KilledOnce, quiet, started
from tests.engines.models import rows, same, two_outputs
from truetap.engines import Ray
from truetap.store import RunReader

ray = pytest.importorskip("ray")
pytestmark = quiet


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with started(ray):
        yield


def test_a_killed_actor_loses_and_doubles_nothing(tmp_path: Path) -> None:
    x, y = rows(1009)
    x[:, 0] = np.arange(1009)
    labels = {"place": x[:, 1:3], "scores": y}
    data = (x, labels, np.linspace(0, 1, 1009).astype("float32"))
    model = two_outputs()
    more: dict[str, Any] = {"layers": "hidden", "inputs": True}
    alone = tt.collect(model, data, ids=range(1009), **more)
    killed = KilledOnce(tmp_path / "killed", 501)  # in the middle of a unit
    engine = Ray(num_actors=2, num_cpus=0.5, unit_rows=64)
    together = tt.collect(model, data, ids=killed, to=tmp_path / "run", engine=engine, **more)
    assert killed.marker.exists()
    same(together, alone)
    same(tt.open(tmp_path / "run").samples(), alone)
    assert together.about == alone.about
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert reader.verify() == []
    kept: Any = reader.metadata["engine"]
    assert kept["lost_actors"] == 1
    assert kept["costs"]["rows"] == 1009
