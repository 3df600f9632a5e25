"""Tables as NumPy arrays: what `numpy.load` reads, `mmap_mode="r"` included. Nothing is pickled.

Rows of samples: `samples/train/epoch-0/y_pred.npy`, and `y_pred/age.npy` of one output among several. Rows of steps
(curves, gradients, weights): `scalars/train/loss.npy`, an entry a step, with `step.npy` and `epoch.npy` beside.
Statistics: `gradients/train/conv/kernel/norm.npy`, with `norm.steps.npy` and `norm.epochs.npy`. With `npz=True` a file
`samples/train/epoch-0.npz` holds what the folder would. Rows whose shape changes are padded with zeros, and
`y_pred.shape.npy` says what is real; numbers and flags that weren't recorded are NaN, columns without any left out.

Memory: one batch; of statistics, those of one phase.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap import rows
from truetap.columns import decode, is_variable
from truetap.exporting.chosen import Chosen, Part, Rows
from truetap.exporting.target import files_in, new_folder
from truetap.reading.sample_rows import Alike
from truetap.reading.statistics import Statistics
from truetap.reading.tables import Picked
from truetap.store.parts import KEYS

__all__ = ["write"]

Array = npt.NDArray[Any]

_LONG = {"path", "statistic", "over"}  # columns of the tables of statistics


def write(chosen: Chosen, path: str, *, npz: bool = False) -> list[str]:
    """Writes the chosen tables; see the head of this module.

    Args:
        chosen: What is meant.
        path: The folder.
        npz: Whether to write a .npz file for each part instead of a folder of .npy files.
    """
    with new_folder(path) as folder:
        for table in chosen.tables:
            for part in _parts(chosen, table):
                _write_part(part, folder / table, npz=npz)
    return files_in(path)


def _parts(chosen: Chosen, table: str) -> Iterator[Part]:
    """The parts of a table: an epoch's rows of samples, else the rows of a phase."""
    first = next(chosen.of(table))
    if first.phase is None or "sample_id" in first.columns:
        yield from chosen.of(table)
        return
    for phase in chosen.parts[table]:
        yield Part(table, phase, None, chosen.of_phase(table, phase))


def _write_part(part: Part, table: Path, *, npz: bool) -> None:
    folder = table if part.phase is None else table / _safe(part.phase)
    if part.epoch is not None:
        folder /= f"epoch-{part.epoch}"
    if set(part.columns) >= _LONG:
        for path, statistics in _by_path(part.rows):
            with _opened(folder.joinpath(*map(_safe, path.split("/"))), npz=npz) as target:
                _write_statistics(statistics, target)
        return
    known = KEYS if part.epoch is not None else KEYS[:1] if part.phase is not None else ()
    same = Alike(part.rows) if isinstance(part.rows, Picked) else part.rows
    with _opened(folder, npz=npz) as target:
        for name in part.columns:
            if name not in known:
                _write_column(same, name, target)


# --- where arrays go ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """A folder, or a .npz file."""

    folder: Path
    archive: zipfile.ZipFile | None

    def open(self, name: str) -> IO[bytes]:
        """A stream for the array of this name, "y_pred/age"."""
        if self.archive is not None:
            return self.archive.open(f"{name}.npy", "w", force_zip64=True)
        path = self.folder.joinpath(*map(_safe, f"{name}.npy".split("/")))
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


@contextlib.contextmanager
def _opened(folder: Path, *, npz: bool) -> Iterator[_Target]:
    if not npz:
        folder.mkdir(parents=True, exist_ok=True)
        yield _Target(folder, None)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder.with_name(f"{folder.name}.npz"), "x", allowZip64=True) as archive:
        yield _Target(folder, archive)


def _safe(name: str) -> str:
    """A name as that of a file, on every system; no two give the same."""
    return quote(name, safe=" #=@+,()[]") if name.strip(".") else name.replace(".", "%2E") or "%"


# --- columns ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    """What a whole column is, before its values are in memory.

    Attributes:
        dtype: Of the array.
        shape: Of each row, the longest of each axis.
        known: Whether any value was recorded.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    known: bool


def _write_column(part: Sequence[pa.RecordBatch], name: str, target: _Target) -> None:
    form = _form(part, name)
    if not form.known:
        return
    count = rows.count(part)
    with target.open(name) as stream:
        _head(stream, form.dtype, (count, *form.shape))
        for _, values in _pieces(part, name):
            stream.write(_padded(values, form).tobytes())
    if any(is_variable(batch.schema.field(name)) for batch in rows.only(part, [name])):
        with target.open(f"{name}.shape") as stream:
            _head(stream, np.dtype(np.int64), (count, len(form.shape)))
            for _, values in _pieces(part, name):
                stream.write(np.tile(np.asarray(values.shape[1:], np.int64), (len(values), 1)).tobytes())


def _head(stream: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    said = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, said)


def _form(part: Sequence[pa.RecordBatch], name: str) -> _Form:
    """Reads the column once: what isn't recorded, the longest string and the largest shape are seen in values alone."""
    dtypes: set[np.dtype[Any]] = set()
    shapes: set[tuple[int, ...]] = set()
    known = missing = False
    for column, values in _pieces(part, name):
        known = known or column.null_count < len(column)
        missing = missing or column.null_count > 0
        dtypes.add(values.dtype)
        shapes.add(values.shape[1:])
    dtype = np.result_type(*dtypes)
    if missing and dtype.kind in "iub":
        dtype = np.dtype(np.float64)
    return _Form(dtype, tuple(np.max(list(shapes), axis=0).tolist()) if shapes != {()} else (), known)


def _pieces(part: Sequence[pa.RecordBatch], name: str) -> Iterator[tuple[pa.Array, Array]]:
    """A column's values in pieces of one shape, as they are in the store and as an array."""
    for batch in rows.only(part, [name]):
        for piece in rows.uniform([batch.select([name])]):
            yield piece.column(0), _plain(piece.column(0))


def _plain(column: pa.Array) -> Array:
    if pa.types.is_string(column.type):
        return np.asarray(column.fill_null("").to_pylist(), np.str_)
    if pa.types.is_boolean(column.type) and column.null_count:
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    return decode(column)


def _padded(values: Array, form: _Form) -> Array:
    values = values.astype(form.dtype, copy=False)
    if values.shape[1:] == form.shape:
        return np.ascontiguousarray(values)
    whole = np.zeros((len(values), *form.shape), form.dtype)
    whole[(slice(None), *(slice(size) for size in values.shape[1:]))] = values
    return whole


# --- statistics ---------------------------------------------------------------------------------------


def _by_path(part: Rows) -> Iterator[tuple[str, Statistics]]:
    found = [pa.Table.from_batches([batch]) for batch in part]
    whole = pa.concat_tables(found, promote_options="permissive")
    for path in pc.unique(whole.column("path")).to_pylist():
        yield path, Statistics(whole.filter(pc.equal(whole.column("path"), path)), path)


def _write_statistics(statistics: Statistics, target: _Target) -> None:
    for name in statistics:
        arrays = {"": statistics[name], ".steps": statistics.steps(name), ".epochs": statistics.epochs(name)}
        for suffix, values in arrays.items():
            with target.open(f"{quote(name, safe=' ')}{suffix}") as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(values), allow_pickle=False)
