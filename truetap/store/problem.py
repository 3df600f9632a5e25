"""Something found to be wrong in a run's files."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file of a run.

    Attributes:
        file: Path of the file, or of the folder when a file is missing.
        offset: Byte at which the problem begins.
        what: What was found, in words.
        damage: Whether committed rows are affected. False for bytes that were never committed,
            such as the unfinished last write of a killed process.
    """

    file: str
    offset: int
    what: str
    damage: bool = True

    def __str__(self) -> str:
        return f"{self.file} at byte {self.offset}: {self.what}"


def damage(file: str | os.PathLike[str], offset: int, what: str) -> Problem:
    """A problem that costs committed rows."""
    return Problem(os.fspath(file), offset, what)


def uncommitted(file: str | os.PathLike[str], offset: int, what: str) -> Problem:
    """Bytes that no commit covers: nothing that counted is lost."""
    return Problem(os.fspath(file), offset, f"uncommitted: {what}", damage=False)
