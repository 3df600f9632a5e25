"""Which files a path means: `open_files`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from typing import Any

from truetap.data.arrays import DEFAULT_BATCH_SIZE
from truetap.engines.images import SUFFIXES, open_images
from truetap.engines.numpy_files import open_npy_folder, open_npz
from truetap.engines.parquet import ParquetFiles, open_parquet
from truetap.engines.pieces import Files, FilesSource
from truetap.engines.units import cut
from truetap.errors import DataError
from truetap.store.layout import is_url

__all__ = ["files_source", "needed_files", "open_files"]


def files_source(data: Any, batch_size: int | None, model: Any = None, ids: Any = None) -> FilesSource | None:
    """Files as a source for a single process; None for data that are no path of files.

    Args:
        data: As for `open_files`.
        batch_size: Rows per batch.
        model: Who takes the rows, if it is known.
        ids: What they are called, as for `collect`.
    """
    files = needed_files(data, model, ids)
    if files is None:
        return None
    if batch_size is not None and batch_size < 1:
        raise DataError(f"batch_size is a number of rows. Received: {batch_size!r}. Expected: None, or 1 or more.")
    size = batch_size or DEFAULT_BATCH_SIZE
    return FilesSource(files, cut(files.parts, size), size)


def needed_files(data: Any, model: Any, ids: Any) -> Files | None:
    """`open_files`, of Parquet files with no more columns than a model, its labels and the ids need."""
    files = open_files(data)
    if not isinstance(files, ParquetFiles) or callable(ids):  # a function may look at any column
        return files
    inputs = [tensor.name for tensor in getattr(model, "inputs", None) or ()]
    return files.only(inputs, ids if isinstance(ids, str) else None)


def open_files(data: Any) -> Files | None:
    """The files that a path, a pattern or a list of paths means.

    Args:
        data: A Parquet file, a NumPy shard `.npz`, a folder of these, of `x.npy` and `y.npy`, or of
            images in folders of their classes; a pattern such as "train/*.parquet"; or a list of paths.

    Returns:
        The files in order of their paths; None when the data are something else.

    Raises:
        DataError: There are none, they are of several kinds, or can't be read.
    """
    given = [data] if isinstance(data, str | os.PathLike) else data
    if not isinstance(given, list | tuple) or not given:
        return None
    if not all(isinstance(each, str | os.PathLike) for each in given):
        return None
    paths = [os.fspath(each) for each in given]
    for path in paths:
        if is_url(path):
            raise DataError(
                f"Files are read from this machine or a file system that it mounts. Received: {path!r}. Expected: a "
                "path; or a dataset, such as ray.data.read_parquet(url) with engine='ray'."
            )
    if len(paths) == 1 and os.path.isdir(paths[0]):
        return _open_folder(paths[0])
    # Workers on a cluster have working directories of their own.
    found = sorted({os.path.abspath(match) for path in paths for match in _matches(path)})
    if not found:
        raise DataError(
            f"There are no files at {paths[0]!r}, seen from {os.getcwd()!r}. Expected: a file, a folder, or a pattern "
            "such as 'train/*.parquet' that matches files."
        )
    return _open_paths(found)


def _matches(path: str) -> list[str]:
    if os.path.isfile(path):
        return [path]
    return [match for match in glob.glob(path, recursive=True) if os.path.isfile(match)]


def _open_folder(folder: str) -> Files:
    if os.path.exists(os.path.join(folder, "x.npy")):
        return open_npy_folder(os.path.abspath(folder))
    found = sorted(map(os.path.abspath, _below(folder)))
    suffixes = {os.path.splitext(path)[1].lower() for path in found}
    if suffixes & set(SUFFIXES):
        return open_images(folder)
    known = [path for path in found if path.endswith((".parquet", ".npz"))]
    if not known:
        raise DataError(
            f"The folder {folder!r} holds no data that can be read. Received: files named "
            f"{', '.join(sorted(suffixes)) or 'nothing'}. Expected: *.parquet; *.npz; x.npy and y.npy; or images in "
            "folders of their classes."
        )
    return _open_paths(known)


def _below(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(("_", ".")))  # such as Spark's _temporary
        if any("=" in name for name in folders):
            raise DataError(
                f"The folder {place!r} holds values in the names of its folders ({folders[0]!r}), which would be lost. "
                "Expected: files with all columns; or ray.data.read_parquet(folder) with engine='ray'."
            )
        yield from (os.path.join(place, name) for name in names if not name.startswith(("_", ".")))


def _open_paths(paths: Sequence[str]) -> Files:
    if all(path.endswith(".parquet") for path in paths):
        return open_parquet(paths)
    if all(path.endswith(".npz") for path in paths):
        return open_npz(list(paths))
    raise DataError(
        f"These files aren't data of one kind that can be read. Received: {os.path.basename(paths[0])!r} and "
        f"{len(paths) - 1} more. Expected: all *.parquet, or all *.npz."
    )
