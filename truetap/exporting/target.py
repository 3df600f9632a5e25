"""Where an export goes: a folder or a file that gets its name when it is whole, and that never replaces anything."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from truetap.errors import RunExistsError, StoreError
from truetap.store.layout import local_path

__all__ = ["files_in", "new_file", "new_folder"]


@contextlib.contextmanager
def new_folder(path: str) -> Iterator[Path]:
    """A folder to write into, which is moved to `path` at the end; on an error nothing of it is left.

    Args:
        path: A folder that doesn't exist, or is empty.

    Raises:
        RunExistsError: There is something at `path`.
        StoreError: It can't be written.
    """
    target = local_path(path)
    if target.exists() and not (target.is_dir() and _is_empty(target)):
        raise RunExistsError(
            f"There is something at the target already, and an export replaces nothing. Received: {path!r}. Expected: "
            "a folder that doesn't exist or is empty; remove it, or choose another."
        )
    with _written(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            if target.exists():
                target.rmdir()
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def new_file(path: str) -> Iterator[Path]:
    """A file to write, which is moved to `path` at the end; see `new_folder`."""
    target = local_path(path)
    if target.exists():
        raise RunExistsError(
            f"There is a file at the target already, and an export replaces nothing. Received: {path!r}. Expected: a "
            "name that is free."
        )
    with _written(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            yield partial
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)


def files_in(path: str) -> list[str]:
    """The files of a folder and those below, sorted."""
    return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())


@contextlib.contextmanager
def _written(path: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"The export can't be written. Received: {path!r} ({error.strerror or error}). Expected: a place that can "
            "be written, with room for it."
        ) from error


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None
