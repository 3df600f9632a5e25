"""Names for samples that were collected without: one walk over the data, compared by fingerprint.

Row numbers are names only in an order that stays. Of data that don't say whether it does, the first rows are read a
second time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.data.opening import open_source
from truetap.data.reader import Reader
from truetap.data.source import Facts, nothing_came
from truetap.errors import DataWarning, IdError
from truetap.fingerprint import fingerprint
from truetap.identified import apart
from truetap.ids import repeated

__all__ = ["Naming", "walk"]

Array = npt.NDArray[Any]

_LOOKED_AT_TWICE = 1_024  # rows: an order that changes shows in the first few


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

        Raises:
            IdError: Samples would be called by row numbers, and come in another order each time.
        """
        prints, names, rows = [], [], 0
        for batch in walk(data, ids, steps=steps, columns=columns):
            if batch.ids is None and batch.facts.shuffles:
                raise _no_order(batch.facts.kind, "shuffles")
            prints.append(batch.prints)
            names.append(np.arange(rows, rows + len(batch.prints)) if batch.ids is None else batch.ids)
            rows += len(batch.prints)
        found = np.concatenate(prints)
        if batch.ids is None and batch.facts.shuffles is None:
            _check_order(data, found, batch.facts, steps=steps, columns=columns)
        return cls(found, np.concatenate(names))

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
        facts: What the source says of itself.
    """

    x: Any
    prints: Array
    ids: Array | None
    facts: Facts


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
        yield Walked(x, fingerprint(x), read.ids, reader.facts)
    if not reader.samples_read:
        raise nothing_came(reader.facts.kind)
    reader.check_end()


def _check_order(data: Any, found: Array, facts: Facts, *, steps: int | None, columns: tuple[str, ...] | None) -> None:
    """Reads the first rows once more, of data that don't say whether their order stays."""
    if facts.one_shot:
        warnings.warn(
            f"The samples are called by their rows in this pass over the {facts.kind}, which can't be read twice: "
            "whether their order stays can't be told. Ids that travel with the data don't depend on it (tt.with_ids).",
            DataWarning,
            stacklevel=4,
        )
        return
    again: list[Array] = []
    for batch in walk(data, steps=steps, columns=columns):
        again.append(batch.prints)
        if sum(map(len, again)) >= min(len(found), _LOOKED_AT_TWICE):
            break
    second = np.concatenate(again)
    if len(second) > len(found) or not np.array_equal(second, found[: len(second)]):
        raise _no_order(facts.kind, "gives other rows, or another order, the second time")


def _no_order(kind: str, what: str) -> IdError:
    return IdError(
        f"Row numbers name samples only in an order that stays, and this {kind} {what}. Expected: the data before the "
        "shuffling, such as arrays; ids=…; or data that carry ids (tt.with_ids; a method batch_ids on a PyDataset)."
    )


def _occurrence(values: Array) -> Array:
    """For each value, how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.r_[True, ordered[1:] != ordered[:-1]]
    position = np.arange(len(values))
    nth = np.empty(len(values), np.int64)
    nth[order] = position - np.maximum.accumulate(np.where(starts, position, 0))
    return nth
