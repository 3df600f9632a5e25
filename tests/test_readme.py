"""The Python of README.md runs as it is written, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks() -> list[tuple[int, str]]:
    """The Python blocks with the number of the line before each."""
    text = README.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(text.count("\n", 0, match.start(1)), match.group(1)) for match in found]


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own tables
def test_the_readme_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one namespace and an empty folder; an error names its line in README.md."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "readme"}
    for lines_before, block in blocks():
        exec(compile("\n" * lines_before + block, str(README), "exec"), namespace)
    assert len(namespace["samples"]) == len(namespace["x"])
    assert (tmp_path / "runs" / "digits" / "manifest.json").exists()


def test_there_are_blocks_to_run() -> None:
    assert len(blocks()) >= 5


def test_links_of_the_readme_lead_somewhere() -> None:
    text = README.read_text(encoding="utf-8")
    targets = set(re.findall(r"\]\(([^)#:]+)\)", text))
    missing = [target for target in targets if not (README.parent / target).exists()]
    assert not missing


def test_the_architecture_page_names_every_module() -> None:
    """And no module that is gone."""
    text = README.with_name("ARCHITECTURE.md").read_text(encoding="utf-8")
    package = README.parent / "truetap"
    for folder in [package, *(path.parent for path in package.glob("*/__init__.py"))]:
        heading = "### " + folder.relative_to(README.parent).as_posix() + "/"
        table = text[text.index(heading) :].split("\n### ")[0]
        first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
        named = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
        there = {path.stem for path in folder.glob("*.py")}
        assert named | {"__init__"} == there | {"__init__"}, heading
