"""What a pass saw: how many samples, which twice, which not at all, where the source wrapped around."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.ids import repeated

__all__ = ["Seen", "doubt", "look"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts of one pass.

    Attributes:
        samples: Rows that came.
        expected: Rows that one pass should give, when known.
        steps: Batches that came.
        expected_steps: Batches that should come, when known.
        unique: Different ids among the rows.
        duplicates: Ids that came more than once; for fingerprints, inputs that are identical.
        missing: Ids that should have come and did not; None when it isn't known which should.
        repeated_steps: Pairs (step, earlier step) of batches with the very same samples.
        wrapped_at: The row from which on the source gave its first samples again, or None.
    """

    samples: int
    expected: int | None
    steps: int
    expected_steps: int | None
    unique: int
    duplicates: Array
    missing: Array | None
    repeated_steps: tuple[tuple[int, int], ...]
    wrapped_at: int | None

    def __str__(self) -> str:
        lines = [
            _of(self.samples, self.expected, "sample"),
            _of(self.steps, self.expected_steps, "batch", "batches"),
        ]
        lines.append(f"{self.unique:,} different ids, {len(self.duplicates):,} of them more than once")
        if self.missing is not None:
            lines.append(f"{len(self.missing):,} expected ids missing")
        if self.wrapped_at is not None:
            lines.append(f"from row {self.wrapped_at:,} on the source starts over")
        if self.repeated_steps:
            lines.append(f"{len(self.repeated_steps):,} batches repeat an earlier one")
        return "; ".join(lines)


def _of(count: int, expected: int | None, noun: str, plural: str | None = None) -> str:
    word = noun if count == 1 and expected in (None, 1) else plural or f"{noun}s"
    return f"{count:,} {word}" if expected is None else f"{count:,} of {expected:,} {word}"


def look(
    ids: Array,
    prints: Array,
    steps: Array,
    *,
    expected: int | None = None,
    expected_steps: int | None = None,
    expected_ids: Array | None = None,
) -> Seen:
    """Counts what came.

    Args:
        ids: Sample ids in the order they came, shape (n,).
        prints: Fingerprints in the same order.
        steps: The batch of each row.
        expected: Rows of one pass, when known.
        expected_steps: Batches of one pass, when known.
        expected_ids: The ids of one whole pass, when known.
    """
    starts = np.flatnonzero(np.r_[True, steps[1:] != steps[:-1]]) if len(steps) else np.zeros(0, np.int64)
    missing = None
    if expected_ids is not None:
        known = set(ids.tolist())
        missing = np.asarray([item for item in expected_ids.tolist() if item not in known], dtype=ids.dtype)
    return Seen(
        samples=len(ids),
        expected=len(expected_ids) if expected_ids is not None else expected,
        steps=len(starts),
        expected_steps=expected_steps,
        unique=len(np.unique(ids)),
        duplicates=repeated(ids),
        missing=missing,
        repeated_steps=_repeated_steps(np.split(prints, starts[1:]), steps[starts]),
        wrapped_at=_wrapped_at(prints),
    )


def doubt(seen: Seen, *, given: bool) -> str | None:
    """What should be said of a pass, or None.

    Args:
        seen: What came.
        given: Whether the ids were given; repeated fingerprints alone are identical inputs.
    """
    if seen.wrapped_at is not None:
        return (
            f"From row {seen.wrapped_at:,} on the source starts over: {seen.unique:,} different samples came in "
            f"{seen.samples:,} rows. samples.drop_duplicates() keeps the first of each; steps= ends earlier."
        )
    if given and len(seen.duplicates):
        shown = ", ".join(repr(item) for item in seen.duplicates[:3].tolist())
        return (
            f"{len(seen.duplicates):,} ids came more than once, such as {shown}. samples.drop_duplicates() keeps the "
            "first of each."
        )
    if seen.repeated_steps:
        step, earlier = seen.repeated_steps[0]
        return (
            f"Batch {step} holds the very samples of batch {earlier} ({len(seen.repeated_steps):,} such batches): a "
            "source that repeats itself, or identical inputs."
        )
    return None


def _repeated_steps(batches: Sequence[Array], steps: Array) -> tuple[tuple[int, int], ...]:
    first: dict[bytes, int] = {}
    found = []
    for prints, step in zip(batches, steps.tolist(), strict=True):
        earlier = first.setdefault(prints.tobytes(), step)
        if earlier != step:
            found.append((step, earlier))
    return tuple(found)


_MOST_TRIES = 32  # whole comparisons, when long stretches of identical inputs look like a beginning


def _wrapped_at(prints: Array) -> int | None:
    """The row from which on everything that follows is the beginning again, two rows at least."""
    rows = len(prints)
    if rows < 2 or (prints == prints[0]).all():
        return None
    tries = 0
    for start in np.flatnonzero(prints == prints[0])[1:].tolist():
        few = min(64, start, rows - start)
        if rows - start < 2 or not np.array_equal(prints[start : start + few], prints[:few]):
            continue
        if np.array_equal(prints[start:], np.resize(prints[:start], rows - start)):
            return int(start)
        tries += 1
        if tries == _MOST_TRIES:
            return None
    return None
