"""Metadata that no truetap wrote: an error that says which, and the rows are there all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import truetap as tt
from truetap.errors import DamagedRunError
from truetap.facts.types import Facts

from .runs import make


@pytest.mark.parametrize(
    "collect", [{"hints": {"": 3}}, {"hints": {"": {"nonsense": 1}}}, {"hints": 3}, {"outputs": 3}, {"notices": 1.5}]
)
def test_what_is_said_of_outputs(tmp_path: Path, collect: dict[str, Any]) -> None:
    make(tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["metadata"]["collect"] = collect
    path.write_text(json.dumps(manifest))
    run = tt.open(tmp_path / "run")
    with pytest.raises(DamagedRunError, match=r"'collect' is not what truetap writes: .*Restore manifest.json"):
        run.samples("train")
    assert run.sql("select count(*) from samples where phase = 'train'").fetchall() == [(20,)]


@pytest.mark.parametrize("facts", [{}, {"model": 3}, {"model": {"layers": 1}}, {"model": {"name": "m"}, "fit": 3}])
def test_what_is_said_of_the_model(facts: dict[str, Any]) -> None:
    with pytest.raises(DamagedRunError, match=r"metadata 'facts' is not what truetap writes: .*Received: "):
        Facts.from_json(facts)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_has_not(tmp_path: Path, number: str) -> None:
    make(tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "manifest.json"
    path.write_text(path.read_text().replace('"metadata": {', f'"metadata": {{"x": {number}, ', 1))
    with pytest.raises(DamagedRunError, match=rf"is not JSON: {number} is no JSON number"):
        tt.open(tmp_path / "run")
