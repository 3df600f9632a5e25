"""Tables of strings, and how they become plain text or rich's tables; `truetap.notebook.html` makes HTML of them.

Names come from users' folders, files and data: they are data, never markup, and control characters of them never
reach a terminal. That is seen to here, once, for all that shows itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = [
    "Table",
    "as_rich",
    "as_rich_parts",
    "as_text",
    "as_text_parts",
    "number",
    "plain",
    "printable",
    "size_words",
]


@dataclass(frozen=True, slots=True)
class Table:
    """Strings in rows and columns.

    Attributes:
        title: What it is, or nothing.
        columns: Headings.
        rows: A cell for each column.
        left: How many of the first columns are text, and stand to the left; the others are numbers.
        more: What is said below, such as how many rows are left out.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    more: str = ""


def printable(text: str) -> str:
    r"""Text whose control characters (escape codes, newlines, direction marks) are spelt out.

    Example:
        >>> printable("cat\x1b[31m")
        'cat\\x1b[31m'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain(text: str) -> str:
    r"""Lines whose other control characters are spelt out.

    Example:
        >>> plain("one\ntwo\x07")
        'one\ntwo\\x07'
    """
    return "\n".join(map(printable, text.split("\n")))


def as_text(table: Table, indent: str = "  ") -> list[str]:
    """Lines without any escape codes: title, headings, rows."""
    grid = [tuple(map(printable, row)) for row in (table.columns, *table.rows)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    lines = [printable(table.title)] if table.title else []
    for row in grid:
        placed = enumerate(zip(row, widths, strict=True))
        cells = (cell.ljust(width) if at < table.left else cell.rjust(width) for at, (cell, width) in placed)
        lines.append((indent + "  ".join(cells)).rstrip())
    return [*lines, *([indent + printable(table.more)] if table.more else [])]


def as_text_parts(head: str, parts: Iterable[Table | str], notes: Iterable[str] = ()) -> str:
    """A headline, tables and sentences each after an empty line, and notes, as one text."""
    lines = [printable(head)]
    for part in parts:
        lines += ["", *([printable(part)] if isinstance(part, str) else as_text(part))]
    said = [f"Note: {printable(note)}" for note in notes]
    return "\n".join([*lines, *([""] if said else []), *said])


def as_rich_parts(head: str, parts: Iterable[Table | str], notes: Iterable[str] = ()) -> Any:
    """The same, as a renderable for rich."""
    from rich.console import Group
    from rich.text import Text

    found: list[Any] = [Text(printable(head), "bold")]
    for part in parts:
        found += ["", Text(printable(part)) if isinstance(part, str) else as_rich(part)]
    said = [Text(f"Note: {printable(note)}", "italic") for note in notes]
    return Group(*found, *([""] if said else []), *said)


def as_rich(table: Table) -> Any:
    """A renderable for rich; long cells are folded, names are shown as they are."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    grid = RichTable(
        title=Text(printable(table.title)) if table.title else None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for at, name in enumerate(table.columns):
        words = at < table.left  # these give way where a terminal is narrow, numbers last
        grid.add_column(Text(printable(name)), justify="left" if words else "right", overflow="fold", no_wrap=not words)
    for row in table.rows:
        grid.add_row(*(Text(printable(cell)) for cell in row))
    return Group(grid, Text(printable(table.more), style="dim")) if table.more else grid


def number(value: float | None, sign: str = "") -> str:
    """A number of four digits, or "-" for what isn't there.

    Example:
        >>> number(0.123456), number(2.0, "+"), number(None)
        ('0.1235', '+2', '-')
    """
    return "-" if value is None else f"{value:{sign}.4g}"


def size_words(count: int) -> str:
    """Bytes in words.

    Example:
        >>> size_words(120), size_words(1_530_000)
        ('120 bytes', '1.5 MB')
    """
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "bytes" else f"{size:,.1f} {unit}"
