"""Words for someone who opened a folder that holds no run: where one is."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from truetap.errors import near_names
from truetap.store.layout import MANIFEST
from truetap.store.place import AnyPlace
from truetap.store.remote.nearby import whereabouts as whereabouts_in_store
from truetap.store.remote.path import RemotePath

_LOOKED_AT = 1000  # entries of one folder, so that a wrong path into a big data set costs little


def whereabouts(path: AnyPlace) -> str:
    """What to try instead of `path`."""
    if isinstance(path, RemotePath):
        return whereabouts_in_store(path)
    for parent in path.absolute().parents:
        if (parent / MANIFEST).is_file():
            return f"It is inside a run: open {str(parent)!r}."
    if path.is_dir():
        runs = _runs_below(path)
        if runs:
            shown = ", ".join(repr(str(run)) for run in runs[:5])
            more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
            return f"There are runs below it: {shown}{more}."
        return f"It holds no {MANIFEST!r}, and neither do its subfolders."
    if path.exists():
        return "It is a file; a run is a folder."
    if not path.parent.is_dir():
        return f"The folder {str(path.parent)!r} doesn't exist either."
    return "It doesn't exist. " + near_names(path.name, (run.name for run in _runs_below(path.parent, depth=1)))


def _runs_below(folder: Path, depth: int = 2) -> list[Path]:
    found: list[Path] = []
    for child in _folders(folder):
        if (child / MANIFEST).is_file():
            found.append(child)
        elif depth > 1:
            found.extend(_runs_below(child, depth - 1))
    return sorted(found)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry in islice(entries, _LOOKED_AT) if entry.is_dir()]
    except OSError:  # a folder we may not look into has nothing to suggest
        return []
