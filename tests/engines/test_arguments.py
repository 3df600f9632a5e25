"""What `engine=` takes, and what it says without Ray."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import truetap as tt
from tests.engines.models import classifier, rows
from truetap.engines import Ray
from truetap.errors import StoreError, TruetapError


@pytest.fixture(scope="module")
def model() -> Any:
    return classifier()


def test_an_unknown_engine_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(TruetapError, match=r"There is no such engine. Received: engine='dask'. Expected: None.*'ray'"):
        tt.collect(model, rows(4), engine="dask", to=tmp_path / "run")


def test_a_folder_is_needed(model: Any) -> None:
    with pytest.raises(TruetapError, match=r"engine='ray' writes a run.*Received: to=None. Expected: to='folder'"):
        tt.collect(model, rows(4), engine="ray")


def test_an_object_store_is_no_place_for_units(model: Any) -> None:
    with pytest.raises(StoreError, match=r"an object store has no renames. Received: to='s3://bucket/run'. Exp"):
        tt.collect(model, rows(4), engine="ray", to="s3://bucket/run")


def test_without_ray_it_says_how_to_install_it(model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(TruetapError, match=r"pip install 'truetap\[ray\]'"):
        tt.collect(model, rows(4), engine="ray", to=tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"num_actors": 0}, "num_actors=0. Expected: 1 or more"),
        ({"unit_rows": 0.5}, "unit_rows=0.5"),
        ({"num_actors": True}, "num_actors=True"),
        ({"num_gpus": -1}, "num_gpus=-1. Expected: 0 or more"),
        ({"num_cpus": "2"}, "num_cpus='2'"),
        ({"start_seconds": float("nan")}, "start_seconds=nan"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(TruetapError, match=said):
        Ray(**settings)
