"""What a path or URL that a user gave means: a folder of this machine, or one in a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from truetap.errors import StoreError
from truetap.store.layout import is_url
from truetap.store.remote.overlay import being_sent
from truetap.store.remote.path import RemotePath, connected

__all__ = ["AnyPlace", "place_of"]

AnyPlace: TypeAlias = "Path | RemotePath"

_HERE = ("file://", "local://")


def place_of(path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None) -> AnyPlace:
    """The place that is meant.

    Args:
        path: A path, or a URL that fsspec knows.
        storage_options: For a URL, what its filesystem is made with.

    Raises:
        StoreError: The URL's store can't be opened, or there are options for a path.
    """
    if isinstance(path, Path | RemotePath):
        return path
    text = os.fspath(path)
    if is_url(text) and not text.startswith(_HERE):
        place = connected(text, storage_options)
        sent = being_sent(place.url)
        return sent if sent is not None and (not storage_options or sent.filesystem == place.filesystem) else place
    if storage_options:
        raise StoreError(
            f"storage_options= are for stores. Received: {text!r}, a path on this machine. Expected: a URL such as "
            "'s3://bucket/run', or no options."
        )
    return Path(text.partition("://")[2] if text.startswith(_HERE) else text)
