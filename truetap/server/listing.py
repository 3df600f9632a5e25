"""A page of samples out of an index: filtered, sorted, found by their ids. What is asked for is bound as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb

from truetap.json_values import json_value
from truetap.server.index import Index
from truetap.server.meaning import Kind
from truetap.server.refusal import Refusal

__all__ = ["PAGE", "SORTS", "Wanted", "listing"]

PAGE = 50
SORTS = ("loss", "confidence", "error", "wrongs", "id", "step", "true", "predicted")
_HIGH_FIRST = ("loss", "error", "wrongs")
_BY_KIND: dict[Kind, dict[str, str]] = {
    Kind.CLASSES: {"true": "true_label", "predicted": "pred_label", "confidence": "confidence"},
    Kind.LABELS: {"wrongs": "wrongs", "error": "error"},
    Kind.POSITIONS: {"wrongs": "wrongs", "error": "error"},
    Kind.NUMBERS: {"true": "true_value", "predicted": "pred_value", "error": "error"},
    Kind.LOSSES: {},
}
_TITLES = {
    "wrongs": {Kind.LABELS: "wrong labels", Kind.POSITIONS: "wrong positions"},
    "error": {Kind.NUMBERS: "absolute error"},
}


@dataclass(frozen=True)
class Wanted:
    """Which samples, in which order.

    Attributes:
        true: A true class; of labels, the label.
        pred: A predicted class; of labels 1 for wrongly given, 2 for missed, 3 for rightly given.
        wrong: Only wrong ones.
        flagged: A table with the ids of those whose label is suspect; None for all samples.
        find: What the id begins with; of strings, what is in it.
        sort: One of `SORTS`.
        descending: Whether the highest come first.
        page: From 0.
    """

    true: int | None = None
    pred: int | None = None
    wrong: bool = False
    flagged: str | None = None
    find: str = ""
    sort: str = "loss"
    descending: bool = True
    page: int = 0


def listing(cursor: duckdb.DuckDBPyConnection, index: Index, wanted: Wanted) -> dict[str, Any]:
    """A page.

    Returns:
        columns: (name, title) of each; rows: id and values; total: how many there are; page, size.

    Raises:
        Refusal: There is no such column, or no classes to choose by.
    """
    columns = {"loss": "loss", **_BY_KIND[index.meaning.kind], "step": "step"}
    sorts = {"id": "sample_id", **columns}
    if wanted.sort not in sorts:
        received = f"sort={wanted.sort!r} of an output of {index.meaning.kind}"
        raise Refusal(400, received, f"one of {sorted(sorts)}", "Sort by another column.")
    where, values = _where(index, wanted)
    counted = cursor.execute(f"select count(*) from {index.table} {where}", values).fetchone()
    assert counted is not None
    order = f"{sorts[wanted.sort]} {'desc' if wanted.descending else 'asc'} nulls last, row"
    selected = ", ".join(columns.values())
    query = f"select sample_id, {selected} from {index.table} {where} order by {order} limit {PAGE} offset ?"
    found = cursor.execute(query, [*values, wanted.page * PAGE]).fetchall()
    titles = [[name, _TITLES.get(name, {}).get(index.meaning.kind, name)] for name in columns]
    rows = [[str(row[0]), *map(_shown, columns, row[1:], [index] * len(columns))] for row in found]
    return {"columns": titles, "rows": rows, "total": counted[0], "page": wanted.page, "size": PAGE}


def high_first(sort: str) -> bool:
    """Whether a column is read from its highest value on."""
    return sort in _HIGH_FIRST


def _shown(name: str, value: Any, index: Index) -> Any:
    if name in ("true", "predicted") and index.meaning.kind is Kind.CLASSES and value is not None:
        return index.meaning.named(value)
    if isinstance(value, float):
        return json_value(float(f"{value:.6g}"))
    return value


def _where(index: Index, wanted: Wanted) -> tuple[str, list[Any]]:
    kind = index.meaning.kind
    parts: list[str] = []
    values: list[Any] = []
    chosen = [("true_label", wanted.true), ("pred_label", wanted.pred)]
    labels = [(column, label) for column, label in chosen if label is not None]
    if labels and kind in (Kind.NUMBERS, Kind.LOSSES):
        raise Refusal(400, f"a class of an output of {kind}", "an output of classes", "Leave the class out.")
    if labels and kind is not Kind.CLASSES and not index.whole:
        received = "classes within samples, of more pairs than are kept"
        raise Refusal(422, received, "fewer samples", "Look at all samples, or at another epoch.")
    conditions = [f"{column} = ?" for column, _ in labels]
    if conditions and kind is Kind.CLASSES:
        parts += conditions
    elif conditions:
        parts.append(f"row in (select row from {index.marks} where {' and '.join(conditions)})")
    values += [label for _, label in labels]
    if wanted.wrong:
        if kind in (Kind.NUMBERS, Kind.LOSSES):
            raise Refusal(400, f"only wrong ones of {kind}", "an output of classes", "Sort by the error instead.")
        parts.append("wrong")
    if wanted.flagged is not None:
        parts.append(f"sample_id in (select sample_id from {wanted.flagged})")
    if wanted.find:
        parts.append("contains(sample_id, ?)" if index.text_ids else "starts_with(sample_id::VARCHAR, ?)")
        values.append(wanted.find)
    return (f"where {' and '.join(parts)}" if parts else ""), values
