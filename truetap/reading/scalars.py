"""Curves: what each step measured, and what Keras said at the end of each epoch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetap.reading.choice import choose_phase
from truetap.reading.tables import Tables

__all__ = ["epochs_table", "scalars_table"]


def scalars_table(tables: Tables, phase: str | None) -> pa.Table:
    """A row for each step, of one phase or of all."""
    whole = tables.whole("scalars", of_all=True)
    assert whole is not None
    if tables.reader.workers > 1:
        whole = _one_a_step(whole)
    if phase is None:
        return whole
    recorded = tables.epochs("scalars")
    chosen = choose_phase(phase, recorded, "scalars")
    return whole.filter(pc.equal(whole.column("phase"), chosen))


def _one_a_step(whole: pa.Table) -> pa.Table:
    """The steps that several workers ran together: the samples of all, the loss as their mean weighted by samples."""
    codes = whole.column("phase").combine_chunks().dictionary_encode().indices.to_numpy()
    steps, workers = (whole.column(name).to_numpy() for name in ("step", "worker"))
    order = np.lexsort((workers, steps, codes))
    new = (np.diff(codes[order], prepend=-1) != 0) | (np.diff(steps[order], prepend=-1) != 0)
    starts = np.flatnonzero(new)
    samples = whole.column("samples").to_numpy()[order]
    weights = np.where(samples < 0, 1.0, samples)
    losses = whole.column("loss").to_numpy()[order]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.add.reduceat(losses * weights, starts) / np.add.reduceat(weights, starts)
    together = whole.take(order[starts]).drop_columns(["worker"])
    for name, values in (("samples", np.add.reduceat(samples, starts)), ("loss", mean)):
        place = together.schema.get_field_index(name)
        column = pa.array(values, together.schema.field(name).type, from_pandas=True)
        together = together.set_column(place, name, column)
    return together.take(np.argsort(order[starts], kind="stable"))


def epochs_table(tables: Tables) -> pa.Table:
    """A row for each epoch, a column for each metric; null where an epoch lacks one."""
    whole = tables.whole("epochs")
    assert whole is not None
    columns = [whole.column(name).to_pylist() for name in ("phase", "epoch", "name", "value")]
    found: dict[tuple[str, int], dict[str, float]] = {}
    for phase, epoch, name, value in zip(*columns, strict=True):
        found.setdefault((phase, epoch), {})[name] = value
    names = dict.fromkeys(columns[2])
    keys = sorted(found, key=lambda key: key[1])
    return pa.table(
        {
            "phase": pa.array([phase for phase, _ in keys], pa.string()),
            "epoch": pa.array(np.asarray([epoch for _, epoch in keys], np.int32)),
            **{name: pa.array([found[key].get(name) for key in keys], pa.float64()) for name in names},
        }
    )
