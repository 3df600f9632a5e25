"""How a command ends, and the run that it begins with."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click

from truetap.errors import DamagedRunError, StoreError
from truetap.showing import plain

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["CUT_OFF", "INTERRUPTED", "NOT_THERE", "WRONG", "ctrl_c_ends", "fail", "open_run"]

WRONG, NOT_THERE, INTERRUPTED, CUT_OFF = 1, 2, 130, 141

_GRACE = 0.5  # seconds in which Python itself may end, where it can
_SHOW_CURSOR = b"\x1b[?25h"


def fail(message: object, code: int) -> NoReturn:
    """Ends with words on stderr."""
    click.echo(plain(str(message)), err=True)
    sys.exit(code)


def open_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder; without one, the command ends."""
    from truetap.run import Run  # takes a second, which neither --help nor completion needs

    try:
        return Run(path)
    except DamagedRunError as error:
        fail(error, WRONG)
    except StoreError as error:
        fail(error, NOT_THERE)


@contextmanager
def ctrl_c_ends() -> Iterator[None]:
    """Inside, Ctrl-C ends the command also while a library computes that doesn't look at signals, as DuckDB doesn't.

    Only for what reads: nothing is finished, closed or flushed.
    """
    seen, told = socket.socketpair()  # not a pipe: Windows takes none here
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno())
    pressed = threading.Event()

    def wait() -> None:
        if signal.SIGINT in seen.recv(1):
            pressed.set()
            time.sleep(_GRACE)
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)  # rich hides it while something moves
            os._exit(INTERRUPTED)

    watching = threading.Thread(target=wait, name="ctrl-c", daemon=True)
    watching.start()
    try:
        yield
    except RuntimeError:  # DuckDB's word for it, where it does look
        if pressed.wait(_GRACE / 2):
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.set_wakeup_fd(before)
        if not pressed.is_set():
            told.send(b"\0")
            watching.join(_GRACE)
            seen.close()
            told.close()
