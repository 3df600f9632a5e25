"""The Python of README.md and of the documentation's pages, to be run as it is written.

The blocks of a page run from top to bottom in one namespace. A fence may say more behind `python`: `backend=jax` is run
on that backend only, `notest` nowhere. A page that is for some backends only has `<!-- backends: jax, torch -->`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ROOT", "Block", "backends", "blocks", "run"]

ROOT = Path(__file__).parents[1]


class Block(NamedTuple):
    """Code, the number of the line before it, and the words behind `python`."""

    code: str
    line: int
    words: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```python([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(each.group(2), text.count("\n", 0, each.start(2)), tuple(each.group(1).split())) for each in found]


def backends(page: Path) -> tuple[str, ...]:
    """Those that a page is for."""
    said = re.search(r"<!-- backends: ([\w, ]+) -->", page.read_text(encoding="utf-8"))
    return tuple(re.findall(r"\w+", said.group(1))) if said else ("tensorflow", "jax", "torch")


def run(page: Path, backend: str) -> dict[str, Any]:
    """Runs a page in the current folder; an error names its line. Gives the namespace."""
    namespace: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page):
        asked = {word.removeprefix("backend=") for word in block.words if word.startswith("backend=")}
        if "notest" in block.words or (asked and backend not in asked):
            continue
        exec(compile("\n" * block.line + block.code, str(page), "exec"), namespace)
    return namespace
