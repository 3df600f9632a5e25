"""Ray Data as the reader: units of files, blocks of a user's dataset, slices of arrays.

Of files, each unit becomes one row of a dataset, which Ray Data can neither split nor merge: its
number, and its rows in bytes. A user's dataset is taken block by block in its own order; the driver sees
references only. Nothing is read further ahead than Ray Data's own limits allow.
"""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
from ray.data.block import BlockAccessor

from truetap.engines.pieces import Files, Piece, sliced
from truetap.engines.units import MOST_UNITS, Task, Unit
from truetap.errors import DataError

__all__ = ["Given", "from_arrays", "from_dataset", "from_files", "opened"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Given:
    """A unit's rows on their way to an actor.

    Attributes:
        task: The unit.
        data: A reference to the rows.
        ids: Names for them, or None.
        rows: Where the rows begin and end in what is referred to; None for all.
    """

    task: Task
    data: Any
    ids: Array | None = None
    rows: tuple[int, int] | None = None


def from_files(files: Files, units: Sequence[Unit], ids: Array | None) -> Generator[Given, None, None]:
    """The units, read by tasks of Ray Data.

    Args:
        files: The files.
        units: Those units that are to be read.
        ids: Names of all rows of the files, or None.
    """
    if not units:
        return
    stretches = files.stretches(units)
    plan = ray.put((files, stretches))
    # Whole blocks, of one row each: a batch size would make two tasks of each stretch.
    dataset = ray.data.range(len(stretches), override_num_blocks=len(stretches)).map_batches(
        _read, batch_size=None, batch_format="pyarrow", fn_kwargs={"plan": plan}
    )
    dataset.context.target_max_block_size = _BLOCK_BYTES
    order = itertools.chain.from_iterable(stretches)
    # In the order of the units, so that counting is enough to know which unit is where.
    with closing(_references(dataset)) as references:
        for reference, rows, span in references:
            start = span[0] if span else 0
            for place, unit in enumerate(itertools.islice(order, rows), start):
                own = None if ids is None else ids[unit.first_row : unit.first_row + unit.rows]
                yield Given(Task(unit.number, unit.first_step), reference, own, (place, place + 1))


def from_arrays(element: Any, units: Sequence[Unit], ids: Array | None) -> Generator[Given, None, None]:
    """Slices of arrays, put into the object store when their turn comes."""
    for unit in units:
        own = None if ids is None else ids[unit.start : unit.stop]
        piece = Piece(sliced(element, unit.start, unit.stop))
        yield Given(Task(unit.number, unit.first_step), ray.put(piece), own)


def from_dataset(dataset: Any, batch_size: int, first: Task) -> Generator[Given, None, None]:
    """The blocks of a user's dataset, in its order.

    Raises:
        DataError: There are more blocks than a run can hold units.
    """
    number, step = first.number, first.first_step
    with closing(_references(dataset)) as references:
        for reference, rows, span in references:
            if number >= MOST_UNITS:
                raise DataError(
                    f"The dataset has more than {MOST_UNITS:,} blocks, which are units of work. Expected: larger "
                    "blocks, such as dataset.repartition(target_num_rows_per_block=100_000)."
                )
            if rows:
                yield Given(Task(number, step), reference, rows=span)
                number += 1
                step += math.ceil(rows / batch_size)


def opened(given: Given, data: Any) -> Piece:
    """In an actor: the rows of a unit.

    Args:
        given: The unit.
        data: What it refers to: a piece; a table of units of files; or a block of a dataset.
    """
    if isinstance(data, Piece):
        piece = data
    elif isinstance(data, pa.Table) and data.column_names == _COLUMNS and given.rows is not None:
        place = given.rows[0]
        if data.column("unit")[place].as_py() != given.task.number:
            raise DataError(
                f"Ray Data gave the units of the files in another order: unit {data.column('unit')[place]} came in the "
                f"place of {given.task.number}. Nothing of it was written; please report it with the version of Ray."
            )
        piece = pickle.loads(data.column("rows")[place].as_buffer())
    else:
        columns = BlockAccessor.for_block(data).to_batch_format("numpy")
        piece = Piece({name: _stacked(name, values) for name, values in columns.items()})
        if given.rows is not None:
            piece = Piece(sliced(piece.element, *given.rows))
    return piece if given.ids is None else Piece(piece.element, given.ids, piece.seconds)


def _stacked(name: str, values: Array) -> Array:
    """Lists of one length, which Ray hands over one by one, as one array."""
    if values.dtype != object or not len(values) or not isinstance(values[0], np.ndarray | list):
        return values
    shapes = {np.shape(value) for value in values}
    if len(shapes) > 1:
        raise DataError(
            f"The values in column {name!r} have different shapes. Received: {sorted(shapes)[:3]}. Expected: one "
            "shape; pad them in the dataset's map_batches."
        )
    return np.stack([np.asarray(value) for value in values])


_COLUMNS = ["unit", "rows"]
_BLOCK_BYTES = 16 << 20  # about a unit: a block is handed on when it is full


def _read(batch: pa.Table, plan: Any) -> Iterator[pa.Table]:
    """A task of Ray Data: the units of one stretch, each as one row."""
    files, stretches = _once_in_a_process(plan)
    [index] = batch.column("id").to_pylist()
    for unit, piece in zip(stretches[index], files.read(stretches[index]), strict=True):
        # Between processes of one cluster, as Ray itself does; nothing of it comes into a run.
        content = pickle.dumps(piece, protocol=5)
        yield pa.table({"unit": np.asarray([unit.number]), "rows": pa.array([content], pa.large_binary())})


_plans: dict[str, Any] = {}  # the last one, in a process that reads: of many files it takes long to unpack


def _once_in_a_process(plan: Any) -> Any:
    if plan.hex() not in _plans:
        _plans.clear()
        _plans[plan.hex()] = ray.get(plan)
    return _plans[plan.hex()]


def _references(dataset: Any) -> Generator[tuple[Any, int, tuple[int, int] | None], None, None]:
    """References to a dataset's blocks in its order, their rows, and which of them count.

    `iter_internal_ref_bundles` is what Ray offers developers for this (checked with 2.60): every public way
    brings the rows to this process, or all of them into memory.
    """
    context = dataset.context
    options = context.execution_options
    before = context.enable_progress_bars, options.preserve_order
    context.enable_progress_bars = False
    options.preserve_order = True
    try:
        bundles = dataset.iter_internal_ref_bundles()
        for bundle in bundles:
            slices = bundle.slices or [None] * len(bundle.blocks)
            for entry, part in zip(bundle.blocks, slices, strict=True):
                span = None if part is None else (part.start_offset, part.end_offset)
                rows = entry.metadata.num_rows if span is None else span[1] - span[0]
                yield entry.ref, rows, span
    finally:
        bundles = None  # an execution that isn't read to its end stops when nobody holds it
        context.enable_progress_bars, options.preserve_order = before
