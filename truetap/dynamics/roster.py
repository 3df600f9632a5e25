"""Which row of a table belongs to a sample: ids, and the labels they came with.

The same id with another label is another row: identical inputs share a fingerprint, and one whose
copies are labelled differently must not be merged with itself. Cost: a look-up in a hash table for
each visit; memory for the ids and two numbers per sample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Roster"]

Array = npt.NDArray[Any]


class Roster:
    """Samples in the order in which they first came.

    Example:
        >>> roster = Roster()
        >>> roster.rows(pa.array([7, 9, 7]), np.array([0, 1, 1]))
        array([0, 1, 2])
        >>> roster.ids.to_pylist(), roster.labels
        ([7, 9, 7], array([0, 1, 1]))
    """

    def __init__(self) -> None:
        self._known: pa.Array | None = None
        self._row = np.zeros(0, np.int64)  # of each known id, with the label it first came with
        self._code = np.zeros(0, np.int64)  # of each row, the number of its id
        self._relabelled: dict[tuple[int, int], int] = {}
        self.labels = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ids(self) -> pa.Array:
        """The id of each row."""
        return pa.array([], pa.int64()) if self._known is None else self._known.take(pa.array(self._code))

    @property
    def relabelled(self) -> int:
        """How many ids came with more than one label."""
        return len({code for code, _ in self._relabelled})

    def rows(self, ids: pa.Array, labels: Array) -> Array:
        """The rows of some visits; new samples get new ones.

        Args:
            ids: What the samples are called, n of them.
            labels: A number for the label of each, int64 of shape (n,).

        Returns:
            int64 of shape (n,).
        """
        codes = self._codes(ids)
        fresh = np.flatnonzero(codes >= len(self._row))
        if len(fresh):
            self._add(codes[fresh], labels[fresh])
        rows = self._row[codes]
        other = np.flatnonzero(self.labels[rows] != labels)
        if len(other):
            rows[other] = self._rows_of_others(codes[other], labels[other])
        return rows

    def _codes(self, ids: pa.Array) -> Array:
        if self._known is None:
            self._known = ids.unique()
        codes = pc.index_in(ids, value_set=self._known)
        if codes.null_count:
            fresh = ids.filter(codes.is_null()).unique()
            self._known = pa.concat_arrays([self._known, fresh])
            codes = pc.index_in(ids, value_set=self._known)
        return np.asarray(codes).astype(np.int64)

    def _add(self, codes: Array, labels: Array) -> None:
        """Rows for ids that are new: numbers that follow those known."""
        found, first = np.unique(codes, return_index=True)
        start = len(self.labels)
        self._row = np.concatenate([self._row, np.arange(start, start + len(found))])
        self._code = np.concatenate([self._code, found])
        self.labels = np.concatenate([self.labels, labels[first]])

    def _rows_of_others(self, codes: Array, labels: Array) -> Array:
        """Rows of known ids under labels that they did not have at first."""
        pairs, inverse = np.unique(np.stack([codes, labels], axis=1), axis=0, return_inverse=True)
        rows = np.empty(len(pairs), np.int64)
        new: list[tuple[int, int]] = []
        for place, pair in enumerate((code, label) for code, label in pairs.tolist()):
            if pair not in self._relabelled:
                self._relabelled[pair] = len(self.labels) + len(new)
                new.append(pair)
            rows[place] = self._relabelled[pair]
        if new:
            self._code = np.concatenate([self._code, [code for code, _ in new]])
            self.labels = np.concatenate([self.labels, [label for _, label in new]])
        return np.asarray(rows[inverse.reshape(-1)])
