"""Digests by which a call is known again: of data in files, of arrays, of settings."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Any

import numpy as np

from truetap.engines.pieces import Files
from truetap.structure import flatten

__all__ = ["array_stamp", "files_stamp", "settings_stamp"]


def files_stamp(files: Files) -> str:
    """Of files: their paths, sizes and times of change. Nothing of them is read."""
    digest = hashlib.blake2b(files.kind.encode(), digest_size=16)
    for path in files.paths:
        stat = os.stat(path)
        digest.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def array_stamp(element: Any) -> str:
    """Of arrays in memory: all their values, at about a second per GB."""
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in flatten(element).items():
        if leaf is None:
            continue
        digest.update(f"{path}\0{leaf.dtype}\0{leaf.shape}\0".encode())
        if leaf.dtype.kind in "OSUT":
            digest.update("\0".join(map(str, leaf.reshape(-1).tolist())).encode())
        elif leaf.size:
            digest.update(np.ascontiguousarray(leaf).view(np.uint8).data)
    return digest.hexdigest()


def settings_stamp(**settings: Any) -> str:
    """Of what else decides about the rows, in words."""
    return ", ".join(f"{name}={_said(value)}" for name, value in settings.items())


def _said(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return array_stamp(value)
    if callable(value) and hasattr(value, "__qualname__"):
        return str(value.__qualname__)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
