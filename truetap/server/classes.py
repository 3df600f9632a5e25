"""Which classes are taken for which, counted from an index: a matrix, the most confused pairs, each class alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from truetap.server.index import Index
from truetap.server.meaning import Kind
from truetap.server.refusal import Refusal

__all__ = ["MOST_OF_MATRIX", "Counts", "chosen_classes", "class_number", "class_rows", "counts_of", "matrix", "pairs"]

Array = npt.NDArray[Any]

MOST_OF_MATRIX = 25  # classes of a matrix that a person can read


@dataclass(frozen=True)
class Counts:
    """How often each pair of classes came, those that came, the wrong ones first, the most frequent first.

    Attributes:
        true: The true class.
        pred: The predicted one; of labels 2 * true + predicted.
        count: How often.
        classes: How many classes there are.
        total: How many samples there are.
    """

    true: Array
    pred: Array
    count: Array
    classes: int
    total: int

    def by_class(self) -> tuple[Array, Array, Array]:
        """Of each class how often it was true, predicted, and both."""
        right = self.true == self.pred
        return (
            np.bincount(self.true, self.count, self.classes),
            np.bincount(self.pred, self.count, self.classes),
            np.bincount(self.true[right], self.count[right], self.classes),
        )


def counts_of(cursor: duckdb.DuckDBPyConnection, index: Index) -> Counts:
    """The counts of an index, worked out once."""
    found: Counts = index.once("counts", lambda: _counts(cursor, index))
    return found


def _counts(cursor: duckdb.DuckDBPyConnection, index: Index) -> Counts:
    if index.meaning.kind is Kind.CLASSES:
        query = f"select true_label, pred_label, count(*) n from {index.table} where wrong is not null group by 1, 2"
    else:
        query = f"select true_label, pred_label, sum(n)::BIGINT n from {index.marks} group by 1, 2"
    found = cursor.execute(query).fetchnumpy()
    true, pred, count = (np.asarray(found[name], np.int64) for name in ("true_label", "pred_label", "n"))
    order = np.lexsort((pred, true, -count, true == pred))
    highest = int(max(true.max(initial=-1), pred.max(initial=-1))) + 1
    classes = index.meaning.classes or highest
    if index.meaning.kind is Kind.CLASSES and highest > classes:
        inside = (true < classes) & (pred < classes)
        order = order[inside[order]]
    return Counts(true[order], pred[order], count[order], classes, index.rows)


def matrix(counts: Counts, index: Index, chosen: list[int], title: str) -> dict[str, Any]:
    """Rows are true classes, columns predicted ones; each cell says which rows it opens."""
    places = {label: place for place, label in enumerate(chosen)}
    table = np.zeros((len(chosen), len(chosen)), np.int64)
    for true, pred, count in zip(*_inside(counts, chosen), strict=True):
        table[places[true], places[pred]] = count
    cells = [
        [_cell(int(table[row, column]), true, pred, index) for column, pred in enumerate(chosen)]
        for row, true in enumerate(chosen)
    ]
    return {
        "part": "confusion",
        "title": title,
        "names": [index.meaning.named(each) for each in chosen],
        "cells": cells,
    }


def _inside(counts: Counts, chosen: list[int]) -> tuple[list[int], list[int], list[int]]:
    kept = np.isin(counts.true, chosen) & np.isin(counts.pred, chosen)
    return counts.true[kept].tolist(), counts.pred[kept].tolist(), counts.count[kept].tolist()


def _cell(count: int, true: int, pred: int, index: Index) -> dict[str, Any]:
    opens = count > 0 and index.whole
    return {"count": count, "samples": [], "rows": {"true": true, "pred": pred} if opens else None}


def pairs(counts: Counts, index: Index, page: int, size: int) -> dict[str, Any]:
    """A page of the pairs that are confused most often."""
    wrong = int((counts.true != counts.pred).sum())
    part = slice(page * size, min(wrong, (page + 1) * size))
    sums = counts.by_class()[0]
    rows = [
        [
            index.meaning.named(true),
            index.meaning.named(pred),
            _cell(count, true, pred, index),
            count / sums[true],
        ]
        for true, pred, count in zip(
            counts.true[part].tolist(), counts.pred[part].tolist(), counts.count[part].tolist(), strict=True
        )
    ]
    return {"rows": rows, "total": wrong, "page": page, "size": size}


def chosen_classes(index: Index, classes: int, text: str, most: int = MOST_OF_MATRIX) -> list[int]:
    """Classes by their names or numbers, between commas.

    Raises:
        Refusal: One is unknown, or there are too many.
    """
    found = [class_number(index, part, classes) for each in text.split(",") if (part := each.strip())]
    chosen = list(dict.fromkeys(found))
    if not 1 <= len(chosen) <= most:
        raise Refusal(400, f"{len(chosen)} classes", f"1 to {most} of them", "Write fewer, with commas between them.")
    return chosen


def class_number(index: Index, text: str, classes: int | None = None) -> int:
    """A class by its number or, where it is no number, its name.

    Raises:
        Refusal: There is none.
    """
    names = index.meaning.names or ()
    if text.isascii() and text.isdigit() and len(text) < 10:
        label = int(text)
    else:
        label = names.index(text) if text in names else -1
    if label < 0 or (classes is not None and label >= classes):
        said = "the name of a class, or its number" + (f" from 0 to {classes - 1}" if classes else "")
        raise Refusal(404, f"the class {text[:50]!r}", said, "Choose a class that there is.")
    return label


COLUMNS = ("class", "name", "support", "predicted", "precision", "recall", "f1")


def class_rows(
    counts: Counts, index: Index, *, find: str, sort: str, descending: bool, page: int, size: int
) -> dict[str, Any]:
    """A page of the classes, each against the others; sorted by any column."""
    table = index.once("classes", lambda: _class_table(counts, index))
    labels = np.arange(counts.classes)
    if find:
        words = find.lower()
        labels = np.asarray([each for each in labels.tolist() if words in index.meaning.named(each).lower()], np.int64)
    if sort == "name":
        named = [index.meaning.named(each).lower() for each in labels.tolist()]
        order = np.asarray(sorted(range(len(named)), key=named.__getitem__, reverse=descending), np.int64)
    else:
        keys = labels if sort == "class" else table[sort][labels]
        keys = np.asarray(keys, np.float64)
        order = np.lexsort((labels, -keys if descending else keys, np.isnan(keys)))
    part = labels[order][page * size : (page + 1) * size]
    rows = [
        [
            index.meaning.named(label),
            *(_number(table[name][label]) for name in COLUMNS[2:]),
        ]
        for label in part.tolist()
    ]
    return {"rows": rows, "labels": part.tolist(), "total": len(labels), "page": page, "size": size}


def _class_table(counts: Counts, index: Index) -> dict[str, Array]:
    if index.meaning.kind is Kind.LABELS:
        kinds = [np.bincount(counts.true, counts.count * (counts.pred == kind), counts.classes) for kind in (1, 2, 3)]
        support, predicted, both = kinds[1] + kinds[2], kinds[0] + kinds[2], kinds[2]
    else:
        support, predicted, both = counts.by_class()
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(predicted > 0, both / predicted, np.nan)
        recall = np.where(support > 0, both / support, np.nan)
        f1 = np.where(support + predicted > 0, 2 * both / (support + predicted), np.nan)
    return {
        "support": support,
        "predicted": predicted,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "both": both,
    }


def _number(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if float(value).is_integer() else float(f"{value:.6g}")
