"""What a pass saw: how many samples, which twice, which not at all, where the source wrapped around.

A recorded training has several passes, its epochs: a sample comes in each of them, and is seen twice
only when it comes twice in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.data.reader import notice
from truetap.ids import repeated

if TYPE_CHECKING:
    from truetap.samples import Samples

__all__ = ["MOST_ROWS_LOOKED_AT", "Seen", "doubt", "look", "say_what_was_seen"]

Array = npt.NDArray[Any]

MOST_ROWS_LOOKED_AT = 1_000_000  # rows up to which every collection is looked at for repetition


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts of one pass, or of the epochs of a recorded run.

    Attributes:
        samples: Rows that came.
        expected: Rows that should come, when known.
        steps: Batches that came.
        expected_steps: Batches that should come, when known.
        unique: Different ids among the rows.
        duplicates: Ids that came more than once in a pass; for fingerprints, inputs that are identical.
        missing: Ids that should have come and did not; None when it isn't known which should.
        repeated_steps: Pairs (step, earlier step) of batches of a pass with the very same samples.
        wrapped_at: The row from which on the source gave the first samples of a pass again, or None.
        passes: How many passes there were.
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
    passes: int = 1

    def __str__(self) -> str:
        lines = [
            _of(self.samples, self.expected, "sample"),
            _of(self.steps, self.expected_steps, "batch", "batches"),
        ]
        if self.passes > 1:
            lines.append(f"{self.passes:,} epochs")
        again = "more than once in an epoch" if self.passes > 1 else "more than once"
        lines.append(f"{self.unique:,} different ids, {len(self.duplicates):,} of them {again}")
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
    passes: Array | None = None,
    expected: int | None = None,
    expected_steps: int | None = None,
    expected_ids: Array | None = None,
) -> Seen:
    """Counts what came.

    Args:
        ids: Sample ids in the order they came, shape (n,).
        prints: Fingerprints in the same order.
        steps: The batch of each row.
        passes: The pass of each row, such as its epoch, whole numbers that grow; None for one pass.
        expected: Rows of one pass, when known.
        expected_steps: Batches of one pass, when known.
        expected_ids: The ids of one whole pass, when known.
    """
    if passes is not None and (passes[1:] < passes[:-1]).any():  # rows that someone chose and ordered
        order = np.argsort(passes, kind="stable")
        ids, prints, steps, passes = ids[order], prints[order], steps[order], passes[order]
    missing = None
    if expected_ids is not None:
        known = set(ids.tolist())
        missing = np.asarray([item for item in expected_ids.tolist() if item not in known], dtype=ids.dtype)
        expected = len(expected_ids)
    ends = [0, len(ids)] if passes is None or not len(ids) else _edges(passes)
    count = len(ends) - 1
    steps_seen = 0
    repetitions: list[tuple[int, int]] = []
    wraps: list[int] = []
    for start, stop in pairwise(ends):
        edges = _edges(steps[start:stop])
        batches = [prints[start + first : start + last] for first, last in pairwise(edges)]
        steps_seen += len(batches)
        repetitions.extend(_repeated_steps(batches, steps[start:stop][edges[:-1]]))
        wrap = _wrapped_at(prints[start:stop])
        wraps.extend([] if wrap is None else [start + wrap])
    return Seen(
        samples=len(ids),
        expected=None if expected is None else expected * count,
        steps=steps_seen,
        expected_steps=None if expected_steps is None else expected_steps * count,
        unique=len(np.unique(ids)),
        duplicates=repeated(ids) if count == 1 else _repeated_in_a_pass(ids, ends),
        missing=missing,
        repeated_steps=tuple(repetitions),
        wrapped_at=wraps[0] if wraps else None,
        passes=count,
    )


def _edges(values: Array) -> list[int]:
    """Where runs of equal values begin, and the end."""
    if not len(values):
        return [0]
    return [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]


def _repeated_in_a_pass(ids: Array, ends: list[int]) -> Array:
    names, codes = np.unique(ids, return_inverse=True)
    again = [repeated(codes[start:stop]) for start, stop in pairwise(ends)]
    return np.asarray(names[np.unique(np.concatenate(again))])


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


def say_what_was_seen(samples: Samples) -> None:
    """Warns of wrap-around and repeated ids; of many rows only `samples.seen` says it, when it is asked for."""
    if len(samples) > MOST_ROWS_LOOKED_AT:
        return
    message = doubt(samples.seen, given=not np.array_equal(samples.ids, samples.fingerprints))
    if message is not None:
        notice(samples.notices, message)


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
