"""Names for samples that were collected without: one walk over the data, compared by fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.data.opening import open_source
from truetap.data.reader import Reader
from truetap.data.source import nothing_came
from truetap.errors import IdError
from truetap.fingerprint import fingerprint
from truetap.identified import apart
from truetap.ids import repeated

__all__ = ["Naming", "walk"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Naming:
    """The fingerprints of a data set, and the name of the sample behind each.

    Attributes:
        prints: Fingerprints in the order of the walk, int64 of shape (n,).
        names: The names in the same order.
    """

    prints: Array
    names: Array

    @classmethod
    def of(
        cls, data: Any, ids: Any = None, *, steps: int | None = None, columns: tuple[str, ...] | None = None
    ) -> Naming:
        """Walks the data once.

        Args:
            data: Any source that `collect` takes; labels are not needed.
            ids: As for `collect`; None takes the names that the data carry, else row numbers.
            steps: Number of batches to walk.
            columns: Of a dict input, the columns that the model took.
        """
        prints, names, rows = [], [], 0
        for batch in walk(data, ids, steps=steps, columns=columns):
            if batch.ids is None and batch.shuffled:
                raise IdError(
                    f"Row numbers name samples only in an order that stays, and this {batch.shuffled} shuffles. "
                    "Expected: the data before the shuffling, or data that carry ids (tt.with_ids)."
                )
            prints.append(batch.prints)
            names.append(np.arange(rows, rows + len(batch.prints)) if batch.ids is None else batch.ids)
            rows += len(batch.prints)
        return cls(np.concatenate(prints), np.concatenate(names))

    def apply(self, prints: Array) -> tuple[Array, list[str]]:
        """The names of samples by their fingerprints, and what should be said about them.

        Identical inputs have several names: they are given out in order, the first to the first.

        Raises:
            IdError: No sample is known.
        """
        order = np.argsort(self.prints, kind="stable")
        known = self.prints[order]
        first = np.searchsorted(known, prints, side="left")
        count = np.searchsorted(known, prints, side="right") - first
        found = count > 0
        if len(prints) and not found.any():
            raise IdError(
                f"None of the {len(prints)} samples is in these data. Expected: the very inputs that were collected, "
                "with the same preprocessing; random augmentation changes them: then carry names by tt.with_ids."
            )
        nth = _occurrence(prints)
        place = order[np.where(found, first + nth % np.maximum(count, 1), 0)]
        return self._with_unknown(place, prints, found), self._said(prints, found, count)

    def _with_unknown(self, place: Array, prints: Array, found: Array) -> Array:
        names = self.names[place]
        if found.all():
            return names
        unknown = prints if names.dtype.kind == "i" else np.asarray([f"fingerprint:{p}" for p in prints], object)
        return np.where(found, names, unknown)

    def _said(self, prints: Array, found: Array, count: Array) -> list[str]:
        said = []
        if not found.all():
            said.append(
                f"{int((~found).sum()):,} of {len(prints):,} samples are not in these data and keep their fingerprint."
            )
        shared = int((count > 1).sum())
        if shared:
            twins = repeated(self.prints)
            said.append(
                f"{shared:,} samples have inputs that stand more than once in these data ({len(twins):,} such inputs): "
                "their names were given out in order, and may be exchanged among identical inputs."
            )
        return said


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """A batch of a walk over data.

    Attributes:
        x: The inputs, of the columns that the model took.
        prints: Their fingerprints, int64 (n,).
        ids: The names that the data carry or were given, (n,); None where there are none.
        shuffled: The kind of the data where they come in another order each time, else "".
    """

    x: Any
    prints: Array
    ids: Array | None
    shuffled: str


def walk(
    data: Any, ids: Any = None, *, steps: int | None = None, columns: tuple[str, ...] | None = None
) -> Iterator[Walked]:
    """The inputs of some data once, batch by batch, with their fingerprints; arguments as for `Naming.of`."""
    data, ids = apart(data, ids)
    reader = Reader(open_source(data), steps=steps, ids=ids, labelled=False)
    for read in reader:
        x = read.parts.host_x()
        if columns and isinstance(x, Mapping) and set(columns) <= set(x):
            x = {key: x[key] for key in columns}
        yield Walked(x, fingerprint(x), read.ids, reader.facts.kind if reader.facts.shuffles else "")
    if not reader.samples_read:
        raise nothing_came(reader.facts.kind)
    reader.check_end()


def _occurrence(values: Array) -> Array:
    """For each value, how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    position = np.arange(len(values))
    nth = np.empty(len(values), np.int64)
    nth[order] = position - np.maximum.accumulate(np.where(starts, position, 0))
    return nth
