"""Reads a source: splits its elements, finds the ids, and says what looks wrong.

One reader is one pass. It draws no batch that wasn't asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.data.doubts import doubt_about_names, doubts_about_batch
from truetap.data.element import Parts, split, take_key
from truetap.data.source import Source
from truetap.errors import DataError, DataWarning, IdError
from truetap.ids import as_ids, check_unique

__all__ = ["Read", "Reader", "notice"]

Array = npt.NDArray[Any]


def notice(said: list[str], message: str) -> None:
    """Keeps a message for the report, once, and gives it as a warning."""
    if message not in said:
        said.append(message)
        warnings.warn(message, DataWarning, stacklevel=2)


@dataclass(frozen=True, slots=True)
class Read:
    """One batch as read: its place in the pass, its parts, and the ids and fingerprints that came with it."""

    step: int
    parts: Parts
    ids: Array | None
    fingerprints: Array | None = None


class Reader:
    """One pass over a source.

    Args:
        source: Where the batches come from.
        steps: How many to draw; None for all there are.
        ids: None; one id per sample in the source's order; the key of a dict that holds them; or a
            function from an element to its ids.
        labelled: Whether labels are needed.

    Raises:
        DataError: No end is known and no `steps` given.
        IdError: Ids that can't belong to this source.

    Attributes:
        notices: What was said on the way.
        steps_read: Batches drawn so far.
        expected_ids: The ids a whole pass should give, when known.
    """

    def __init__(self, source: Source, *, steps: int | None = None, ids: Any = None, labelled: bool = True) -> None:
        self.facts = source.facts
        self.notices: list[str] = []
        self.steps_read = 0
        self.samples_read = 0
        self._source = source
        self._labelled = labelled
        self._steps = _checked_steps(steps)
        self._key = ids if isinstance(ids, str) else None
        self._function: Callable[[Any], Any] | None = ids if callable(ids) else None
        self._id_kind: str | None = None
        self._listed: Array | None = None
        if ids is not None and self._key is None and self._function is None:
            self._listed = self._checked_list(ids)
        self.expected_ids = self.facts.expected_ids if ids is None else self._listed
        if self.facts.infinite and steps is None:
            raise DataError(
                f"This {self.facts.kind} has no end. Received: steps=None. Expected: steps=… batches to draw."
            )
        doubt = doubt_about_names(self.facts.class_names or ())
        if doubt is not None:
            notice(self.notices, doubt)

    @property
    def expected_steps(self) -> int | None:
        """Batches that one pass should give."""
        if self._steps is not None:
            return self._steps
        return None if self.facts.infinite else self.facts.num_batches

    @property
    def missing_steps(self) -> int:
        """Batches that were asked for by `steps` and did not come."""
        return 0 if self._steps is None else self._steps - self.steps_read

    def __iter__(self) -> Iterator[Read]:
        for drawn in self._source.draw(self._steps):
            element, ids = drawn.element, drawn.ids
            if self._key is not None:
                ids, element = take_key(element, self._key, self.facts.kind)
            elif self._function is not None:
                ids = self._function(element)
            parts = split(element, self.facts.kind, labelled=self._labelled)
            if self._listed is not None:
                ids = self._next_listed(parts.size)
            named = None if ids is None else as_ids(ids, parts.size)
            self._check_kind(named)
            read = Read(self.steps_read, parts, named, drawn.fingerprints)
            if self.steps_read == 0:
                for said in doubts_about_batch(parts):
                    notice(self.notices, said)
            self.steps_read += 1
            self.samples_read += parts.size
            yield read

    def _check_kind(self, ids: Array | None) -> None:
        if ids is None or not len(ids):
            return
        self._id_kind = self._id_kind or ids.dtype.kind
        if ids.dtype.kind != self._id_kind:
            raise IdError(
                f"Ids are all whole numbers or all strings. Received: both, the second kind in batch {self.steps_read} "
                f"of the {self.facts.kind}. Expected: one kind; str(id) makes strings of them."
            )

    def check_end(self) -> None:
        """Says what is wrong when a whole pass gave fewer samples than there are ids.

        Raises:
            IdError: The list of ids is longer than the data.
        """
        if self._listed is not None and self._steps is None and self.samples_read < len(self._listed):
            raise IdError(
                f"There are {len(self._listed)} ids, and the {self.facts.kind} gave {self.samples_read} "
                "samples. Expected: one id per sample, in their order."
            )

    def _checked_list(self, ids: Any) -> Array:
        listed = as_ids(ids, self.facts.num_samples if self.facts.shuffles is False else None)
        check_unique(listed)
        if self.facts.shuffles:
            raise IdError(
                f"A list of ids goes by position, and this {self.facts.kind} shuffles. Expected: "
                "tt.with_ids(data, ids) before the shuffling, ids='key' of a dict input, or, afterwards, "
                "samples.identify(unshuffled_data, ids)."
            )
        if self.facts.shuffles is None and not self.facts.one_shot:
            notice(
                self.notices,
                f"The ids were paired with the {self.facts.kind} by position; that it keeps the order of "
                "the ids can't be told from outside. tt.check_alignment(data) compares two passes.",
            )
        return listed

    def _next_listed(self, size: int) -> Array:
        assert self._listed is not None
        ids = self._listed[self.samples_read : self.samples_read + size]
        if len(ids) < size:
            raise IdError(
                f"There are {len(self._listed)} ids, and the {self.facts.kind} gave at least "
                f"{self.samples_read + size} samples. Expected: one id per sample; a generator that wraps "
                "around needs ids in the batch (ids='key' or a function)."
            )
        return ids


def _checked_steps(steps: int | None) -> int | None:
    if steps is not None and (not isinstance(steps, int | np.integer) or steps < 1):
        raise DataError(f"steps is a number of batches. Received: {steps!r}. Expected: None, or 1 or more.")
    return None if steps is None else int(steps)
