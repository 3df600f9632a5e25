"""Checks that every link and picture of the built site leads to a file and an anchor in it: `make docs`.

Sphinx checks its own references; this one reads what a browser gets. Links to other sites are only counted here:
`make linkcheck` follows those, and needs a network.
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Page", "broken"]


class Page(HTMLParser):
    """The links of a page and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            elif value and name in ("id", "name"):
                self.anchors.add(value)


def broken(site: Path) -> tuple[list[str], int]:
    """What leads nowhere, as "page: link", and how many links were followed."""
    read = cache(Page)
    found, followed = [], 0
    for path in sorted(site.rglob("*.html")):
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            followed += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if target.is_dir():
                target /= "index.html"
            lost = target.suffix == ".html" and parts.fragment and target.is_file()
            if not target.is_file() or (lost and unquote(parts.fragment) not in read(target).anchors):
                found.append(f"{path.relative_to(site)}: {link}")
    return found, followed


def main() -> None:
    """Exits with 1 if a link leads nowhere."""
    found, followed = broken(Path(sys.argv[1]))
    print("\n".join(found) or f"All of {followed} links lead somewhere.")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
