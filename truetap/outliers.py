"""Samples that lie apart from their own class, in what a layer made of them.

By the distance to the k-th nearest neighbour of the same class: Ramaswamy, Rastogi, Shim: Efficient algorithms
for mining outliers from large data sets, SIGMOD 2000. A distance counts against those of its class by the modified
z-score of Iglewicz and Hoaglin (How to detect and handle outliers, 1993), whose usual limit is 3.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.errors import NotRecordedError, TaskError, near_names

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["outliers"]

Array = npt.NDArray[Any]

_LIMIT = 3.5
_NORMAL = 0.6745  # the third quartile of the standard normal: makes the median deviation a standard deviation
_MOST_FEATURES = 4096


def outliers(
    run: Run,
    layer: str | None = None,
    *,
    phase: str | None = None,
    epoch: int = -1,
    output: str | None = None,
    neighbors: int = 5,
) -> pa.Table:
    """See `Run.outliers`."""
    if isinstance(neighbors, bool) or neighbors < 1:
        raise TaskError(f"neighbors= is a number from 1. Received: neighbors={neighbors!r}.")
    samples = run.samples(phase, epoch)
    one = samples[output] if output else samples
    labels = np.asarray(one.true_labels)
    if labels.ndim != 1:
        raise TaskError(
            f"Outliers are told among the samples of a class. Received: labels of shape {labels.shape}. Expected: one "
            "class a sample."
        )
    ids, positions, steps = np.asarray(samples.ids), samples.positions, np.asarray(samples.steps)
    if layer is None:
        features = np.asarray(one.y_pred, np.float64)
    else:
        features, places = _activations(run, layer, phase, epoch, steps, positions)
        ids, labels = ids[places], labels[places]
    flat = features.reshape(len(features), -1)
    if flat.shape[1] > _MOST_FEATURES:
        flat = features.mean(tuple(range(1, features.ndim - 1)))
    usable = np.isfinite(flat).all(1)
    ids, labels, flat = ids[usable], labels[usable], flat[usable]
    from sklearn.neighbors import NearestNeighbors  # most of a second, of each command and each tt.open

    distance, score = np.full(len(ids), np.nan), np.full(len(ids), np.nan)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        if len(own) <= neighbors + 1:
            continue  # too few to say what is usual
        near, _ = NearestNeighbors(n_neighbors=neighbors + 1).fit(flat[own]).kneighbors(flat[own])
        distance[own] = near[:, -1]
        score[own] = _modified_z(near[:, -1])
    order = np.argsort(-np.nan_to_num(score, nan=-np.inf), kind="stable")
    return pa.table(
        {
            "sample_id": pa.array(ids[order].tolist()),
            "label": pa.array(labels[order], pa.int64()),
            "distance": pa.array(distance[order], pa.float64(), from_pandas=True),
            "score": pa.array(score[order], pa.float64(), from_pandas=True),
            "flagged": pa.array(np.nan_to_num(score[order]) > _LIMIT, pa.bool_()),
        }
    )


def _modified_z(values: Array) -> Array:
    middle = np.median(values)
    deviation = np.median(np.abs(values - middle))
    if deviation == 0:  # most are equal: by the mean deviation, as Iglewicz and Hoaglin say
        deviation = np.mean(np.abs(values - middle)) * _NORMAL / 0.7979
    return np.asarray(_NORMAL * (values - middle) / deviation if deviation else np.zeros(len(values)))


def _activations(
    run: Run, layer: str, phase: str | None, epoch: int, steps: Array, positions: Array | None
) -> tuple[Array, Array]:
    """The raw values of a layer, and the row among the samples that each is of."""
    known = run.activations
    if layer not in known.paths:
        raise NotRecordedError(
            f"No activations of {layer!r} were recorded. {near_names(layer, known.paths)} Expected: such as "
            f"tt.Activations({layer!r}, every='epoch', samples=…) among the recorder's taps."
        )
    table = run.activations(layer, phase=phase, epoch=epoch)
    values = table.values  # raises where only statistics were recorded
    where = table.to_arrow()
    assert positions is not None  # activations come of a recorder, whose samples have them
    row_of = {key: row for row, key in enumerate(zip(steps.tolist(), positions.tolist(), strict=True))}
    keys = zip(where.column("step").to_pylist(), where.column("position").to_pylist(), strict=True)
    rows = np.asarray([row_of.get(key, -1) for key in keys])
    there = rows >= 0
    return np.asarray(values, np.float64)[there], rows[there]
