"""Tables as CSV, for spreadsheets, R and everything else: a file for each table, phase and epoch as columns.

A tensor of a fixed shape becomes a column for each number: `y_pred.0`, `y_pred.1`; `values.0.2` of two axes. Tensors
whose shape changes, and lists, are JSON in one column. Numbers have the digits that bring back the same bits; NaN is
`nan`, infinity `inf` (in JSON `NaN` and `Infinity`), and what wasn't recorded is empty. Memory: one batch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pc

from truetap.columns import decode
from truetap.errors import StoreError
from truetap.exporting.chosen import Chosen, Part
from truetap.exporting.target import files_in, new_file, new_folder

__all__ = ["write"]

Array = npt.NDArray[Any]

_MOST_COLUMNS = 1024


@dataclass(frozen=True)
class _Column:
    """How a column of a table is written.

    Attributes:
        heads: The columns that it becomes.
        shape: Of tensors that become columns; None of others.
        text: Whether values are written as text: ids of two kinds, JSON.
    """

    heads: tuple[str, ...]
    shape: tuple[int, ...] | None = None
    text: bool = False


def write(chosen: Chosen, path: str, *, most_columns: int = _MOST_COLUMNS) -> list[str]:
    """Writes the chosen tables; see the head of this module.

    Args:
        chosen: What is meant.
        path: The folder; or "….csv" for one table.
        most_columns: How many columns a tensor may become.

    Raises:
        StoreError: A tensor has more numbers than that.
    """
    plans = {table: _plan(table, list(chosen.of(table)), most_columns) for table in chosen.tables}
    if path.lower().endswith(".csv"):
        if len(chosen.tables) > 1:
            raise StoreError(
                f"A CSV file holds one table. Received: {path!r} for {list(chosen.tables)}. Expected: tables= with one "
                "of them, or a folder."
            )
        with new_file(path) as file:
            _write_table(chosen.of(chosen.tables[0]), plans[chosen.tables[0]], file)
        return [path]
    with new_folder(path) as folder:
        for table, plan in plans.items():
            _write_table(chosen.of(table), plan, folder / f"{table}.csv")
    return files_in(path)


def _plan(table: str, parts: Iterable[Part], most_columns: int) -> dict[str, _Column]:
    kinds: dict[str, set[pa.DataType]] = {}
    for part in parts:
        for schema in _schemas(part):
            for field in schema:
                kinds.setdefault(field.name, set()).add(field.type)
    plan = {name: _column(name, several) for name, several in kinds.items()}
    for name, column in plan.items():
        if len(column.heads) > most_columns:
            raise StoreError(
                f"The column {name!r} of table {table!r} is too wide for CSV. Received: tensors of shape "
                f"{column.shape}, {len(column.heads):,} numbers a row. Expected: at most {most_columns:,}; leave the "
                "table out by tables=, raise most_columns=, or export to parquet or numpy."
            )
    return plan


def _schemas(part: Part) -> Iterable[pa.Schema]:
    """The schemas of a part's batches; of rows under names given later one row is read for it."""
    schemas = getattr(part.rows, "schemas", None)
    return schemas() if schemas is not None else [batch.schema for batch in part.rows]


def _column(name: str, kinds: set[pa.DataType]) -> _Column:
    first = next(iter(kinds))
    if len(kinds) == 1 and isinstance(first, pa.FixedShapeTensorType):
        shape = tuple(first.shape)
        places = product(*(range(size) for size in shape))
        return _Column(tuple(".".join(map(str, (name, *place))) for place in places), shape)
    plain = all(_is_plain(kind) for kind in kinds)
    return _Column((name,), text=not plain or (len(kinds) > 1 and any(map(pa.types.is_string, kinds))))


def _is_plain(kind: pa.DataType) -> bool:
    return not isinstance(kind, pa.BaseExtensionType) and not pa.types.is_nested(kind)


def _write_table(parts: Iterable[Part], plan: Mapping[str, _Column], path: Path) -> None:
    heads = [head for column in plan.values() for head in column.heads]
    with path.open("wb") as stream:
        pc.write_csv(pa.table({head: pa.array([], pa.int8()) for head in heads}), stream)
        for part in parts:
            for batch in part.rows:
                columns = [values for name, column in plan.items() for values in _values(batch, name, column)]
                pc.write_csv(pa.RecordBatch.from_arrays(columns, heads), stream, pc.WriteOptions(include_header=False))


def _values(batch: pa.RecordBatch, name: str, column: _Column) -> list[pa.Array]:
    if name not in batch.schema.names:
        return [pa.nulls(len(batch), pa.string())] * len(column.heads)
    values = batch.column(name)
    if column.shape is not None:
        numbers = decode(values).reshape(len(batch), -1)
        return [pa.array(np.ascontiguousarray(numbers[:, place])) for place in range(numbers.shape[1])]
    if column.text:
        return [pa.array(_texts(values), pa.string())]
    return [values.cast(pa.float32()) if pa.types.is_float16(values.type) else values]


def _texts(values: pa.Array) -> list[str | None]:
    said: Callable[[Any], str]
    if isinstance(values.type, pa.FixedShapeTensorType):
        return [_json(row.tolist()) for row in decode(values)]
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_struct(values.type) and [field.name for field in values.type] == ["data", "shape"]:
        rows = zip(values.field("data").to_pylist(), values.field("shape").to_pylist(), strict=True)
        return [_json(np.reshape(data, shape).tolist()) for data, shape in rows]
    said = _json if pa.types.is_nested(values.type) else str
    return [None if value is None else said(value) for value in values.to_pylist()]


def _json(value: Any) -> str:
    return json.dumps(value)
