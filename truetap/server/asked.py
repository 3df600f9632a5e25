"""What a request asks for, read from its query: every value is checked here, and nothing else of it is used."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from starlette.datastructures import QueryParams

from truetap.errors import near_names
from truetap.server.refusal import Refusal

__all__ = ["Asked"]

_LISTS = ("ids",)
_LARGEST = 2**53
_LONGEST, _LONGEST_LIST = 500, 30_000


class Asked:
    """The parameters of one request.

    Args:
        given: As they came.
        known: Names of those that this request may have.

    Raises:
        Refusal: One is unknown, or comes twice, or is very long.
    """

    def __init__(self, given: QueryParams, known: Collection[str]) -> None:
        self._given: dict[str, str] = {}
        for name, value in given.multi_items():
            if name not in known:
                raise _refused(
                    f"the parameter {name[:50]!r}", f"one of {sorted(known)}. {near_names(name[:50], known)}"
                )
            if name in self._given:
                raise _refused(f"the parameter {name!r} twice", "each once")
            longest = _LONGEST_LIST if name in _LISTS else _LONGEST
            if len(value) > longest:
                raise _refused(f"{name} of {len(value):,} characters", f"{longest:,} at most")
            self._given[name] = value

    def text(self, name: str) -> str:
        """A string, "" where there is none."""
        return self._given.get(name, "")

    def number(self, name: str, default: int, low: int = 0, high: int = _LARGEST) -> int:
        """A whole number within limits, these included."""
        return default if name not in self._given else _whole(name, self._given[name], low, high)

    def optional(self, name: str, low: int = 0, high: int = _LARGEST) -> int | None:
        """A whole number, or None where there is none."""
        return None if self._given.get(name, "") == "" else _whole(name, self._given[name], low, high)

    def numbers(self, name: str, high: int, most: int) -> list[int]:
        """Whole numbers between commas, from 0."""
        parts = [part for part in self.text(name).split(",") if part.strip()]
        if len(parts) > most:
            raise _refused(f"{len(parts)} numbers in {name}", f"{most} at most")
        return list(dict.fromkeys(_whole(name, part.strip(), 0, high) for part in parts))

    def words(self, name: str, most: int) -> list[str]:
        """Strings, in a JSON list."""
        try:
            found = json.loads(self._given.get(name, "[]"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or len(found) > most or not all(isinstance(each, str) for each in found):
            raise _refused(f"{name}={self._given[name][:50]!r}", f"a JSON list of {most} strings at most")
        return found

    def choice(self, name: str, options: Sequence[str], default: str) -> str:
        """One of some words."""
        value = self._given.get(name, default)
        if value not in options:
            raise _refused(f"{name}={value[:50]!r}", f"one of {list(options)}")
        return value

    def flag(self, name: str) -> bool:
        """Whether it is "1"."""
        return self.choice(name, ("", "0", "1"), "") == "1"


def _whole(name: str, value: str, low: int, high: int) -> int:
    plain = value.removeprefix("-")
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 20 and low <= int(value) <= high):
        raise _refused(f"{name}={value[:50]!r}", f"a whole number from {low:,} to {high:,}")
    return int(value)


def _refused(received: str, expected: str) -> Refusal:
    return Refusal(400, received, expected, "Correct the address, or begin anew at /.")
