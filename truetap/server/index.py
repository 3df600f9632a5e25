"""A small table of the samples of one epoch and output in DuckDB's memory: what is sorted, filtered and counted.

Some 50 bytes a sample; the scores are not in it. Built by one pass over the epoch when it is first asked for, and
lengthened while a run grows. Tables are named by number: nothing that comes from outside stands in a query's text.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.evaluation.steps import Steps
from truetap.samples import Samples
from truetap.server.meaning import Kind, Meaning
from truetap.server.numbers import Values
from truetap.server.reading_rows import Read, read

__all__ = ["Index", "Shelf"]

Array = npt.NDArray[Any]

_GATHERED = 200_000  # rows that are put into DuckDB at once
_MOST_ROWS = 40_000_000  # of all indexes together; beyond, those longest unused are given up
_MOST_MARKS = 50_000_000
_TYPES = {
    Kind.CLASSES: "true_label INTEGER, pred_label INTEGER, confidence FLOAT, score FLOAT, wrong BOOLEAN",
    Kind.LABELS: "wrongs INTEGER, error FLOAT, wrong BOOLEAN",
    Kind.POSITIONS: "wrongs INTEGER, error FLOAT, wrong BOOLEAN",
    Kind.NUMBERS: "true_value DOUBLE, pred_value DOUBLE, error DOUBLE",
    Kind.LOSSES: "",
}
_CALLED = {
    Kind.CLASSES: {"true": "true_label", "pred": "pred_label"},
    Kind.NUMBERS: {"true": "true_value", "pred": "pred_value"},
}


@dataclass(eq=False)
class Index:
    """The samples of one epoch and output.

    Attributes:
        table: Its table in DuckDB: row, sample_id, step, loss, and what its kind has.
        marks: The table of what several labels or positions of a sample are: row, true, pred, n.
        meaning: How the output is read.
        text_ids: Whether samples are called by strings.
        rows: How many rows are in it.
        named: How many names there were when it was made.
        whole: Whether every pair of classes of every sample found room in `marks`.
        steps: Sums by timestep, of sequences.
        values: Numbers of a regression, summed up.
    """

    table: str
    marks: str
    meaning: Meaning
    text_ids: bool
    named: int
    rows: int = 0
    whole: bool = True
    steps: Steps | None = None
    values: Values | None = None
    derived: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def once(self, what: str, work: Callable[[], Any]) -> Any:
        """What was worked out of these rows before, or is now."""
        known = self.derived.get(what)
        if known is None or known[0] != self.rows:
            known = self.derived[what] = (self.rows, work())
        return known[1]


class Shelf:
    """All indexes, in one DuckDB without a file and without a way out."""

    def __init__(self) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")
        self._indexes: OrderedDict[Hashable, Index] = OrderedDict()
        self._lock = threading.Lock()
        self._number = 0

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own for one thread."""
        with self._lock:
            return self._connection.cursor()

    def known(self, key: Hashable) -> Index | None:
        """An index that was made before."""
        with self._lock:
            found = self._indexes.get(key)
            if found is not None:
                self._indexes.move_to_end(key)
            return found

    def bring(self, key: Hashable, view: Samples, meaning: Meaning, named: int, stop: Callable[[], bool]) -> Index:
        """The index of these samples: the one there is, lengthened, or a new one.

        Args:
            key: What it is called.
            view: The samples.
            meaning: How they are read.
            named: How many names the run has.
            stop: Says whether to give up.
        """
        index = self.known(key)
        if index is not None and (index.named != named or index.rows > len(view) or index.meaning != meaning):
            self._drop(key)
            index = None
        pieces = read(view, meaning, 0 if index is None else index.rows)
        first = next(pieces, None)
        if index is None:
            index = self._new(first is not None and first.columns["sample_id"].dtype.kind == "O", meaning, named)
        cursor = self.cursor()
        try:
            self._fill(cursor, index, chain([] if first is None else [first], pieces), stop)
        finally:
            cursor.close()
        with self._lock:
            self._indexes[key] = index
            self._indexes.move_to_end(key)
        self._make_room(key)
        return index

    def _new(self, text: bool, meaning: Meaning, named: int) -> Index:
        with self._lock:
            self._number += 1
            number = self._number
        index = Index(f"samples_{number}", f"marks_{number}", meaning, text, named)
        more = f", {_TYPES[meaning.kind]}" if _TYPES[meaning.kind] else ""
        kind = "VARCHAR" if text else "BIGINT"
        cursor = self.cursor()
        cursor.execute(f"create table {index.table} (row BIGINT, sample_id {kind}, step BIGINT, loss FLOAT{more})")
        if meaning.kind in (Kind.LABELS, Kind.POSITIONS):
            cursor.execute(f"create table {index.marks} (row BIGINT, true_label INTEGER, pred_label INTEGER, n BIGINT)")
        cursor.close()
        if meaning.kind is Kind.POSITIONS or (meaning.task is not None and meaning.task.positions):
            assert meaning.task is not None
            index.steps = Steps(meaning.task.task)
        if meaning.kind is Kind.NUMBERS:
            index.values = Values()
        return index

    def _fill(
        self, cursor: duckdb.DuckDBPyConnection, index: Index, pieces: Iterable[Read], stop: Callable[[], bool]
    ) -> None:
        waiting: list[Read] = []
        count = 0
        for piece in pieces:
            if stop():
                return
            waiting.append(piece)
            count += len(piece.columns["sample_id"])
            if count >= _GATHERED:
                _put(cursor, index, waiting)
                waiting, count = [], 0
        if waiting:
            _put(cursor, index, waiting)

    def _make_room(self, kept: Hashable) -> None:
        while True:
            with self._lock:
                total = sum(index.rows for index in self._indexes.values())
                oldest = next(iter(self._indexes))
            if total <= _MOST_ROWS or oldest == kept:
                return
            self._drop(oldest)

    def _drop(self, key: Hashable) -> None:
        with self._lock:
            index = self._indexes.pop(key, None)
        if index is not None:
            cursor = self.cursor()
            cursor.execute(f"drop table if exists {index.table}")
            cursor.execute(f"drop table if exists {index.marks}")
            cursor.close()


