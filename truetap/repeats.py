"""Identical inputs: within a phase (duplicates), and in two (what was trained on is validated on).

By the fingerprints that a recorder keeps anyway: the same bits of x, whatever the rows are called. What augmentation
has changed is another input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.errors import NotRecordedError, StoreError
from truetap.reading.choice import choose_phase

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["duplicates", "overlap"]

Array = npt.NDArray[Any]


def duplicates(run: Run, phase: str | None = None) -> pa.Table:
    """See `Run.duplicates`."""
    phase, prints, ids, labels = _epoch(run, phase)
    unique, index, counts = np.unique(prints, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts > 1)
    order = repeated[np.argsort(-counts[repeated], kind="stable")]
    places = np.argsort(index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    found = [places[starts[each] : starts[each + 1]] for each in order]
    conflicting = [labels is not None and _differ(labels, some) for some in found]
    return pa.table(
        {
            "fingerprint": pa.array(unique[order], pa.int64()),
            "count": pa.array(counts[order], pa.int64()),
            "sample_ids": _lists(ids[some] for some in found),
            "conflicting": pa.array(conflicting, pa.bool_()),
        }
    )


def overlap(run: Run, one: str = "train", other: str = "val") -> pa.Table:
    """See `Run.overlap`."""
    if one == other:
        raise NotRecordedError(f"Two phases are compared. Received: {one!r} twice. Expected: run.duplicates({one!r}).")
    _, first, first_ids, first_labels = _epoch(run, one)
    _, second, _, second_labels = _epoch(run, other)
    both, at_first, at_second = np.intersect1d(first, second, return_indices=True)
    order = np.argsort(at_second, kind="stable")
    both, at_first, at_second = both[order], at_first[order], at_second[order]
    counts = [_counted(prints, both) for prints in (first, second)]
    conflicting = np.zeros(len(both), bool)
    if first_labels is not None and second_labels is not None and len(both):
        pairs = zip(first_labels, second_labels, strict=True)
        for mine, theirs in pairs:
            conflicting |= np.any((mine[at_first] != theirs[at_second]).reshape(len(both), -1), axis=1)
    return pa.table(
        {
            "fingerprint": pa.array(both, pa.int64()),
            "sample_id": pa.array(first_ids[at_first].tolist()) if len(both) else pa.array([], pa.int64()),
            one: pa.array(counts[0], pa.int64()),
            other: pa.array(counts[1], pa.int64()),
            "conflicting": pa.array(conflicting, pa.bool_()),
        }
    )


def _epoch(run: Run, phase: str | None) -> tuple[str, Array, Array, list[Array] | None]:
    """Fingerprints, ids and labels of the first epoch of a phase that was recorded whole."""
    epochs = run.sample_epochs
    if not epochs:
        samples = run.samples(phase)  # a collection: one pass
        chosen = phase or "samples"
    else:
        chosen = choose_phase(phase, epochs)
        samples = run.samples(chosen, epochs[chosen][0])
    batches = samples.record_batches
    names = rows.column_names(batches)
    if "fingerprint" not in names:
        raise StoreError("The samples have no fingerprints. Expected: a run of tt.Recorder, or of tt.collect(…, to=…).")
    labels = [rows.array(batches, name) for name in names if name.partition("/")[0] == "y_true"]
    return chosen, rows.array(batches, "fingerprint"), np.asarray(samples.ids), labels or None


def _differ(labels: Sequence[Array], places: Array) -> bool:
    return any(bool(np.any(each[places[1:]] != each[places[:1]])) for each in labels)


def _counted(prints: Array, wanted: Array) -> Array:
    ordered = np.sort(prints)
    return np.asarray(np.searchsorted(ordered, wanted, "right") - np.searchsorted(ordered, wanted, "left"))


def _lists(found: Iterable[Array]) -> pa.Array:
    listed = [each.tolist() for each in found]
    return pa.array(listed) if listed else pa.array([], pa.list_(pa.int64()))
