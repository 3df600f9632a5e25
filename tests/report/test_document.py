"""The file: one page that loads nothing and in which data can't become markup."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.report import made
from truetap.errors import StoreError
from truetap.report import write_report
from truetap.report.document import bundled, escaped


class Scripts(HTMLParser):
    """The scripts, styles and policies of a page, as an HTML parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.policy = ""
        self._open = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "style"):
            self.found.append((tag, given, ""))
            self._open = True
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_data(self, data: str) -> None:
        if self._open:
            tag, given, text = self.found[-1]
            self.found[-1] = tag, given, text + data

    def handle_endtag(self, tag: str) -> None:
        self._open = False


@pytest.fixture
def page(tmp_path: Path) -> str:
    names = [f"{made.HOSTILE}{place}" for place in range(12)]
    pairs = made.of_classes(12, 3, names=names)
    run = made.write(tmp_path / "run", {"train": [pairs]}, class_names=(made.HOSTILE, "b", "c"))
    return Path(write_report(run, tmp_path / "report.html")).read_text(encoding="utf-8")


def test_only_our_scripts_may_run_and_nothing_may_be_loaded(page: str) -> None:
    read = Scripts(page)
    kinds = [(tag, given.get("type")) for tag, given, _ in read.found]
    assert kinds == [("style", None), ("script", "application/json"), ("script", "module"), ("script", "module")]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for _, _, text in read.found]
    style, _, ours, vega = (f"'sha256-{each}'" for each in hashes)
    assert read.policy == (
        f"default-src 'none'; script-src {ours} {vega}; style-src {style}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    loads = re.findall(r"<(?:link|script|img|iframe)[^>]*(?:src|href)=[\"']?([^\"'> ]*)", page.split("<script")[0])
    assert loads == ["data:,"]


def test_hostile_names_are_data(page: str) -> None:
    content = json.loads(
        next(text for _, given, text in Scripts(page).found if given.get("type") == "application/json")
    )
    assert all(each["name"].startswith(made.HOSTILE) for each in content["samples"].values())
    assert len(content["samples"]) == 12
    assert page.count("window.owned=1</script>") == 0


def test_escaped_json_is_the_same_and_holds_no_markup() -> None:
    plain = {made.HOSTILE: [made.HOSTILE, "\u2028\u2029", 1.5, None]}
    text = escaped(plain)
    assert json.loads(text) == plain
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(escaped(["\ud800"]))[0] == "\ufffd" * 3


def test_a_report_of_a_small_run_is_about_a_megabyte(page: str) -> None:
    assert len(page.encode()) < 1_500_000


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    run = made.write(tmp_path / "run", {"train": [made.of_classes(8, 3)]})
    missing = tmp_path / "nowhere" / "report.html"
    with pytest.raises(StoreError, match=r"can't be written\. Received: .*nowhere.*Expected: a file in a folder"):
        write_report(run, missing)
    assert not list(tmp_path.glob("*.part"))


def test_the_modules_of_the_page_share_no_name() -> None:
    names = re.findall(r"^(?:async )?(?:function|const|let|class) (\w+)", bundled(), re.MULTILINE)
    assert len(names) == len(set(names))
    assert "import " not in bundled()
    assert "export " not in bundled()
