"""What a person sees at a terminal: rich's tables, colours unless NO_COLOR is set, and progress on stderr.

Where stdout is no terminal, commands print plain text by `click.echo`; where stderr is none, nothing moves.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from truetap.showing import printable

__all__ = ["for_a_person", "show", "words", "working"]


def for_a_person() -> bool:
    """Whether somebody looks at stdout."""
    return sys.stdout.isatty()


def show(*renderables: Any) -> None:
    """Prints for rich; strings in them are data, never markup."""
    console = Console(highlight=False, markup=False, emoji=False)
    for each in renderables:
        console.print(each)


def words(text: object, style: str = "") -> Text:
    """Text as it is, with control characters spelt out."""
    return Text(printable(str(text)), style)


@contextmanager
def working(what: str, total: float | None = None) -> Iterator[Callable[[float], None]]:
    """Shows on stderr, if somebody looks at it, that something goes on; gone when it is done.

    Args:
        what: What goes on.
        total: How much there is to do, if that is known.

    Yields:
        A function that is told how much more is done.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(printable(what), total=total)
        yield lambda done: progress.advance(task, done)
