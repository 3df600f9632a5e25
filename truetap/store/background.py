"""Work on a run that goes on after it was closed: its small tables become Parquet in a thread of their own.

Nobody waits for it but whoever writes to the same run next, and the interpreter's end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

__all__ = ["in_background", "wait_for"]

_RUNNING: dict[Path, threading.Thread] = {}


def in_background(path: Path, work: Callable[[], None]) -> None:
    """Starts work on the run in a folder; one at a time for each."""
    thread = threading.Thread(target=work, name="truetap-compaction")
    wait_for(path)
    _RUNNING[path.resolve()] = thread
    thread.start()


def wait_for(path: Path) -> None:
    """Waits until what goes on in a folder has ended."""
    thread = _RUNNING.pop(path.resolve(), None)
    if thread is not None and thread is not threading.current_thread():
        thread.join()
