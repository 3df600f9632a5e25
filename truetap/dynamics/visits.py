"""The rows of a run as a stream of visits: the moments in which a step saw a sample.

A visit is a row. A sample that comes several times in an epoch (a source that repeats, identical
inputs) is visited several times, one that is missing is not; nothing assumes once an epoch. Memory:
one chunk of some 2**23 values.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows as record_rows
from truetap.columns import decode
from truetap.dynamics.roster import Roster
from truetap.errors import DataWarning
from truetap.fingerprint import fingerprint
from truetap.samples import Samples
from truetap.tasks import OutputTask, Task, true_labels

__all__ = ["Stream", "Visits"]

Array = npt.NDArray[Any]

_VALUES = 1 << 23  # of a chunk
_MOST_ROWS, _LEAST_ROWS = 1 << 18, 1 << 10


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits of one epoch, each of another sample.

    Attributes:
        rows: The rows of their samples in the roster, shape (n,), no two alike.
        epoch: The epoch.
        labels: Class indices (n,), a 0/1 matrix (n, L) of a multi-label output, else None.
        y_true: Labels as the loss got them, shape (n, ...).
        y_pred: Predictions, shape (n, ...).
        loss: Shape (n,); NaN where none was recorded.
    """

    rows: Array
    epoch: int
    labels: Array | None
    y_true: Array | None
    y_pred: Array | None
    loss: Array


class Stream:
    """Visits in the order of time, and who was visited.

    Args:
        samples: Rows of one output, of one phase, over some epochs.
        task: What the values mean; None when only the loss is looked at.
        roster: Who is known from an earlier pass over the same rows.
    """

    def __init__(self, samples: Samples, task: OutputTask | None, roster: Roster | None = None) -> None:
        self.roster = roster or Roster()
        self._task = task
        wanted = ["sample_id", "fingerprint", "epoch", "loss", *(["y_true", "y_pred"] if task else [])]
        present = record_rows.column_names(samples.record_batches)
        self._columns = [name for name in wanted if name in present]
        self._batches = record_rows.only(samples.record_batches, self._columns)
        self._repeated = 0
        self._broken = 0
        self._named = False

    def __iter__(self) -> Iterator[Visits]:
        for epoch, batch in _chunks(self._batches, self._columns):
            yield from self._visits(epoch, batch)

    def say_what_was_seen(self, above: int) -> None:
        """Warns of what a reader of a table by sample would not expect, `above` calls above this one."""
        if self.roster.relabelled:
            _warn(
                f"{self.roster.relabelled:,} ids came with more than one label: identical inputs, or labels that "
                "changed. Each has a row for each of its labels.",
                above,
            )
        if self._repeated and not self._named:
            _warn(
                f"{self._repeated:,} times an input came again within an epoch, under the same label. Such samples "
                "share a row, with more visits than epochs. run.identify(data) tells identical inputs apart.",
                above,
            )
        if self._broken:
            _warn(f"{self._broken:,} predictions are not finite. Those visits are left out.", above)

    def _visits(self, epoch: int, batch: pa.RecordBatch) -> Iterator[Visits]:
        y_true, y_pred = (_values(batch, name) for name in ("y_true", "y_pred"))
        loss = _values(batch, "loss")
        loss = np.full(len(batch), np.nan) if loss is None else loss.astype(np.float64)
        ids, labels, keep = batch.column("sample_id"), None, np.ones(len(batch), bool)
        if self._task is not None and y_true is not None and y_pred is not None:
            labels = None if self._task.task is Task.REGRESSION else true_labels(y_true, self._task)
            keep = _labelled(labels, self._task, len(batch))
            finite = np.isfinite(y_pred.reshape(len(y_pred), -1).sum(axis=1))
            self._broken += int((keep & ~finite).sum())
            keep &= finite
        if not keep.all():
            ids, loss = ids.filter(pa.array(keep)), loss[keep]
            labels, y_true, y_pred = (_of(each, keep) for each in (labels, y_true, y_pred))
        rows = self.roster.rows(ids, _label_numbers(labels, y_true, len(ids)))
        self._named = self._named or not _same(batch)
        for turn, chosen in enumerate(_turns(rows)):
            self._repeated += len(chosen) if turn else 0
            own, truth, scores = (_of(each, chosen) for each in (labels, y_true, y_pred))
            yield Visits(rows[chosen], epoch, own, truth, scores, loss[chosen])


def _of(values: Array | None, chosen: Array) -> Array | None:
    return None if values is None else values[chosen]


def _chunks(batches: Sequence[pa.RecordBatch], columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Pieces of one epoch each: small batches together, large ones in parts."""
    waiting: list[pa.RecordBatch] = []
    epoch, size = -1, 0
    for batch in batches:
        for piece in record_rows.uniform([batch.select(columns)]):
            if not len(piece):
                continue
            now, most = piece.column("epoch")[0].as_py(), _rows_of_chunk(piece)
            if waiting and (now != epoch or size + len(piece) > most or piece.schema != waiting[0].schema):
                yield epoch, _joined(waiting)
                waiting, size = [], 0
            epoch = now
            for start in range(0, len(piece), most):
                part = piece.slice(start, most)
                if len(part) == most:
                    yield epoch, part
                else:
                    waiting.append(part)
                    size += len(part)
    if waiting:
        yield epoch, _joined(waiting)


def _joined(pieces: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces)


def _rows_of_chunk(batch: pa.RecordBatch) -> int:
    widths = [
        int(np.prod(field.type.shape)) for field in batch.schema if isinstance(field.type, pa.FixedShapeTensorType)
    ]
    return int(np.clip(_VALUES // max([1, *widths]), _LEAST_ROWS, _MOST_ROWS))


def _values(batch: pa.RecordBatch, name: str) -> Array | None:
    return decode(batch.column(name)) if name in batch.schema.names else None


def _labelled(labels: Array | None, task: OutputTask, count: int) -> Array:
    """Which rows have a label: sparse ones that mean "ignore", and one-hot rows of zeros, are none."""
    if labels is None or labels.ndim > 1:
        return np.ones(count, bool)
    known = (labels >= 0) & (labels < task.classes)
    return np.asarray(known if task.ignore_class is None else known & (labels != task.ignore_class))


def _label_numbers(labels: Array | None, y_true: Array | None, count: int) -> Array:
    """A number for the label of each visit; of several values, their fingerprint."""
    if labels is not None and labels.ndim == 1:
        return labels.astype(np.int64)
    if y_true is None:
        return np.zeros(count, np.int64)
    return fingerprint(np.ascontiguousarray(y_true)) if count else np.zeros(0, np.int64)


def _turns(rows: Array) -> Iterator[Array]:
    """The places of visits in turns within each of which no sample comes twice, in order."""
    places = np.arange(len(rows))
    while len(places):
        mark = np.empty(int(rows[places].max()) + 1, np.int64)
        mark[rows[places][::-1]] = places[::-1]  # the first place of each sample is what stays
        first = mark[rows[places]] == places
        yield places[first]
        places = places[~first]


def _same(batch: pa.RecordBatch) -> bool:
    """Whether samples are called by their fingerprints."""
    if "fingerprint" not in batch.schema.names:
        return False
    return bool(batch.column("sample_id").equals(batch.column("fingerprint")))


def _warn(message: str, above: int) -> None:
    warnings.warn(message, DataWarning, stacklevel=above + 2)
