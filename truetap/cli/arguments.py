"""What several commands take: the folder of a run, completed in a shell, and `--json`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

__all__ = ["FILE", "FOLDER", "RUN", "RunFolder", "as_json"]

_MOST_SEEN, _DEEPEST = 1_000, 2


class RunFolder(click.ParamType):  # type: ignore[type-arg]  # generic from Click 8.4 on
    """The folder of a run; a shell completes those that are there."""

    name = "run"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Runs at most two folders below what was typed; folders, where there are none."""
        parent, begun = os.path.split(incomplete)
        found = list(_runs(Path(parent or "."), begun, 0))
        prefix = parent if parent in ("", os.sep) else parent + os.sep
        return [CompletionItem(prefix + run) for run in sorted(found)] or [CompletionItem(incomplete, type="dir")]


def _runs(folder: Path, begun: str, depth: int) -> Iterator[str]:
    """Paths of runs, from the folder on, whose first part begins so; hidden ones only if that was typed."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)[:_MOST_SEEN]
    except OSError:  # a folder that isn't there, or can't be read, completes to nothing
        return
    for entry in entries:
        if not entry.name.startswith(begun) or (entry.name.startswith(".") and not begun) or not entry.is_dir():
            continue
        if os.path.exists(os.path.join(entry.path, "manifest.json")):
            yield entry.name
        elif depth < _DEEPEST:
            yield from (os.path.join(entry.name, run) for run in _runs(Path(entry.path), "", depth + 1))


RUN = RunFolder()
FILE = click.Path(dir_okay=False)
FOLDER = click.Path(file_okay=False)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
