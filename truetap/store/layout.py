"""Where things lie inside a run folder, and which names may lead there.

Names come from callers and from files that others wrote, so each is checked before it becomes part
of a path: nothing in a manifest can point outside its run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from truetap.errors import StoreError
from truetap.store.files import P, Place, files_of

MANIFEST = "manifest.json"

_UNFINISHED_MANIFEST = re.compile(r"\.(manifest(?:-[0-9]{5})?\.json)\.[0-9]+")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # two letters or more: "C:/" is a path
_TABLE = re.compile(r"\w[\w.#=@+-]{0,119}")
_WORKER = re.compile(r"worker-[0-9]{5}")
_SEGMENT = re.compile(r"seg-([0-9]{6})\.(?:arrow|log)")
_PHASE = re.compile(r"\w[\w-]{0,59}")
_PARQUET = re.compile(r"(?:phase=(\w[\w-]{0,59})/epoch=(-?[0-9]{1,10})/)?part-(?:w([0-9]{5})-)?([0-9]{6})\.parquet")


def local_path(path: str | os.PathLike[str]) -> Path:
    """The path as a `Path`, if it is one on this machine.

    Raises:
        StoreError: It is a URL.
    """
    text = os.fspath(path)
    if is_url(text):
        raise StoreError(
            f"This is written to this machine only. Received: {text!r}. Expected: a path on this machine; copy the "
            "finished files to the store with its own tools, or a run by truetap upload."
        )
    return Path(text)


def is_url(text: str) -> bool:
    """Whether this names something in a store, rather than a path on this machine."""
    return bool(_URL.match(text))


def is_table(name: str) -> bool:
    """Whether a table may have this name: one plain folder name, the same on every system."""
    return bool(_TABLE.fullmatch(name)) and ".." not in name and name != MANIFEST


def is_worker(name: str) -> bool:
    """Whether this is the name of a worker's folder."""
    return bool(_WORKER.fullmatch(name))


def check_table(name: str) -> str:
    """The name, if a table may have it.

    Raises:
        StoreError: It could lead out of the run folder, or no folder can have it.
    """
    if not is_table(name):
        raise StoreError(
            f"A table can't have this name. Received: {name!r}. Expected: up to 120 letters, digits "
            "and any of _ . # = @ + -, starting with a letter, a digit or _, without '..'."
        )
    return name


def segment_file(worker: P, number: int) -> P:
    """Path of a segment's data; `log_file` has the path of its log."""
    return worker / f"seg-{number:06d}.arrow"


def log_file(segment: P) -> P:
    """Path of the commit log of a segment."""
    return segment.with_suffix(".log")


def worker_folders(table: P) -> list[P]:
    """The folders of the workers that wrote to a table, in order; none when there is no table.

    Raises:
        StoreError: One of them is a link, or can't be listed.
    """
    return [table / name for name in sorted(_names(table)) if is_worker(name)]


def segment_numbers(worker: Place) -> list[int]:
    """Numbers of a worker's segments, in order; one whose data or log is missing is counted."""
    found = (_SEGMENT.fullmatch(name) for name in _names(worker))
    return sorted({int(match[1]) for match in found if match})


def segment_number(name: str) -> int:
    """The number of a segment, told from its file's name."""
    match = _SEGMENT.fullmatch(name)
    assert match is not None, name
    return int(match[1])


def is_phase(name: str) -> bool:
    """Whether a folder can be named after this phase, the same on every system."""
    return bool(_PHASE.fullmatch(name))


def parquet_path(number: int, part: tuple[str, int] | None, rank: int = 0) -> str:
    """Where a worker's Parquet file lies in its table's folder: in Hive folders when it is of one part."""
    folder = f"phase={part[0]}/epoch={part[1]}/" if part else ""
    return f"{folder}part-{f'w{rank:05d}-' if rank else ''}{number:06d}.parquet"


def rank_of(path: str) -> int:
    """The rank of the worker whose Parquet file has this path."""
    match = _PARQUET.fullmatch(path)
    return int(match[3]) if match and match[3] else 0


def is_parquet(path: str) -> bool:
    """Whether this is a path that `parquet_path` gives."""
    return bool(_PARQUET.fullmatch(path))


def part_of(path: str) -> tuple[str, int] | None:
    """Phase and epoch of the rows in a Parquet file, told from its path."""
    match = _PARQUET.fullmatch(path)
    return (match[1], int(match[2])) if match and match[1] else None


def parquet_number(path: str) -> int:
    """The number of a Parquet file, told from its path."""
    match = _PARQUET.fullmatch(path)
    assert match is not None, path
    return int(match[4])


def unfinished_manifest(manifest: Path) -> Path:
    """Where this process writes a manifest before it is whole."""
    return manifest.with_name(f".{manifest.name}.{os.getpid()}")


def is_unfinished_manifest(name: str, manifest: str | None = None) -> bool:
    """Whether `unfinished_manifest` gives files this name: one that is left is of a process that was killed.

    Args:
        name: The file's name.
        manifest: That of the manifest; any by default.
    """
    match = _UNFINISHED_MANIFEST.fullmatch(name)
    return match is not None and manifest in (None, match[1])


def unfinished(path: Path) -> Path:
    """Where a Parquet file is written before it is whole."""
    return path.with_name(f".{path.name}.tmp")


def _names(folder: Place) -> list[str]:
    try:
        return files_of(folder).names(folder)  # none: a table is announced before its first row is committed
    except OSError as error:
        raise StoreError(f"Can't list the folder {str(folder)!r}: {error.strerror or error}.") from error
