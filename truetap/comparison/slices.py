"""Slices of two runs: which samples belong to one that was given by ids, by a mask or by a table.

Rows of two runs stand in different orders; what is given for the rows of one is carried over by sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.comparison.matching import Matching
from truetap.errors import DataError, IdError

__all__ = ["Slice", "chosen_slices"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Slice:
    """A part of the samples.

    Attributes:
        name: What it is called.
        units: Its samples here and there, ascending; the same where they are paired.
        unknown: How many of the ids given are in neither run.
    """

    name: str
    units: tuple[Array, Array]
    unknown: int = 0


def chosen_slices(slices: Mapping[str, Any] | None, matching: Matching) -> list[Slice]:
    """The slices that are meant.

    Args:
        slices: By name: sample ids; bool (rows,) over the rows of the run that compares; or a table with a column
            `sample_id` and one more: bool for a mask, else each of its values is a slice `name=value`.
        matching: The samples of both runs.

    Raises:
        DataError: A mask or a table of another form.
        IdError: No id of a slice is in either run.
    """
    found: list[Slice] = []
    for name, given in (slices or {}).items():
        if isinstance(given, pa.Table):
            ids, values = _of_table(name, given)
            if values.dtype.kind == "b":
                found.append(_by_ids(name, ids[values], matching))
            else:
                found += [_by_ids(f"{name}={each}", ids[values == each], matching) for each in np.unique(values)]
            continue
        array = np.asarray(given if hasattr(given, "__len__") else list(given))
        array = array.astype(object) if array.dtype.kind in "US" else array
        found.append(_by_mask(name, array, matching) if array.dtype.kind == "b" else _by_ids(name, array, matching))
    return found


def _of_table(name: str, table: pa.Table) -> tuple[Array, Array]:
    others = [column for column in table.column_names if column != "sample_id"]
    if "sample_id" not in table.column_names or len(others) != 1:
        raise DataError(
            f"A slice can't be read. Received: {name!r}, a table of columns {table.column_names}. Expected: sample_id "
            "and one more, bool or a value for each sample."
        )
    ids, values = (np.asarray(table[column].to_pylist()) for column in ("sample_id", others[0]))
    return ids.astype(object) if ids.dtype.kind == "U" else ids, values


def _by_mask(name: str, mask: Array, matching: Matching) -> Slice:
    if mask.shape != matching.here.shape:
        raise DataError(
            f"A slice doesn't fit the rows. Received: {name!r} with shape {mask.shape}. Expected: bool "
            f"({len(matching.here)},), one for each row of the run that compares, or sample ids."
        )
    if not matching.paired:
        raise DataError(
            f"A mask over the rows of one run says nothing of the other. Received: {name!r} as a mask, and runs that "
            "have no sample in common. Expected: sample ids, or a table with sample_id and a column."
        )
    units = np.unique(matching.here[mask])
    units = units[units >= 0]
    return Slice(name, (units, units))


def _by_ids(name: str, ids: Array, matching: Matching) -> Slice:
    if ids.ndim != 1 or ids.dtype.kind not in "iuO":
        raise DataError(
            f"A slice can't be read. Received: {name!r} of dtype {ids.dtype} and shape {ids.shape}. Expected: sample "
            "ids (whole numbers or strings), a bool mask of the rows, or a table with sample_id and a column."
        )
    found: list[Array] = []
    known = np.zeros(len(ids), bool)
    for names, unit in zip(matching.names, (matching.here, matching.there), strict=True):
        if (names.dtype.kind == "O") != (ids.dtype.kind == "O"):
            found.append(np.zeros(0, np.int64))
            continue
        units = np.unique(unit[np.isin(names, ids)])
        known |= np.isin(ids, names)
        found.append(units[units >= 0])
    if not known.any():
        raise IdError(
            f"No sample of a slice is in either run. Received: {name!r} of {len(ids):,} ids such as "
            f"{', '.join(map(repr, ids[:3].tolist())) or 'none'}. Expected: ids as tables of the runs have them, such "
            f"as {', '.join(map(repr, matching.names[0][:3].tolist()))}."
        )
    if matching.paired:
        found = [np.union1d(*found)] * 2
    return Slice(name, (found[0], found[1]), int((~known).sum()))