def _put(cursor: duckdb.DuckDBPyConnection, index: Index, pieces: list[Read]) -> None:
    """Rows into the tables, and into the sums."""
    starts = np.cumsum([index.rows, *(len(piece.columns["sample_id"]) for piece in pieces)])
    whole = {name: np.concatenate([piece.columns[name] for piece in pieces]) for name in pieces[0].columns}
    if index.meaning.kind is Kind.CLASSES:
        unknown = ~whole.pop("labelled")  # labels that say "not labelled" are neither right nor wrong
        whole["wrong"] = pa.array(whole["true"] != whole["pred"], mask=unknown)
    elif "wrongs" in whole:
        whole["wrong"] = whole["wrongs"] > 0
    ids = whole.pop("sample_id")
    called = _CALLED.get(index.meaning.kind, {})
    values = {
        "row": np.arange(starts[0], starts[-1]),
        "sample_id": pa.array([str(each) for each in ids], pa.string()) if index.text_ids else ids,
        **{called.get(name, name): each for name, each in whole.items()},
    }
    _insert(cursor, index.table, values)
    marked = [(start, piece.marks) for start, piece in zip(starts, pieces, strict=False) if piece.marks is not None]
    if marked and index.whole:
        names = {"row": "row", "true": "true_label", "pred": "pred_label", "n": "n"}
        joined = {new: np.concatenate([each[old] for _, each in marked]) for old, new in names.items()}
        joined["row"] = np.concatenate([each["row"] + start for start, each in marked])
        _insert(cursor, index.marks, joined)
        found = cursor.execute(f"select count(*) from {index.marks}").fetchone()
        index.whole = found is not None and found[0] < _MOST_MARKS
    for piece in pieces:
        if piece.positions is not None and index.steps is not None:
            index.steps.add(piece.positions)
        if piece.positions is not None and index.values is not None:
            index.values.add(piece.positions.true, piece.positions.pred)
    index.rows = int(starts[-1])


def _insert(cursor: duckdb.DuckDBPyConnection, table: str, values: dict[str, Any]) -> None:
    cursor.register("chunk", pa.table(values))
    cursor.execute(f"insert into {table} by name select * from chunk")
    cursor.unregister("chunk")
