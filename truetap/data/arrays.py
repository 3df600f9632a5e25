"""Arrays in memory: `(x, y)`, `(x, y, sample_weight)` or a dict of columns, sliced into batches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.backends.tensors import is_array, is_ragged, is_sparse, loaded, row_count, to_host
from truetap.data.element import LABEL_KEYS
from truetap.data.source import Drawn, Facts
from truetap.errors import LengthError
from truetap.fingerprint import fingerprint
from truetap.structure import flatten, is_nested, leaves, map_leaves

__all__ = ["ArraySource", "holds_arrays"]

Array = npt.NDArray[Any]

DEFAULT_BATCH_SIZE = 32  # Keras' own
_BLOCK = 1024  # rows whose fingerprints are taken at once


def holds_arrays(data: Any) -> bool:
    """Whether every leaf of the data is an array, or a list of numbers, with rows."""
    if is_array(data):
        return True
    if not is_nested(data):
        return False
    found = [leaf for leaf in flatten(_numbers_to_arrays(data)).values() if leaf is not None]
    return bool(found) and all(is_array(leaf) for leaf in found)


class ArraySource:
    """Arrays of any library, sliced in order; slices are views where the library allows that."""

    def __init__(self, data: Any, batch_size: int | None = None) -> None:
        data = _numbers_to_arrays(data)
        self._data = _with_narrow_inputs(map_leaves(_sliceable, data))
        self._batch_size = batch_size or DEFAULT_BATCH_SIZE
        counts = {path: row_count(leaf) for path, leaf in flatten(self._data).items() if leaf is not None}
        if len(set(counts.values())) > 1:
            raise LengthError(
                "The arrays have different numbers of samples. Received: "
                + ", ".join(f"{_spoken(path, data)} with {count}" for path, count in counts.items())
                + ". Expected: one row per sample in each."
            )
        self._rows = next(iter(counts.values()))

    @property
    def element(self) -> Any:
        """The arrays as they are sliced: of NumPy, but for ragged and sparse ones."""
        return self._data

    @property
    def facts(self) -> Facts:
        """All is known of arrays."""
        return Facts(
            kind="arrays",
            num_batches=-(-self._rows // self._batch_size),
            num_samples=self._rows,
            shuffles=False,
            fresh=True,
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Slices of `batch_size` rows, the last one shorter."""
        size = self._batch_size
        end = self._rows if limit is None else min(self._rows, limit * size)
        block = size * max(1, _BLOCK // size)
        for first in range(0, end, block):
            prints = self._fingerprints(slice(first, min(first + block, end)))
            for start in range(first, min(first + block, end), size):
                own = None if prints is None else prints[start - first : start - first + size]
                element = map_leaves(partial(_rows_of, slice(start, start + size)), self._data)
                yield Drawn(element, fingerprints=own)

    def _fingerprints(self, rows: slice) -> Array | None:
        """Fingerprints of many rows at once, which costs a third of many small batches.

        None for what isn't plainly x in dense arrays: columns by name, of which a model takes some.
        """
        if not isinstance(self._data, tuple | list) or isinstance(self._data[0], dict):
            return None
        x = self._data[0]
        if any(type(leaf) is not np.ndarray for leaf in leaves(x)):
            return None
        return fingerprint(map_leaves(partial(_rows_of, rows), x))


def _rows_of(rows: slice, leaf: Any) -> Any:
    if leaf is None:
        return None
    return to_host(leaf[rows]) if is_sparse(leaf) else leaf[rows]


def _sliceable(leaf: Any) -> Any:
    if leaf is None or is_ragged(leaf):
        return leaf
    if is_sparse(leaf):  # densified a batch at a time; CSR is the layout that slices rows
        return leaf.tocsr() if hasattr(leaf, "tocsr") else to_host(leaf)
    return to_host(leaf)


def _with_narrow_inputs(data: Any) -> Any:
    """Inputs of float64 in floatx, as Keras does for arrays, once; labels and weights stay as they are."""
    if _is_float64_wanted():
        return data
    if isinstance(data, dict):
        return {key: leaf if key in LABEL_KEYS else map_leaves(_narrow, leaf) for key, leaf in data.items()}
    return type(data)([map_leaves(_narrow, data[0]), *data[1:]]) if isinstance(data, list | tuple) else data


def _narrow(leaf: Any) -> Any:
    return leaf.astype(np.float32) if isinstance(leaf, np.ndarray) and leaf.dtype == np.float64 else leaf


def _is_float64_wanted() -> bool:
    keras = loaded("keras")
    return keras is not None and keras.config.floatx() == "float64"


def _numbers_to_arrays(data: Any) -> Any:
    """Lists of Python numbers or strings become arrays; lists of arrays stay structure."""
    if isinstance(data, list | tuple):
        if data and not any(is_nested(child) or is_array(child) or child is None for child in data):
            return np.asarray(data)
        if data and isinstance(data, list) and _is_matrix(data):
            return np.asarray(data)
        children = [_numbers_to_arrays(child) for child in data]
        return tuple(children) if isinstance(data, tuple) else children
    if isinstance(data, dict):
        return {key: _numbers_to_arrays(child) for key, child in data.items()}
    return data


def _is_matrix(data: list[Any]) -> bool:
    if not all(isinstance(row, list) and len(row) == len(data[0]) for row in data):
        return False
    return all(not is_nested(cell) and not is_array(cell) for row in data for cell in row) or all(
        _is_matrix(row) for row in data
    )


def _spoken(path: str, data: Any) -> str:
    if isinstance(data, dict):
        return repr(path)
    slot, _, rest = path.partition("/")
    names = {"0": "x", "1": "y", "2": "sample_weight"}
    return names.get(slot, slot) + (f"[{rest}]" if rest else "")
