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


def test_the_architecture_page_has_a_place_for_everything() -> None:
    """A row for each folder, a group for each module beside the folders; and nothing that is gone."""
    text = README.with_name("ARCHITECTURE.md").read_text(encoding="utf-8")
    package = README.parent / "truetap"
    modules, folders = (text[text.index(f"## The {what} of truetap/") :] for what in ("modules", "folders"))
    groups = [line.split("|")[1] for line in modules.split("\n## ")[0].splitlines() if line.startswith("| `")]
    named = [name for cell in groups for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(named) == sorted(path.stem for path in package.glob("*.py"))
    holding = {path.parent for path in package.glob("*/**/*.*") if path.parent.name != "__pycache__"}
    rows = "\n".join(line for line in folders.splitlines() if line.startswith("| `"))
    named_folders = re.findall(r"`([\w/]+)/`", rows)
    assert sorted(set(named_folders)) == sorted(path.relative_to(package).as_posix() for path in holding)


def test_what_the_drawings_of_the_architecture_name_is_there() -> None:
    text = README.with_name("ARCHITECTURE.md").read_text(encoding="utf-8")
    drawings = "\n".join(re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    package = README.parent / "truetap"
    modules = [f"{path}.py" for path in re.findall(r"\b((?:\w+/)+\*?\w+)(?![\w/])", drawings)]
    assert len(modules) > 10
    assert not [path for path in modules if not list(package.glob(path))]
