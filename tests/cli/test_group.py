"""What holds for every command: help, near names, a quick start, Ctrl-C, a reader that goes away."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import truetap
from truetap.cli import main
from truetap.cli.commands import COMMANDS

from .calling import COMMAND, at_a_terminal, call, environment, inside


def test_help_lists_the_commands_without_importing_what_they_need() -> None:
    code = (
        "import sys\nfrom truetap.cli import main\n"
        "try: main(['--help'], prog_name='truetap')\n"
        "except SystemExit as ended: code = ended.code\n"
        "heavy = {'numpy', 'pyarrow', 'duckdb', 'sklearn', 'keras', 'rich', 'truetap.run'}\n"
        "print(code, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.splitlines()[-1] == "0 []", done.stderr
    for name, words in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert words.split()[0] in done.stdout


@pytest.mark.parametrize("arguments", [["sql", "--help"], ["diagnose", "--help"], ["completion", "bash"]])
def test_help_of_a_command_and_completion_read_no_run(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom truetap.cli import main\n"
        f"try: main({arguments!r}, prog_name='truetap')\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pyarrow', 'duckdb', 'sklearn', 'keras'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example(name: str) -> None:
    done = inside(name, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\n  Example:\n" in done.stdout
    example = done.stdout.split("\n  Example:\n")[1].splitlines()[0]
    assert f"truetap {name}" in example
    assert example.startswith("    ")


def test_every_command_that_has_numbers_has_json() -> None:
    without = ("serve", "completion")
    for name in COMMANDS:
        found = main.get_command(None, name)  # type: ignore[arg-type]  # our group needs no context for it
        assert found is not None
        options = [option for parameter in found.params for option in parameter.opts]
        assert ("--json" in options) == (name not in without), name


def test_an_unknown_command_has_near_names() -> None:
    done = call("diagnos", "runs/mnist")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no command 'diagnos'. Near names: 'diagnose'." in done.stderr


def test_version() -> None:
    assert call("--version").stdout == f"{truetap.__version__}\n"


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_a_closed_pipe_ends_it_quietly(runs: Path, form: list[str]) -> None:
    query = "select s.* from samples s, range(2000)"
    line = shlex.join([*COMMAND, "sql", str(runs / "before"), query, *form])
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -1; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True, env=environment()
    )
    assert (done.returncode, done.stderr) == (141, "")
    assert len(done.stdout.splitlines()) == 1


LONG = "select sum(a.range * b.range) from range(1000000000) a, range(1000000) b where a.range % 7 = b.range % 5"


def test_ctrl_c_ends_a_query_quietly(runs: Path) -> None:
    command = [*COMMAND, "sql", str(runs / "before"), LONG]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("sum(")  # now it computes
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")


def test_a_terminal_that_lacks_characters_gets_them_spelt_out(runs: Path) -> None:
    done = call("sql", runs / "before", "select 'more…' as word", PYTHONIOENCODING="latin-1")
    assert (done.returncode, done.stdout) == (0, "word\nmore\\u2026\n")


def test_no_colour_is_respected(runs: Path) -> None:
    coloured = at_a_terminal("verify", runs / "before", columns=200)
    plain = at_a_terminal("verify", runs / "before", columns=200, NO_COLOR="1")
    assert coloured.code == plain.code == 0
    assert "\x1b[1;32m" in coloured.raw
    assert "\x1b[1;32m" not in plain.raw
    assert "every committed byte is as written" in plain.text
