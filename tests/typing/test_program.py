"""The program of a user that type checkers look at: it has every public name, and it runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import truetap as tt

PROGRAM = Path(__file__).with_name("program.py")
NO_USE = {"say_what_was_seen", "error"}  # for truetap itself


def used() -> set[str]:
    """What stands behind a dot."""
    return set(re.findall(r"\.(\w+)", PROGRAM.read_text(encoding="utf-8")))


def test_every_public_name_is_in_it() -> None:
    assert not set(tt.__all__) - set(re.findall(r"\btt\.(\w+)", PROGRAM.read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", [tt.Run, tt.Samples, tt.Report, tt.Alignment, tt.Pruned])
def test_every_method_is_in_it(kind: type) -> None:
    assert not {name for name in vars(kind) if not name.startswith("_")} - used() - NO_USE


@pytest.mark.filterwarnings("ignore:The labels may not follow")  # three epochs: on some backends little is learned
def test_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.typing.program import main

    main(tmp_path)
    assert str(tt.__version__) in capsys.readouterr().out
    assert (tmp_path / "report.html").exists()
