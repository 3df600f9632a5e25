"""Which samples two runs have in common: by their names where both have names, else by the bits of their inputs.

A sample that comes several times in a pass is one unit with several rows: what is resampled are samples. Cost: one
sort of the ids, or fingerprints, of each run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap import rows
from truetap.samples import Samples

__all__ = ["Matching", "match", "paired_rows"]

Array = npt.NDArray[Any]
_FEW = 30


@dataclass(frozen=True, eq=False)
class Matching:
    """The samples of two runs, numbered.

    Attributes:
        by: "ids" or "fingerprints"; None where no sample is in both.
        here: The number of each row's sample, int64 (rows,); -1 for rows whose sample the other run doesn't have.
        there: The same of the other run. Where samples are paired, a number is the same sample in both.
        units: How many samples are compared, of each run.
        shared: How many samples both have.
        names: How samples are called in tables: one per row of here, and of there.
        notes: What to know about it.
    """

    by: str | None
    here: Array
    there: Array
    units: tuple[int, int]
    shared: int
    names: tuple[Array, Array]
    notes: tuple[str, ...] = ()

    @property
    def paired(self) -> bool:
        """Whether samples are compared one by one."""
        return self.by is not None


def match(here: Samples, there: Samples) -> Matching:
    """Numbers the samples of two runs.

    Args:
        here: The rows of one pass.
        there: Those of the other run's.

    Example:
        >>> import pyarrow as pa
        >>> def samples(ids):
        ...     return Samples([pa.record_batch({"sample_id": pa.array(ids), "y_pred": pa.array([0.0] * len(ids))})])
        >>> found = match(samples([5, 6, 7]), samples([7, 5, 9]))
        >>> found.shared, found.here.tolist(), found.there.tolist()
        (2, [0, -1, 1], [1, 0, -1])
    """
    sides = (here, there)
    prints = [_fingerprints(each) for each in sides]
    ids = [np.asarray(each.ids) for each in sides]
    named = [key is None or not np.array_equal(own, key) for own, key in zip(ids, prints, strict=True)]
    notes: list[str] = []
    if all(named):
        found = _common("ids", ids[0], ids[1])
        if found is not None:
            notes += _other_inputs(found, prints)
            return _noted(found, (ids[0], ids[1]), notes)
    if prints[0] is not None and prints[1] is not None:
        found = _common("fingerprints", prints[0], prints[1])
        if found is not None:
            if all(named):
                notes.append("The names of the two runs have nothing in common: samples are paired by their inputs.")
            return _noted(found, _names(ids, named, found), notes)
    codes = [np.unique(each, return_inverse=True) for each in ids]
    numbers = [inverse.reshape(-1).astype(np.int64) for _, inverse in codes]
    notes.append("No sample is in both runs: each is measured, and resampled, over all rows of its own.")
    return Matching(
        None, numbers[0], numbers[1], (len(codes[0][0]), len(codes[1][0])), 0, (ids[0], ids[1]), tuple(notes)
    )


def paired_rows(matching: Matching, label_here: Array, label_there: Array) -> tuple[Array, Array]:
    """Rows of here and there, one beside the other: of a sample that comes several times, the n-th with the n-th.

    Inputs that are identical and differ in label meet those of their label, whatever order a shuffled pass had.

    Args:
        matching: The samples.
        label_here: A label for each row of here, int64; any constant where there is none.
        label_there: The same of there.
    """
    if not matching.paired:
        none = np.zeros(0, np.int64)
        return none, none
    keys, places = [], []
    most = max(len(matching.here), len(matching.there)) + 1
    for unit, label in ((matching.here, label_here), (matching.there, label_there)):
        order = np.lexsort((np.arange(len(unit)), label, unit))
        order = order[unit[order] >= 0]
        ordered = unit[order].astype(np.int64)
        begins = np.r_[True, ordered[1:] != ordered[:-1]]
        place = np.arange(len(ordered))
        keys.append(ordered * most + place - np.maximum.accumulate(np.where(begins, place, 0)))
        places.append(order)
    _, first, second = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    return places[0][first], places[1][second]


def _fingerprints(samples: Samples) -> Array | None:
    return samples.fingerprints if "fingerprint" in rows.column_names(samples.record_batches) else None


def _common(by: str, here: Array, there: Array) -> Matching | None:
    if (here.dtype.kind == "i") != (there.dtype.kind == "i"):
        return None
    known = np.intersect1d(here, there)
    if not len(known):
        return None
    numbers = [_numbered(each, known) for each in (here, there)]
    return Matching(by, numbers[0], numbers[1], (len(known), len(known)), len(known), (here, there))


def _numbered(keys: Array, known: Array) -> Array:
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[at] == keys, at, -1).astype(np.int64)


def _names(ids: list[Array], named: list[bool], found: Matching) -> tuple[Array, Array]:
    """Paired by fingerprints, a sample is called as the one run calls it that has names."""
    if named[0] or not named[1]:
        return ids[0], ids[1]
    first = np.zeros(found.shared, np.int64)
    first[found.there[found.there >= 0]] = np.flatnonzero(found.there >= 0)
    lent = ids[1][first[np.maximum(found.here, 0)]]
    own = ids[0] if lent.dtype.kind == "i" else np.asarray([f"fingerprint:{each}" for each in ids[0].tolist()], object)
    return np.where(found.here >= 0, lent, own), ids[1]


def _noted(found: Matching, names: tuple[Array, Array], notes: list[str]) -> Matching:
    for unit, which in ((found.here, "here"), (found.there, "there")):
        missing = int((unit < 0).sum())
        if missing:
            notes.append(f"{missing:,} of {len(unit):,} rows {which} are of samples that the other run doesn't have.")
    if found.shared < _FEW:
        notes.append(f"Few samples are in both runs ({found.shared:,}): intervals from so few are too narrow.")
    return Matching(found.by, found.here, found.there, found.units, found.shared, names, tuple(notes))


def _other_inputs(found: Matching, prints: list[Array | None]) -> list[str]:
    """Names may stand for other inputs: another data set with the same row numbers, or another preprocessing."""
    if prints[0] is None or prints[1] is None:
        return []
    one, other = (np.zeros(found.shared, np.int64) for _ in range(2))
    for into, unit, values in ((one, found.here, prints[0]), (other, found.there, prints[1])):
        into[unit[unit >= 0]] = values[unit >= 0]
    differ = int((one != other).sum())
    if not differ:
        return []
    return [
        f"{differ:,} of {found.shared:,} samples of one name have other inputs in the other run: other preprocessing, "
        "augmentation, or names (row numbers?) that stand for other samples."
    ]
