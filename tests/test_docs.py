"""What the documentation promises of itself; that it builds without a warning is seen by `make docs`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import truetap as tt
from tests import prose

sys.path.insert(0, str(prose.ROOT / "docs"))

from links import broken

DOCS = prose.ROOT / "docs"


def test_every_public_name_is_in_the_reference() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md"))
    named = set(re.findall(r"^\.\. auto\w+:: truetap\.(\w+)$", text, re.MULTILINE))
    modules = {"losses", "reducers", "rules"}
    assert named == set(tt.__all__) - modules - {"__version__"}
    for module in modules:
        classes = set(re.findall(rf"^\.\. auto\w+:: truetap\.{module}\.(\w+)$", text, re.MULTILINE))
        assert classes <= set(getattr(tt, module).__all__)
        assert len(classes) >= 5


@pytest.mark.parametrize(
    ("link", "lost"),
    [("b.html", False), ("b.html#there", False), ("b.html#gone", True), ("c.html", True), ("#x", True)],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str, lost: bool) -> None:
    (tmp_path / "a.html").write_text(f'<a href="{link}">a</a> <a href="https://example.org/gone">b</a>')
    (tmp_path / "b.html").write_text('<h1 id="there">b</h1>')
    found, followed = broken(tmp_path)
    assert followed == 1
    assert found == ([f"a.html: {link}"] if lost else [])
