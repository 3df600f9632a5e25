"""Names as a tool wants them: what it doesn't allow is replaced, and no two become the same."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Distinct", "valid_text"]


class Distinct:
    """Maps names to allowed ones; of those that would become the same, later ones end in -2, -3, ….

    Args:
        allowed: Gives the nearest allowed name.
        most: How long a name may be, in characters.

    Example:
        >>> distinct = Distinct(lambda name: name.replace("#", "_"))
        >>> distinct("shared#1"), distinct("shared_1"), distinct("shared#1")
        ('shared_1', 'shared_1-2', 'shared_1')
    """

    def __init__(self, allowed: Callable[[str], str], most: int = 10_000) -> None:
        self._allowed, self._most = allowed, most
        self._known: dict[str, str] = {}
        self._taken: set[str] = set()

    def __call__(self, name: str) -> str:
        if name not in self._known:
            first = self._allowed(name)
            found, number = first[: self._most], 2
            while found in self._taken:
                suffix = f"-{number}"
                found, number = first[: self._most - len(suffix)] + suffix, number + 1
            self._taken.add(found)
            self._known[name] = found
        return self._known[name]


def valid_text(text: str) -> str:
    """The text with what UTF-8 can't say, halves of surrogate pairs, as question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
