"""Which phase and which epochs are meant: what the caller said against what was recorded."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from truetap.errors import NotRecordedError, StoreError

__all__ = ["Epochs", "choose_epochs", "choose_phase", "spans"]

Epochs: TypeAlias = "int | Iterable[int] | None"


def choose_phase(phase: str | None, recorded: Mapping[str, Sequence[int]], what: str = "samples") -> str:
    """The phase that is meant; "train" if it is there and none is said, else the only one.

    Args:
        phase: What the caller said.
        recorded: The phases there are, with their epochs.
        what: What is read, for the error.

    Raises:
        NotRecordedError: There is no such phase.
        StoreError: There are several, and none was said.

    Example:
        >>> choose_phase(None, {"val": [0], "train": [0, 1]})
        'train'
    """
    listed = ", ".join(map(repr, recorded)) or "none"
    if phase is None:
        if "train" in recorded:
            return "train"
        if len(recorded) == 1:
            return next(iter(recorded))
        raise StoreError(f"Which {what} are meant? Received: no phase. Expected: phase= one of {listed}.")
    if phase not in recorded:
        raise NotRecordedError(f"No {what} of that phase are recorded. Received: phase={phase!r}. Expected: {listed}.")
    return phase


def choose_epochs(epoch: Epochs, recorded: Sequence[int], where: str) -> list[int]:
    """The epochs that are meant, in the order of time.

    Args:
        epoch: A number, several, or None for all; negative ones count from the last that is recorded.
        recorded: The epochs there are, in order.
        where: Words for the error, such as "phase 'train'".

    Raises:
        NotRecordedError: One of them isn't recorded.
        StoreError: They are no whole numbers.

    Example:
        >>> choose_epochs(-1, [0, 2, 4], "phase 'train'"), choose_epochs(range(3), [0, 1, 2], "phase 'train'")
        ([4], [0, 1, 2])
    """
    if epoch is None:
        return list(recorded)
    return sorted({_one(asked, recorded, where) for asked in _numbers(epoch)})


def _numbers(epoch: Any) -> list[int]:
    several = list(epoch) if isinstance(epoch, Iterable) and not isinstance(epoch, str) else [epoch]
    try:
        if any(isinstance(item, bool) for item in several):
            raise TypeError
        return [operator.index(item) for item in several]
    except TypeError:
        raise StoreError(
            f"Epochs are whole numbers. Received: epoch={epoch!r}. Expected: a number such as -1, a range or list of "
            "them, or None for all."
        ) from None


def _one(asked: int, recorded: Sequence[int], where: str) -> int:
    if asked < 0 and -asked <= len(recorded):
        return recorded[asked]
    if asked not in recorded:
        raise NotRecordedError(
            f"That epoch of {where} isn't recorded. Received: epoch {asked}. Expected: {spans(recorded)}."
        )
    return asked


def spans(numbers: Iterable[int], most: int = 12) -> str:
    """Numbers in words, runs of them joined.

    Example:
        >>> spans([0, 1, 2, 3, 7, 10])
        '0 to 3, 7, 10'
        >>> spans(range(0, 100, 10), most=4)
        '0, 10, 20, …, 90 (10 in all)'
    """
    ordered = sorted(set(numbers))
    if not ordered:
        return "none"
    runs: list[list[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    said = [part for run in runs for part in (_span(run) if len(run) > 2 else map(str, run))]
    if len(said) <= most:
        return ", ".join(said)
    return ", ".join([*said[: most - 1], "…", said[-1]]) + f" ({len(ordered):,} in all)"


def _span(run: list[int]) -> list[str]:
    return [f"{run[0]} to {run[-1]}"]
