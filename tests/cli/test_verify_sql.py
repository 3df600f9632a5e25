"""The command line, as a program that another program runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.reading.runs import Made, make

from .calling import inside


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("runs") / "run")


def test_verify_a_whole_run(made: Made) -> None:
    done = inside("verify", made.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{made.path}: 96 rows in 1 tables; every committed byte is as written.\n"
    said = json.loads(inside("verify", made.path, "--json").stdout)
    assert said == {"run": str(made.path), "ok": True, "complete": True, "rows": {"samples": 96}, "problems": []}


def test_verify_a_damaged_run(tmp_path: Path) -> None:
    made = make(tmp_path / "run")
    segment = next((made.path / "samples").rglob("*.arrow"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    done = inside("verify", made.path)
    assert done.returncode == 1
    assert f"damage: {segment}" in done.stdout
    shown = inside("verify", made.path, "--json")
    assert shown.returncode == 1
    said = json.loads(shown.stdout)
    assert not said["ok"]
    assert said["problems"][0]["file"] == str(segment)
    (made.path / "manifest.json").write_text("{")
    assert inside("verify", made.path).returncode == 1


def test_no_such_run(tmp_path: Path) -> None:
    done = inside("verify", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no run at" in done.stderr
    assert inside("sql", tmp_path, "select 1").returncode == 2
    assert inside("verify").returncode == 2


def test_sql(made: Made) -> None:
    query = "select phase, count(*) as n from samples group by 1 order by 1"
    done = inside("sql", made.path, query, "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"phase": "train", "n": 60},
        {"phase": "val", "n": 36},
    ]
    assert "train" in inside("sql", made.path, query).stdout
    failed = inside("sql", made.path, "select * from nowhere")
    assert failed.returncode == 1
    assert "Tables of this run: samples" in failed.stderr


@pytest.mark.parametrize("command", ["verify", "sql"])
def test_help_shows_an_example(command: str) -> None:
    done = inside(command, "--help")
    assert done.returncode == 0
    assert f"Example:\n    truetap {command} runs/mnist" in done.stdout
    assert command in inside("--help").stdout


def test_version() -> None:
    import truetap

    assert inside("--version").stdout.strip() == truetap.__version__
