"""README.md and ARCHITECTURE.md lead to what there is; test_pages.py runs the Python of README.md."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


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
