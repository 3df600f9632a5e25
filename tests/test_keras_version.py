"""A Keras that is too old is said at first use, and pyproject.toml admits none of them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import truetap as tt
from truetap.backends.keras_version import NEWEST, OLDEST, check_version, said

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_the_floor_is_that_of_the_package() -> None:
    needed = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]
    assert f"keras>={said(OLDEST)}" in needed
    pinned = (PROJECT.parent / "requirements" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    assert f"keras=={said(OLDEST)}.0" in pinned


def test_versions() -> None:
    major, minor = OLDEST
    for version in (f"{major}.{minor}.0", f"{major}.{minor + 3}.2", f"{said(NEWEST)}.0.dev2026102704", "4.0.0"):
        check_version(version)
    for version in ("2.15.0", f"{major}.{minor - 1}.2", "3.0.0"):
        with pytest.raises(tt.ModelError, match=rf"needs Keras {said(OLDEST)} or newer. Received: Keras {version}"):
            check_version(version)


def test_it_is_said_at_first_use() -> None:
    code = (
        "import keras; keras.__version__ = '3.5.0'; import truetap\n"
        "for name in ('Recorder', 'collect', 'lint', 'losses', 'check_loss'):\n"
        "    try: print(getattr(truetap, name))\n"
        "    except truetap.ModelError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 5
    assert all(
        line.startswith(f"truetap needs Keras {said(OLDEST)} or newer. Received: Keras 3.5.0.") for line in lines
    )
