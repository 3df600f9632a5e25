"""The Python of README.md and of each page of the documentation runs as it is written, on each backend it is for."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest

from tests import prose

MADE = {"_build", "rules"}  # when the site is built; test_rule_trainings.py runs the programs of the rules
DOCS = [page for page in sorted((prose.ROOT / "docs").rglob("*.md")) if not MADE & set(page.parts)]
PAGES = [page for page in [prose.ROOT / "README.md", *DOCS] if prose.blocks(page)]
HERE = [page for page in PAGES if keras.backend.backend() in prose.backends(page)]


@pytest.mark.parametrize("page", HERE, ids=lambda page: page.relative_to(prose.ROOT).as_posix())
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")  # MLflow's own tables
def test_a_page_runs_as_written(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    prose.run(page, keras.backend.backend())


def test_words_of_a_fence_are_known() -> None:
    """A misspelt one would run, or leave out, what it shouldn't."""
    words = {word for page in PAGES for block in prose.blocks(page) for word in block.words}
    assert words <= {"notest", "backend=tensorflow", "backend=jax", "backend=torch"}
