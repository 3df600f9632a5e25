"""The commands that write or serve: report, export, serve, completion."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.report.made import of_classes
from truetap.exporting import FORMATS

from .calling import COMMAND, at_a_terminal, call, environment, inside


def test_report(runs: Path, tmp_path: Path) -> None:
    done = call("report", runs / "before", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "before.html"
    assert done.stdout == f"before.html: {page.stat().st_size / 1000:,.1f} kB, the report of {runs / 'before'}.\n"
    assert page.read_text().startswith("<!doctype html>")
    said = json.loads(inside("report", runs / "before", "-o", tmp_path / "b.html", "--json").stdout)
    assert said == {
        "run": str(runs / "before"),
        "report": str(tmp_path / "b.html"),
        "bytes": (tmp_path / "b.html").stat().st_size,
    }


def test_report_that_cannot_be_written(runs: Path, tmp_path: Path) -> None:
    done = inside("report", runs / "before", "-o", tmp_path / "no" / "b.html")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Expected: a file in a folder that exists" in done.stderr


def without(tmp_path: Path, *modules: str) -> str:
    """A path of modules, in which modules can't be imported, nor found."""
    code = (
        "import sys, importlib.machinery as m\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {modules!r}: raise ModuleNotFoundError(f'No module named {{name!r}}')\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import importlib.util as u\n"
        "found = u.find_spec\n"
        f"u.find_spec = lambda name, package=None: None if name in {modules!r} else found(name, package)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    return os.pathsep.join([str(tmp_path), *(each or "." for each in sys.path)])


def test_extras_that_are_not_installed_are_named(runs: Path, tmp_path: Path) -> None:
    done = call("report", runs / "before", "-o", tmp_path / "b.html", PYTHONPATH=without(tmp_path, "vl_convert"))
    assert done.returncode == 2
    assert "pip install 'truetap[report]'" in done.stderr
    served = call("serve", runs / "before", PYTHONPATH=without(tmp_path, "starlette"))
    assert served.returncode == 2
    assert "starlette" in served.stderr
    assert "pip install 'truetap[serve]'" in served.stderr


def test_export(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "tables"
    options = ("--table", "samples", "--phase", "train", "--epoch", "-1")
    done = inside("export", runs / "before", "-o", target, *options, "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["format"] == "parquet"
    assert said["bytes"] == sum(os.path.getsize(file) for file in said["files"])
    found = np.concatenate([pq.read_table(file)["loss"].to_numpy() for file in said["files"]])
    np.testing.assert_array_equal(found, of_classes(120, 5, 2).loss)
    again = inside("export", runs / "before", "-o", target)
    assert again.returncode == 1
    assert "something at the target already" in again.stderr


def test_export_in_words(runs: Path, tmp_path: Path) -> None:
    piped = inside("export", runs / "before", "-o", tmp_path / "a.csv", "--format", "csv", "--table", "epochs")
    assert piped.stdout == f"{tmp_path / 'a.csv'}\n"
    assert "1 files" not in piped.stderr
    assert f"1 file, {(tmp_path / 'a.csv').stat().st_size} bytes, in {tmp_path / 'a.csv'}." in piped.stderr
    seen = at_a_terminal("export", runs / "before", "-o", tmp_path / "b", columns=200)
    assert seen.code == 0
    assert "epochs/part-000000.parquet" in seen.text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--format", "parket"], 2, "There is no format 'parket'. Near names: 'parquet'."),
        (["--table", "sample"], 2, "Near names: 'samples'."),
        (["--phase", "tset"], 2, "Received: phase='tset'"),
        (["--option", "npz"], 2, "NAME=VALUE. Received: 'npz'"),
        (["--option", "npz=true"], 1, "Exporting to parquet has no option 'npz'."),
    ],
)
def test_export_refuses(runs: Path, tmp_path: Path, arguments: list[str], code: int, message: str) -> None:
    done = inside("export", runs / "before", "-o", tmp_path / "out", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


def test_export_lists_its_formats() -> None:
    shown = inside("export", "--help").stdout
    assert all(f"  {name} " in shown for name in FORMATS)


def test_options_of_a_format(runs: Path, tmp_path: Path) -> None:
    options = ("--format", "numpy", "--option", "npz=true", "--table", "epochs")
    done = inside("export", runs / "before", "-o", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(".npz")


def fetched(address: str) -> bytes:
    """What a server answers that may just be getting up."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(address, timeout=60) as answer:
                found: bytes = answer.read()
                return found
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)
    raise TimeoutError(address)


def test_serve_answers_and_ends_by_ctrl_c(runs: Path) -> None:
    command = [*COMMAND, "serve", str(runs / "before"), str(runs / "after"), "--port", "0"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    assert process.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/\S*", process.stdout.readline())
    try:
        assert found is not None
        assert b"<html" in fetched(found.group())
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode == 0


def test_serve_refuses(runs: Path) -> None:
    assert call("serve").returncode == 2
    done = call("serve", runs / "nothing", "--port", "0")
    assert done.returncode == 2
    assert "There is no run at" in done.stderr
    assert call("serve", runs / "before", "--port", "99999").returncode == 2


def complete(words: str, cwd: Path) -> list[str]:
    """What bash would be offered for the last word."""
    parts = shlex.split(words) if not words.endswith(" ") else [*shlex.split(words), ""]
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(parts) - 1), "_TRUETAP_COMPLETE": "bash_complete"}
    done = call(cwd=cwd, **asked)
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_a_shell_completes_commands_options_and_runs(runs: Path) -> None:
    assert complete("truetap di", runs) == ["diagnose"]
    assert "--skipped" in complete("truetap diagnose --", runs)
    assert complete("truetap diagnose ", runs) == ["after", "before"]
    assert complete("truetap compare before af", runs) == ["after"]
    parent = runs.parent
    assert complete(f"truetap verify {runs.name}/b", parent) == [f"{runs.name}/before"]
    assert f"{runs.name}/after" in complete(f"truetap verify {runs.name}", parent)
    assert complete("truetap verify zz", runs) == ["zz"]  # no run: the shell's own folders
    assert complete("truetap completion ", runs) == ["bash", "zsh", "fish"]


def test_the_script_for_bash_works_in_bash(runs: Path, tmp_path: Path) -> None:
    program = tmp_path / "truetap"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(COMMAND)} "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(truetap completion bash)"; COMP_WORDS=(truetap diagnose be); COMP_CWORD=2; '
        '_truetap_completion truetap; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=runs, env=environment(PATH=path))
    assert (done.stdout, done.stderr) == ("before\n", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_of_other_shells(shell: str) -> None:
    done = inside("completion", shell)
    assert done.returncode == 0
    assert "_TRUETAP_COMPLETE" in done.stdout
