"""The command line as people and programs call it: with pipes, and at a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from typing import Any

from truetap.cli import main

COMMAND = [sys.executable, "-m", "truetap"]
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**more: str) -> dict[str, str]:
    """Ours, without what would choose colours or widths."""
    left = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**left, "PYTHONPATH": os.pathsep.join(each or "." for each in sys.path), "TERM": "xterm-256color", **more}


def call(*arguments: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    """What a program gets."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=cwd, env=environment(**more))


def inside(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own, where what is imported once need not be imported again."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code: Any = None
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main.main(args=list(map(str, arguments)), prog_name="truetap")
        except SystemExit as ended:
            code = ended.code
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode())
    return subprocess.CompletedProcess(list(map(str, arguments)), code or 0, *said)


@dataclass(frozen=True)
class Seen:
    """What a person saw.

    Attributes:
        code: The exit code.
        raw: All that was written to the terminal, escape codes included.
    """

    code: int
    raw: str

    @property
    def text(self) -> str:
        """The same without escape codes."""
        return _CODES.sub("", self.raw).replace("\r\n", "\n")


def at_a_terminal(*arguments: object, cwd: Path | None = None, columns: int = 100, **more: str) -> Seen:
    """What a person sees."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [*COMMAND, *map(str, arguments)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, env=environment(**more), start_new_session=True
    )
    os.close(theirs)
    parts = []
    with suppress(OSError):  # what a terminal gives whose other end is closed
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    return Seen(process.wait(timeout=240), b"".join(parts).decode())
