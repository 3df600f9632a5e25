"""A progress bar on standard error, shown only to a person at a terminal."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

__all__ = ["Progress"]


class Progress:
    """Counts batches: `with Progress("collect", total, verbose) as bar: bar.advance(32)`.

    Args:
        what: What is being done.
        total: Batches in all, or None when unknown.
        verbose: "auto" shows a bar when standard error is a terminal; 0 never, 1 always.
    """

    def __init__(self, what: str, total: int | None, verbose: str | int | bool = "auto") -> None:
        if verbose not in ("auto", 0, 1):
            raise ValueError(f"verbose is 'auto', 0 or 1. Received: {verbose!r}.")
        self._shown = sys.stderr.isatty() if verbose == "auto" else bool(verbose)
        self._what, self._total = what, total
        self._bar: Any = None
        self._task: Any = None
        self._rows = 0

    def __enter__(self) -> Progress:
        if self._shown:
            from rich import progress  # 40 ms that nobody pays who sees no bar
            from rich.console import Console

            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("batches, {task.fields[rows]:,} samples"),
                progress.TimeElapsedColumn(),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, rows=0)
        return self

    def advance(self, rows: int) -> None:
        """One batch of so many rows is done."""
        if self._bar is not None:
            self._rows += rows
            self._bar.update(self._task, advance=1, rows=self._rows)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
