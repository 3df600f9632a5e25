"""Words for someone who gave the URL of something that is no run: where one is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from truetap.errors import near_names
from truetap.store.layout import MANIFEST
from truetap.store.remote.path import RemotePath

_LOOKED_AT = 20  # folders, each of which is a request


def whereabouts(path: RemotePath) -> str:
    """What to try instead of `path`."""
    try:
        return _told(path)
    except OSError as error:
        return f"What is beside it can't be told: {error.strerror or error}."


def _told(path: RemotePath) -> str:
    parent = path.parent
    while parent.path and parent.path != parent.parent.path:
        if (parent / MANIFEST).exists():
            return f"It is inside a run: open {parent.url!r}."
        parent = parent.parent
    inside = path.listed()
    below = _folders(path, inside)
    runs = [folder.url for folder in below[:_LOOKED_AT] if (folder / MANIFEST).exists()]
    if runs:
        shown = ", ".join(map(repr, runs[:5]))
        more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
        return f"There are runs below it: {shown}{more}."
    if inside:
        return f"It holds no {MANIFEST!r}, and neither do its subfolders."
    beside = [folder.name for folder in _folders(path.parent, path.parent.listed())]
    if not beside:
        return f"There is no folder in {path.parent.url!r} either: check the bucket and the path."
    return "It doesn't exist. " + near_names(path.name, beside)


def _folders(path: RemotePath, inside: Sequence[Mapping[str, Any]]) -> list[RemotePath]:
    return [path / entry["name"].rstrip("/").rpartition("/")[2] for entry in inside if entry["type"] != "file"]
