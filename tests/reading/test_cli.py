"""The command line, as a program that another program runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .runs import Made, make


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "truetap", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("runs") / "run")


def test_verify_a_whole_run(made: Made) -> None:
    done = call("verify", made.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{made.path}: 96 rows in 1 tables; every committed byte is as written.\n"
    said = json.loads(call("verify", made.path, "--json").stdout)
    assert said == {"run": str(made.path), "ok": True, "complete": True, "rows": {"samples": 96}, "problems": []}


def test_verify_a_damaged_run(tmp_path: Path) -> None:
    made = make(tmp_path / "run")
    segment = next((made.path / "samples").rglob("*.arrow"))
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    done = call("verify", made.path)
    assert done.returncode == 1
    assert f"damage: {segment}" in done.stdout
    shown = call("verify", made.path, "--json")
    assert shown.returncode == 1
    said = json.loads(shown.stdout)
    assert not said["ok"]
    assert said["problems"][0]["file"] == str(segment)
    (made.path / "manifest.json").write_text("{")
    assert call("verify", made.path).returncode == 1


def test_no_such_run(tmp_path: Path) -> None:
    done = call("verify", tmp_path / "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no run at" in done.stderr
    assert call("sql", tmp_path, "select 1").returncode == 2
    assert call("verify").returncode == 2


def test_sql(made: Made) -> None:
    query = "select phase, count(*) as n from samples group by 1 order by 1"
    done = call("sql", made.path, query, "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        {"phase": "train", "n": 60},
        {"phase": "val", "n": 36},
    ]
    assert "train" in call("sql", made.path, query).stdout
    failed = call("sql", made.path, "select * from nowhere")
    assert failed.returncode == 1
    assert "Tables of this run: samples" in failed.stderr


@pytest.mark.parametrize("command", ["verify", "sql"])
def test_help_shows_an_example(command: str) -> None:
    done = call(command, "--help")
    assert done.returncode == 0
    assert f"Example:\n    truetap {command} runs/mnist" in done.stdout
    assert command in call("--help").stdout


def test_version() -> None:
    import truetap

    assert call("--version").stdout.strip() == truetap.__version__
