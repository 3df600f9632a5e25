"""What is asked of `run.export`: which format, which rows, with which of the format's own options."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, get_type_hints

from truetap.errors import StoreError, TruetapError, near_names
from truetap.exporting.chosen import choose
from truetap.reading.choice import Epochs

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["FORMATS", "export"]

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        "parquet": "A folder for each table, in it phase=…/epoch=… where rows have them; for DuckDB, Polars, Spark.",
        "csv": "A file for each table; a column for each number of a tensor.",
        "numpy": "A .npy file for each column of each table, phase and epoch; or .npz files, by npz=True.",
        "tensorboard": "Event files with scalars and histograms, and a projector of recorded activations.",
        "mlflow": "A run in MLflow: metrics, params, findings, tables, the report.",
        "wandb": "An offline run of Weights & Biases, to be synced when you like.",
    }
)

_WRITERS = {
    "parquet": "truetap.exporting.parquet_files",
    "csv": "truetap.exporting.csv_files",
    "numpy": "truetap.exporting.numpy_files",
    "tensorboard": "truetap.exporting.tensorboard",
    "mlflow": "truetap.exporting.mlflow",
    "wandb": "truetap.exporting.wandb",
}
_WORDS = {int: "a whole number from 0", bool: "True or False", str: "a string"}
_NEEDED = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb"}  # extras by format


def export(
    run: Run,
    path: str | os.PathLike[str],
    format: str = "parquet",  # noqa: A002
    *,
    tables: Sequence[str] | str | None = None,
    phase: str | None = None,
    epoch: Epochs = None,
    **options: Any,
) -> tuple[str, ...]:
    """Writes what was recorded for another tool; after the training, or while it runs.

    Of a run that is being written, what is committed by now is exported. A file or folder appears under its name when
    it is whole; one that exists is never touched: an export into a folder that holds anything is refused.

    Args:
        run: The run.
        path: A folder that doesn't exist or is empty. Of "csv" also a file "….csv", for one table. Of "mlflow" the
            tracking URI, such as "sqlite:///mlflow.db" or "http://localhost:5000".
        format: One of `FORMATS`.
        tables: Names of tables as in `run.tables`, or patterns such as "activations.*"; None for all. The names that
            `run.identify` gave stand in the rows; their own table is exported where it is named.
        phase: One phase; None for all.
        epoch: A number, several, or None for all. Negative ones count from the last that is recorded. A table that
            lacks one of them gives those that it has.
        options: Of the format:
            parquet: compression, "zstd" by default.
            csv: most_columns, how many columns a tensor may become: 1,024 by default.
            numpy: npz, whether to write a .npz file for each part instead of .npy files.
            tensorboard: points and layers, the most points and layers of the projector (10,000 and 8).
            mlflow: experiment, its name ("truetap"); run_id, a run to write into; report, whether to log the report.
            wandb: project ("truetap"), name, report.

    Returns:
        The files written; of "mlflow" their URIs, "runs:/<run id>/…", the run's own first.

    Raises:
        NotRecordedError: There is no such table, phase or epoch; near names are listed.
        RunExistsError: The target exists.
        DamagedRunError: Committed rows are lost, or not what was written.
        StoreError: There is no such format or option, the format can't hold the values, or they can't be written.
        TruetapError: The format's package isn't installed.

    Example:
        >>> from truetap.exporting import export
        >>> export(run, "losses.csv", "csv", tables="scalars", phase="train")  # doctest: +SKIP
        ('losses.csv',)
    """
    if format not in FORMATS:
        raise StoreError(f"There is no format {format!r} to export to. {near_names(format, FORMATS)}")
    write = _writer(format)
    _check_options(format, write, options)
    chosen = choose(run, tables, phase, epoch)
    return tuple(write(chosen, os.fspath(path), **options))


def _writer(name: str) -> Callable[..., Sequence[str]]:
    try:
        module = importlib.import_module(_WRITERS[name])
    except ImportError as error:
        if name not in _NEEDED:
            raise
        raise TruetapError(
            f"Exporting to {name} needs its package, which can't be imported ({error}). Install it: pip install "
            f"'truetap[{_NEEDED[name]}]'."
        ) from error
    written: Callable[..., Sequence[str]] = module.write
    return written


def _check_options(name: str, write: Callable[..., Sequence[str]], options: Mapping[str, Any]) -> None:
    kinds = get_type_hints(write)
    known = [each.name for each in inspect.signature(write).parameters.values() if each.kind is each.KEYWORD_ONLY]
    for option, value in options.items():
        if option not in known:
            raise StoreError(f"Exporting to {name} has no option {option!r}. {near_names(option, known)}")
        kind = kinds[option]
        right = isinstance(value, int) and not isinstance(value, bool) and value >= 0 if kind is int else None
        if right is False or (right is None and not isinstance(value, kind)):
            raise StoreError(
                f"The option {option!r} of {name} has another type. Received: {option}={value!r}. Expected: "
                f"{_WORDS.get(kind, str(kind))}."
            )
