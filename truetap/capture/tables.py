"""The tables of a recorded run: names of their columns, and rows in them.

Every row begins with where it is from: `phase` string, `epoch` int32 (over the run), `step` int64 (over
the run, within the phase), `batch` int32 (within the epoch).

| table | one row | columns behind these four |
|---|---|---|
| `samples` | a sample | `position` int32, `sample_id`, `fingerprint` int64, `y_true`, `y_pred`, `loss`,
`weighted_loss`, `sample_weight`, `mask`; of several outputs `y_pred/age` |
| `scalars` | a step | `samples` int32, `loss`, `learning_rate`, `loss_scale` float64, `skipped` bool,
`running/<metric>` |
| `activations`, `gradients`, … | a statistic | `path`, `statistic`, `over` string, `value` float64, `values` list,
`shape` |
| `activations.conv1`, … | a sample | `position`, `sample_id`, `fingerprint`, `values` tensor |
| `gradients.conv1.kernel`, … | a step | `values` tensor |
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.columns import concatenate
from truetap.pairing import align
from truetap.store import Rows

__all__ = ["Identity", "Keys", "raw_table", "reduced_rows", "sample_columns"]

Array = npt.NDArray[Any]

_OF_SAMPLES = ("y_true", "y_pred", "loss", "weighted_loss", "sample_weight", "mask")
_VALUES = pa.list_(pa.float32())
_SHAPE = pa.list_(pa.int32())


class Keys:
    """Where the rows of some steps of one phase and epoch are from.

    Args:
        steps: The steps: each with `phase`, `epoch`, `step` and `batch`.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self._phase, self._epoch = steps[0].phase, steps[0].epoch
        self._steps = np.asarray([each.step for each in steps], np.int64)
        self._batches = np.asarray([each.batch for each in steps], np.int32)

    @property
    def part(self) -> tuple[str, int]:
        """Phase and epoch: no record batch mixes two."""
        return self._phase, self._epoch

    def of(self, at: int, rows: int) -> dict[str, Any]:
        """The four columns for so many rows of the step in place `at`."""
        return self._columns(rows, np.full(rows, self._steps[at]), np.full(rows, self._batches[at]))

    def steps(self) -> dict[str, Any]:
        """The four columns for a row a step."""
        return self._columns(len(self._steps), self._steps, self._batches)

    def samples(self, sizes: Sequence[int]) -> dict[str, Any]:
        """The four columns, and each sample's place in its batch, for the samples of all steps."""
        columns = self._columns(sum(sizes), np.repeat(self._steps, sizes), np.repeat(self._batches, sizes))
        return columns | {"position": np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])}

    def rows(self, table: str, columns: Mapping[str, Any]) -> Rows:
        """Rows of a table."""
        return Rows(table, columns, self.part)

    def _columns(self, rows: int, steps: Array, batches: Array) -> dict[str, Any]:
        epochs = np.full(rows, self._epoch, np.int32)
        return {"phase": _repeated(self._phase, rows), "epoch": epochs, "step": steps, "batch": batches}


class Identity:
    """The samples of some steps: their ids and fingerprints, and how many are of each step."""

    def __init__(self, ids: Array, prints: Array, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self._ids, self._prints = ids, prints
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def columns(self) -> dict[str, Array]:
        """Of all steps."""
        return {"sample_id": self._ids, "fingerprint": self._prints}

    def columns_of(self, at: int, rows: int) -> dict[str, Array]:
        """Of the first so many samples of the step in place `at`."""
        own = slice(self._starts[at], self._starts[at] + rows)
        return {"sample_id": self._ids[own], "fingerprint": self._prints[own]}


@lru_cache(maxsize=64)
def _repeated(text: str, rows: int) -> pa.Array:
    return pa.array([text] * rows, pa.string())


def sample_columns(values: Mapping[str, list[Array]], sizes: Sequence[int]) -> tuple[dict[str, Array], list[str]]:
    """The columns of samples among the values of steps, and what is to be said of the others."""
    found: dict[str, Array] = {}
    said = []
    for kind in _OF_SAMPLES:
        for name, parts in values.items():
            if name != kind and not name.startswith(f"{kind}/"):
                continue
            if [len(part) if part.ndim else -1 for part in parts] != list(sizes):
                said.append(
                    f"{name!r} has no row per sample: shape {parts[0].shape} for {sizes[0]} inputs of the step. It "
                    "was not recorded."
                )
                continue
            beside = values.get(name.replace("y_true", "y_pred", 1)) if kind == "y_true" else None
            if beside is not None:
                parts = [align(part, like.shape) for part, like in zip(parts, beside, strict=True)]
            whole = concatenate(parts) if len(parts) > 1 else parts[0]
            # float16 would be refused by readers such as DuckDB; float32 holds it exactly
            found[name] = whole.astype(np.float32) if whole.dtype == np.float16 else whole
    return found, said


def reduced_rows(
    kind: str, where: Mapping[str, Any], found: Mapping[tuple[str, str], Array], over: str, part: tuple[str, int]
) -> Rows:
    """Statistics by (path, statistic) as rows of the long table of their kind."""
    arrays = [np.asarray(value) for value in found.values()]
    scalar = all(each.ndim == 0 for each in arrays)
    lists = [None if each.ndim == 0 else each.ravel().astype(np.float32) for each in arrays]
    columns = dict(where) | {
        "path": pa.array([path for path, _ in found], pa.string()),
        "statistic": pa.array([statistic for _, statistic in found], pa.string()),
        "over": _repeated(over, len(arrays)),
        "value": pa.array([float(each) if each.ndim == 0 else None for each in arrays], pa.float64()),
        "values": pa.nulls(len(arrays), _VALUES) if scalar else pa.array(lists, _VALUES),
        "shape": pa.array([list(each.shape) for each in arrays], _SHAPE),
    }
    return Rows(kind, columns, part)


def raw_table(kind: str, path: str, known: Mapping[str, Mapping[str, str]]) -> str:
    """The table for the raw values of a path: a name that any file system can have.

    Args:
        kind: Such as "activations".
        path: The layer's or variable's path.
        known: Kind and path behind the tables there are.
    """
    name = f"{kind}.{re.sub(r'[^A-Za-z0-9_#@=+-]+', '.', path).strip('.') or 'x'}"[:110]
    whole, again = name, 2
    while whole in known and known[whole] != {"kind": kind, "path": path}:
        whole, again = f"{name}@{again}", again + 1
    return whole
