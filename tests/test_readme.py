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
