"""Work on a run that goes on after it was closed: its small tables become Parquet, and what is left of it is sent to
its store, in a thread of its own.

Nobody waits for it but whoever writes to the same run next, and the interpreter's end.
"""

from __future__ import annotations

import concurrent.futures.thread  # its end is registered when it is imported; ours has to come before it
import os
import threading
from collections.abc import Callable
from pathlib import Path

from truetap.store.layout import is_url

__all__ = ["in_background", "wait_for"]

_RUNNING: dict[str, threading.Thread] = {}


def in_background(path: str | os.PathLike[str], work: Callable[[], None]) -> None:
    """Starts work on the run at a path or URL; one at a time for each."""
    thread = threading.Thread(target=work, name="truetap-compaction")
    wait_for(path)
    _RUNNING[_key(path)] = thread
    thread.start()


def wait_for(path: str | os.PathLike[str]) -> None:
    """Waits until what goes on in a run has ended."""
    thread = _RUNNING.pop(_key(path), None)
    if thread is not None and thread is not threading.current_thread():
        thread.join()


def _wait_for_all() -> None:
    for thread in list(_RUNNING.values()):
        thread.join()


def _key(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path)
    return text.rstrip("/") if is_url(text) else str(Path(text).resolve())


# Threads are waited for when the interpreter ends, but by then it has ended the pools in which a store's filesystem
# looks up names. Only this hook, which concurrent.futures uses itself, comes before.
_at_end = getattr(threading, "_register_atexit", None)
if _at_end is not None:
    assert concurrent.futures.thread
    _at_end(_wait_for_all)
