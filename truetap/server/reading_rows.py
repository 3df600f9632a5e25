"""Rows of an epoch as columns of its index: what is kept of each sample, and of the places where it is wrong.

Scores are looked at some thousand rows at a time, so that they stay in the processor's cache; nothing of them is kept
but the highest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.columns import decode
from truetap.evaluation.chunk import Chunk, Positions, flatten
from truetap.samples import Samples
from truetap.server.meaning import Kind, Meaning
from truetap.tasks import Task
from truetap.tasks.labels import canonical, pred_labels, true_labels
from truetap.tasks.links import floating, sigmoid
from truetap.timesteps import valid_steps

__all__ = ["Read", "read"]

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 21  # scores
_NEEDED = ("sample_id", "step", "loss", "y_true", "y_pred", "mask", "sample_weight")


@dataclass(frozen=True)
class Read:
    """Some rows.

    Attributes:
        columns: Of the index, but for the place of each row.
        marks: Of outputs with several labels a sample: row (in this piece), true, pred, n: of labels the label, and
            2 * true + predicted; of positions the classes and how often they met.
        positions: The positions that count, of numbers and of outputs with positions.
    """

    columns: dict[str, Array]
    marks: dict[str, Array] | None = None
    positions: Positions | None = None


def read(view: Samples, meaning: Meaning, start: int) -> Iterator[Read]:
    """The rows from a place on, piece by piece.

    Args:
        view: The samples of one output.
        meaning: How it is read.
        start: How many rows are left out at the beginning.
    """
    batches = view.record_batches
    present = rows.column_names(batches)
    wanted = [name for name in _NEEDED if name in present]
    if meaning.kind is Kind.LOSSES:
        wanted = [name for name in wanted if name in ("sample_id", "step", "loss")]
    for batch in _after(rows.only(batches, wanted), start):
        for piece in rows.uniform([batch]):
            size = max(1, _AT_ONCE // _width(piece))
            for first in range(0, len(piece), size):
                yield _read(piece.slice(first, size), meaning)


def _after(batches: Any, start: int) -> Iterator[pa.RecordBatch]:
    known = getattr(batches, "sizes", None)
    sizes = [len(batch) for batch in batches] if known is None else known()
    for place, size in enumerate(sizes):
        if start < size:
            yield batches[place].slice(start) if start else batches[place]
        start = max(0, start - size)


def _width(piece: pa.RecordBatch) -> int:
    """Numbers in the widest row."""
    kinds = [field.type for field in piece.schema]
    return max([int(np.prod(kind.shape)) for kind in kinds if isinstance(kind, pa.FixedShapeTensorType)] or [64])


def _read(piece: pa.RecordBatch, meaning: Meaning) -> Read:
    columns = {"sample_id": decode(piece.column("sample_id")), "step": decode(piece.column("step"))}
    loss = np.full(len(piece), np.nan)
    if "loss" in piece.schema.names:
        loss = np.asarray(decode(piece.column("loss")), np.float64)
        loss = loss if loss.ndim == 1 else loss.reshape(len(loss), -1).mean(axis=1)
    columns["loss"] = loss
    if meaning.kind is Kind.LOSSES:
        return Read(columns)
    true, pred = decode(piece.column("y_true")), decode(piece.column("y_pred"))
    if meaning.kind is Kind.CLASSES:
        return Read(columns | _classes(true, pred, meaning))
    assert meaning.task is not None
    positions = flatten(Chunk(true, pred, valid_steps(piece, "")), meaning.task)
    if meaning.kind is Kind.NUMBERS:
        return Read(columns | _numbers(positions, len(piece)), None, positions)
    return _several(columns, positions, meaning, len(piece))


def _classes(true: Array, pred: Array, meaning: Meaning) -> dict[str, Array]:
    if meaning.task is None:
        nothing = np.full(len(true), np.nan, np.float32)
        labelled = true >= 0
        columns = {"true": true.astype(np.int32), "pred": pred.astype(np.int32)}
        return columns | {"labelled": labelled, "confidence": nothing, "score": nothing}
    task = meaning.task
    pred = floating(pred)  # half precision is made wider once
    labels, chosen = true_labels(true, task), pred_labels(pred, task)
    scores = canonical(pred, task)
    score = scores if task.task is Task.BINARY else np.full(len(true), np.nan, np.float32)
    labelled = (labels >= 0) & (labels < task.classes)
    if task.ignore_class is not None:
        labelled &= labels != task.ignore_class
    return {
        "true": labels.astype(np.int32),
        "pred": chosen.astype(np.int32),
        "labelled": labelled,
        "confidence": _confidence(scores, chosen, meaning),
        "score": score.astype(np.float32),
    }


def _confidence(scores: Array, chosen: Array, meaning: Meaning) -> Array:
    """The probability of the class that was predicted."""
    task = meaning.task
    assert task is not None
    if task.margins or (task.task is Task.ORDINAL and not task.by_index):
        return np.full(len(scores), np.nan, np.float32)
    if not task.by_index:
        likely = sigmoid(scores) if task.logits else scores.clip(0, 1)
        return np.asarray(np.where(chosen == 1, likely, 1 - likely), np.float32)
    highest = np.take_along_axis(scores, chosen[:, None], axis=1)[:, 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        if task.logits:
            return np.asarray(1 / np.exp(scores - highest[:, None]).sum(axis=1), np.float32)
        sums = scores.sum(axis=1)  # of sigmoid units under a categorical loss, which divides by it, too
        return np.asarray(np.where(np.abs(sums - 1) > 1e-2, highest / sums, highest).clip(0, 1), np.float32)


def _numbers(positions: Positions, count: int) -> dict[str, Array]:
    """Mean distance of each sample; where a sample is one number, truth and prediction too."""
    distance = np.abs(positions.pred.astype(np.float64) - positions.true).mean(axis=1)
    each = np.bincount(positions.sample, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.bincount(positions.sample, distance, minlength=count) / each
    true, pred = np.full(count, np.nan), np.full(count, np.nan)
    if positions.true.shape[1] == 1 and positions.step is None:
        true[positions.sample], pred[positions.sample] = positions.true[:, 0], positions.pred[:, 0]
    return {"true": true, "pred": pred, "error": error}


def _several(columns: dict[str, Array], positions: Positions, meaning: Meaning, count: int) -> Read:
    """How many labels or positions of each sample are wrong, and which."""
    true, pred = positions.true, positions.pred
    differs = true != pred
    if meaning.kind is Kind.LABELS:
        at, label = np.nonzero(true.astype(bool) | pred.astype(bool))
        kind = 2 * true[at, label].astype(np.int32) + pred[at, label]
        marks = {"row": positions.sample[at], "true": label.astype(np.int32), "pred": kind}
        marks["n"] = np.ones(len(at), np.int32)
    else:
        flat = (true, pred) if true.ndim == 1 else (true.any(axis=1), pred.any(axis=1))
        marks = _counted(positions.sample, *flat)
    each = np.bincount(positions.sample, minlength=count) * (true.shape[1] if true.ndim == 2 else 1)
    wrong = differs.sum(axis=1) if differs.ndim == 2 else differs
    wrongs = np.bincount(positions.sample, wrong, minlength=count)
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = columns | {"wrongs": wrongs.astype(np.int32), "error": wrongs / each}
    return Read(kept, marks, positions if meaning.kind is Kind.POSITIONS else None)


def _counted(sample: Array, true: Array, pred: Array) -> dict[str, Array]:
    """How often each pair of classes comes in each sample."""
    order = np.lexsort((pred, true, sample))
    stacked = np.stack([sample[order], true[order].astype(np.int64), pred[order].astype(np.int64)])
    if not len(order):
        return {name: np.zeros(0, np.int64) for name in ("row", "true", "pred", "n")}
    begins = np.flatnonzero(np.r_[True, (stacked[:, 1:] != stacked[:, :-1]).any(axis=0)])
    row, first, second = stacked[:, begins]
    return {"row": row, "true": first, "pred": second, "n": np.diff(np.r_[begins, len(order)])}
