"""What the server says when it can't answer: what was received, what was expected, what to do; never a traceback."""

from __future__ import annotations

import re

from truetap.errors import (
    DamagedRunError,
    IdError,
    NotRecordedError,
    StoreError,
    StructureError,
    TaskError,
    TruetapError,
)

__all__ = ["Refusal", "refusal_of"]

_PARTS = re.compile(r"(?P<head>.*?)Received: (?P<received>.*?)\.?\s*Expected: (?P<expected>.*)", re.DOTALL)
_ABSENT = (NotRecordedError, IdError)
_UNFIT = (TaskError, StructureError)


class Refusal(Exception):
    """An answer with a status of 400 or above.

    Args:
        status: Of HTTP.
        received: What was received.
        expected: What was expected.
        do: What to do.
    """

    def __init__(self, status: int, received: str, expected: str, do: str) -> None:
        super().__init__(received)
        self.status, self.received, self.expected, self.do = status, received, expected, do

    def to_json(self) -> dict[str, str]:
        """The three sentences by name."""
        return {"received": self.received, "expected": self.expected, "do": self.do}


def refusal_of(error: TruetapError) -> Refusal:
    """The refusal that stands for an error of the library, whose message has the same three parts."""
    found = _PARTS.fullmatch(str(error))
    received = str(error) if found is None else f"{found['head']}{found['received']}".strip()
    expected = "a run that can be read" if found is None else found["expected"]
    if isinstance(error, _ABSENT):
        return Refusal(404, received, expected, "Choose one that is recorded.")
    if isinstance(error, _UNFIT):
        return Refusal(422, received, expected, "Look at another output, or at the samples themselves.")
    if isinstance(error, DamagedRunError):
        return Refusal(409, received, expected, "Run truetap verify on it.")
    if isinstance(error, StoreError):
        return Refusal(410, received, expected, "See whether the run was moved or removed, and serve it anew.")
    return Refusal(422, received, expected, "Look at the message.")
