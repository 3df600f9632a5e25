"""NumPy folders as data: `x.npy`, `y.npy` and perhaps `sample_weight.npy`, or shards `*.npz` of these.

`.npy` files are memory-mapped, so any rows can be read alone; a shard `.npz` is one unit of work and
should fit well into memory.
"""

from __future__ import annotations

import os
import time
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.engines.pieces import OneByOne, Piece
from truetap.engines.units import Part, Unit
from truetap.errors import DataError, LengthError, UnlabelledDataError

__all__ = ["NumpyFiles", "open_npy_folder", "open_npz"]

Array = npt.NDArray[Any]

_NAMES = ("x", "y", "sample_weight")


@dataclass(frozen=True)
class NumpyFiles(OneByOne):
    """A folder of `.npy` files, which is one part, or shards `.npz`."""

    parts: tuple[Part, ...]

    kind = "NumPy files"
    class_names: tuple[str, ...] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of arrays."""
        shards = tuple(part.path for part in self.parts)
        return shards if shards[0].endswith(".npz") else _arrays_in(shards[0])

    def piece(self, unit: Unit) -> Piece:
        """The rows of one unit."""
        started = time.perf_counter()
        path = self.parts[unit.part].path
        try:
            element = _from_npz(path, unit) if path.endswith(".npz") else _from_npy(path, unit)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"The NumPy data at {path!r} can't be read: {error}.") from error
        ids = np.arange(unit.first_row, unit.first_row + unit.rows)
        return Piece(element, ids, time.perf_counter() - started)


def open_npy_folder(folder: str) -> NumpyFiles:
    """Arrays `x.npy`, `y.npy` and perhaps `sample_weight.npy` in a folder.

    Raises:
        UnlabelledDataError: There is no `y.npy`.
        LengthError: They have different numbers of rows.
        DataError: One can't be read.
    """
    names = [name for name in _NAMES if os.path.exists(os.path.join(folder, f"{name}.npy"))]
    _check_names(names, folder)
    shapes = {name: _npy_shape(os.path.join(folder, f"{name}.npy")) for name in names}
    return NumpyFiles((_part(folder, shapes, whole=False),))


def open_npz(paths: list[str]) -> NumpyFiles:
    """Shards `.npz`, each with `x`, `y` and perhaps `sample_weight`.

    Raises:
        UnlabelledDataError: One has no `y`.
        LengthError: The arrays of one have different numbers of rows.
        DataError: One can't be read.
    """
    return NumpyFiles(tuple(_npz_part(path) for path in paths))


def _from_npy(folder: str, unit: Unit) -> tuple[Array, ...]:
    arrays = [np.load(path, mmap_mode="r", allow_pickle=False) for path in _arrays_in(folder)]
    return tuple(np.array(array[unit.start : unit.stop]) for array in arrays)


def _arrays_in(folder: str) -> tuple[str, ...]:
    found = (os.path.join(folder, f"{name}.npy") for name in _NAMES)
    return tuple(path for path in found if os.path.exists(path))


def _from_npz(path: str, unit: Unit) -> tuple[Array, ...]:
    with np.load(path, allow_pickle=False) as shard:
        return tuple(shard[name][unit.start : unit.stop] for name in _NAMES if name in shard)


def _npz_part(path: str) -> Part:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in _NAMES if f"{name}.npy" in archive.namelist()]
            _check_names(names, path)
            shapes = {}
            for name in names:
                with archive.open(f"{name}.npy") as file:
                    shapes[name] = _shape(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise error if isinstance(error, DataError) else DataError(f"{path!r} can't be read: {error}.") from error
    return _part(path, shapes, whole=True)


def _npy_shape(path: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        with open(path, "rb") as file:
            return _shape(file)
    except (OSError, ValueError) as error:
        raise DataError(f"{path!r} can't be read: {error}.") from error


def _shape(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _check_names(names: list[str], path: str) -> None:
    if "x" not in names:
        raise DataError(f"There is no array 'x' at {path!r}. Expected: x, y and perhaps sample_weight.")
    if "y" not in names:
        raise UnlabelledDataError(f"There are no labels in the NumPy data at {path!r}. Expected: an array 'y'.")


def _part(path: str, shapes: dict[str, tuple[tuple[int, ...], np.dtype[Any]]], *, whole: bool) -> Part:
    rows = {name: shape[0] if shape else 0 for name, (shape, _) in shapes.items()}
    if len(set(rows.values())) > 1:
        raise LengthError(
            f"The arrays at {path!r} have different numbers of samples. Received: "
            + ", ".join(f"{name} with {count}" for name, count in rows.items())
            + ". Expected: one row per sample in each."
        )
    nbytes = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes.values())
    return Part(path, rows["x"], nbytes, whole)
