"""One sample's life: its rows over all phases and epochs, in the order of time.

Cost: the store finds the rows by the sorted Parquet files of a finished run; of a run that is being
written it reads the ids, 8 bytes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.about import About, column
from truetap.columns import encode, record_batch
from truetap.errors import IdError, TaskError, near_names
from truetap.reading.names import Names
from truetap.reading.sample_rows import common_fields, made_alike, numbers, occurrences
from truetap.reading.tables import Tables
from truetap.samples import Samples
from truetap.tasks import OutputTask, Task

__all__ = ["history"]

Array = npt.NDArray[Any]

_FIRST = ("phase", "epoch", "step", "batch", "position", "loss", "weighted_loss", "sample_weight")
_PHASES = ("train", "val", "test", "predict")  # the order within an epoch


def history(
    tables: Tables, sample_id: Any, *, names: Names | None, about: About, tasks: dict[str, OutputTask]
) -> pa.Table:
    """The rows of one sample in the order of time; see `Run.history`.

    Args:
        tables: The run.
        sample_id: Its name, its id, or the fingerprint of its input.
        names: Names given after the fact, or None.
        about: What is known of the outputs.
        tasks: What the values of outputs mean, where the rows of one sample can't tell it.

    Raises:
        IdError: No recorded sample is called so.
    """
    if isinstance(sample_id, np.generic):
        sample_id = sample_id.item()
    if not isinstance(sample_id, int | str) or isinstance(sample_id, bool):
        raise IdError(f"A sample's id is a whole number or a string. Received: {sample_id!r}.")
    found = _rows(tables, sample_id, names)
    if not found:
        raise IdError(_unknown(tables, sample_id, names))
    whole = _joined(_in_time(found))
    if names is not None and len(names.prints_of(sample_id)):
        ids = encode(np.asarray([sample_id] * len(whole), object if isinstance(sample_id, str) else np.int64))
        whole = whole.set_column(whole.schema.get_field_index("sample_id"), "sample_id", ids)
    return _table(whole, about, tasks)


def _rows(tables: Tables, sample_id: int | str, names: Names | None) -> list[pa.RecordBatch]:
    """The rows of a sample, each a batch of its own."""
    prints = [] if names is None else names.prints_of(sample_id).tolist()
    if names is not None and prints:
        return _of_that_name([row for found in prints for row in _of_print(tables, found)], sample_id, names)
    by_id = _single(tables.reader.rows_of("samples", sample_id=sample_id))
    if by_id or isinstance(sample_id, str):
        return by_id
    return _single(tables.reader.rows_of("samples", fingerprint=sample_id))


def _of_print(tables: Tables, fingerprint: int) -> list[pa.RecordBatch]:
    """By the id first, by which rows are sorted, and which is the fingerprint where there was no other."""
    found = tables.reader.rows_of("samples", sample_id=fingerprint)
    return _single(found or tables.reader.rows_of("samples", fingerprint=fingerprint))


def _single(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    return [batch.slice(row, 1) for batch in batches for row in range(len(batch))]


def _of_that_name(found: list[pa.RecordBatch], sample_id: int | str, names: Names) -> list[pa.RecordBatch]:
    """Of identical inputs those whose turn it is."""
    if not found:
        return []
    found = _in_time(found)
    prints = np.concatenate([numbers(row.column("fingerprint")) for row in found])
    ids = np.concatenate([numbers(row.column("sample_id")) for row in found])
    passes = [_pass(row) for row in found]
    known = {key: number for number, key in enumerate(dict.fromkeys(passes))}
    nth = occurrences(prints, np.asarray([known[key] for key in passes]))
    chosen = names.apply(prints, ids, nth) == sample_id
    return [row for row, wanted in zip(found, chosen, strict=True) if wanted]


def _in_time(found: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """By epoch, in it by phase, in it by step and position."""

    def key(row: pa.RecordBatch) -> tuple[int, int, int, int]:
        epoch, phase = _pass(row)
        place = _PHASES.index(phase) if phase in _PHASES else len(_PHASES)
        return epoch, place, _value(row, "step", 0), _value(row, "position", 0)

    return sorted(found, key=key)


def _pass(row: pa.RecordBatch) -> tuple[int, str]:
    """Epoch and phase of a row; of a collection, which has none, the first."""
    return _value(row, "epoch", 0), _value(row, "phase", "")


def _value(row: pa.RecordBatch, name: str, missing: Any) -> Any:
    place = row.schema.get_field_index(name)
    return missing if place < 0 else row.column(place)[0].as_py()


def _table(found: pa.RecordBatch, about: About, tasks: dict[str, OutputTask]) -> pa.Table:
    samples = Samples([found], about, tasks={name: partial(tasks.__getitem__, name) for name in tasks})
    present = found.schema.names
    columns = {name: found.column(name) for name in _FIRST if name in present}
    for output in about.outputs:
        columns |= _labels(samples if output == "" else samples[output], output)
        kinds = [column(kind, output) for kind in ("y_true", "y_pred", "loss", "sample_weight", "mask")]
        columns |= {name: found.column(name) for name in kinds if name in present}
    columns |= {name: found.column(name) for name in present if name not in columns}
    return pa.table(columns)


def _labels(samples: Samples, output: str) -> dict[str, pa.Array]:
    try:
        if samples.task().task is Task.REGRESSION:
            return {}
        return {
            column("true_label", output): encode(samples.true_labels),
            column("pred_label", output): encode(samples.pred_labels),
        }
    except TaskError:  # no labels, as in predict, or none that make a task; the values stand beside it
        return {}


def _joined(found: list[pa.RecordBatch]) -> pa.RecordBatch:
    """The rows as one batch, also where sessions recorded other columns, or shapes change."""
    fields = common_fields(list(dict.fromkeys(batch.schema for batch in found)))
    alike = [made_alike(batch, fields) for batch in found]
    columns = []
    for name in fields:
        parts = [batch.column(name) for batch in alike]
        same = all(part.type == parts[0].type for part in parts)
        columns.append((name, pa.concat_arrays(parts) if same else encode(rows.array(alike, name))))
    return record_batch(columns)


def _unknown(tables: Tables, sample_id: int | str, names: Names | None) -> str:
    said = f"No recorded sample is called so. Received: {sample_id!r}. "
    if names is not None and len(names.prints_of(sample_id)):
        return said + "It is in the data that were given to identify, and in no recorded batch."
    if names is not None:
        return said + f"Expected: a name given by run.identify. {names.near(sample_id)}"
    few = tables.batches("samples").select(["sample_id", "fingerprint"])[0].slice(0, 1000)
    ids = few.column(0).to_pylist()
    if ids == few.column(1).to_pylist():
        fingerprints = "which are fingerprints of the inputs until run.identify((x, y)) calls the samples by row"
        return said + f"Expected: an id as in run.samples().ids, {fingerprints}."
    near = near_names(str(sample_id), map(str, ids))
    return said + f"Expected: an id as in run.samples().ids; run.identify(data, ids=…) gives names. {near}"
