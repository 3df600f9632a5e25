"""What data mean for a collection on Ray: which units there are, and how their rows are had."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Protocol

import numpy.typing as npt
import ray.data

from truetap.backends.tensors import is_ragged, is_sparse
from truetap.data.arrays import ArraySource, holds_arrays
from truetap.data.element import split
from truetap.data.source import Facts
from truetap.engines.call import Call
from truetap.engines.files import needed_files
from truetap.engines.pieces import Files, facts_of, sliced
from truetap.engines.ray.cluster import CPUS_OF_A_TASK
from truetap.engines.ray.reading import Given, from_arrays, from_dataset, from_files
from truetap.engines.stamps import array_stamp, files_stamp
from truetap.engines.units import Part, Task, Unit, cut
from truetap.errors import DataError, IdError
from truetap.ids import as_ids, check_unique
from truetap.structure import leaves

__all__ = ["DatasetJob", "Job", "open_job", "rows_of"]

Array = npt.NDArray[Any]


class Job(Protocol):
    """Data, divided."""

    @property
    def facts(self) -> Facts:
        """What is known of them."""

    @property
    def stamp(self) -> str:
        """A digest by which they are known again."""

    @property
    def units(self) -> tuple[Unit, ...] | None:
        """The units; None when they are known only once they are read."""

    @property
    def cpus_to_read(self) -> float:
        """CPUs that have to be left beside the actors."""

    @property
    def listed(self) -> Array | None:
        """One id for every row, in order, if such were given."""

    def give(self, done: frozenset[int]) -> Generator[Given, None, None]:
        """The units that aren't done, with their rows."""


def open_job(call: Call, model: Any, unit_rows: int | None) -> Job:
    """The job that some data make.

    Raises:
        DataError: They can't be divided.
        IdError: Ids that can't belong to them.
    """
    if isinstance(call.data, ray.data.Dataset):
        return DatasetJob(call)
    files = needed_files(call.data, model, call.ids)
    if files is not None:
        return FilesJob(files, call, unit_rows)
    if holds_arrays(call.data):
        return ArraysJob(call, unit_rows)
    raise DataError(
        "engine='ray' divides the data among processes. Received: "
        f"{type(call.data).__module__.partition('.')[0]}.{type(call.data).__name__}, which gives its batches one after "
        "the other in one process, or is no data at all. Expected: arrays (x, y); a path of Parquet files, NumPy files "
        "or images; or a ray.data.Dataset; or engine=None, which takes any source."
    )


class FilesJob:
    """Files, read by tasks of Ray Data."""

    cpus_to_read = CPUS_OF_A_TASK

    def __init__(self, files: Files, call: Call, unit_rows: int | None) -> None:
        self._files = files
        size = call.rows_per_batch
        self.units: tuple[Unit, ...] | None = cut(files.parts, size, unit_rows=unit_rows, steps=call.steps)
        self.facts = facts_of(files, cut(files.parts, size), size)
        self.stamp = files_stamp(files)
        self.listed = _listed(call.ids, self.facts.num_samples)

    def give(self, done: frozenset[int]) -> Generator[Given, None, None]:
        """The units that aren't done."""
        return from_files(self._files, _without(self.units, done), self.listed)


class ArraysJob:
    """Arrays of this process, sent in slices."""

    cpus_to_read = 0.0

    def __init__(self, call: Call, unit_rows: int | None) -> None:
        source = ArraySource(call.data, call.batch_size)
        self.facts, self._element = source.facts, source.element
        for leaf in leaves(self._element):
            if is_ragged(leaf) or is_sparse(leaf):
                raise DataError(
                    f"Ragged and sparse arrays are not divided. Received: {type(leaf).__name__}. Expected: dense "
                    "arrays, or engine=None."
                )
        split(sliced(self._element, 0, 1), self.facts.kind)  # says at once what a worker would
        nbytes = sum(leaf.nbytes for leaf in leaves(self._element) if leaf is not None)
        rows = self.facts.num_samples or 0
        self.units: tuple[Unit, ...] | None = cut(
            [Part("", rows, nbytes)], call.rows_per_batch, unit_rows=unit_rows, steps=call.steps
        )
        self.stamp = array_stamp(self._element)
        self.listed = _listed(call.ids, rows)

    def give(self, done: frozenset[int]) -> Generator[Given, None, None]:
        """The units that aren't done."""
        return from_arrays(self._element, _without(self.units, done), self.listed)


class DatasetJob:
    """A `ray.data.Dataset`: its blocks, in its order, are the units."""

    units: tuple[Unit, ...] | None = None
    listed: Array | None = None
    cpus_to_read = CPUS_OF_A_TASK

    def __init__(self, call: Call) -> None:
        if call.steps is not None:
            raise DataError(
                f"steps counts batches of one process. Received: steps={call.steps} with a ray.data.Dataset. Expected: "
                "dataset.limit(rows)."
            )
        if call.ids is not None and not isinstance(call.ids, str) and not callable(call.ids):
            raise IdError(
                "A ray.data.Dataset has no order that a list of ids could follow. Expected: ids='column', the name of "
                "one of its columns; or a function from a batch to its ids."
            )
        self._dataset = call.data
        self._batch_size = call.rows_per_batch
        self.facts = Facts(kind="ray.data.Dataset", fresh=True)
        self.stamp = "ray.data.Dataset"  # of which nothing is known before it is read; its rows go by their ids
        self.first = Task(0, 0)

    def give(self, done: frozenset[int]) -> Generator[Given, None, None]:
        """All blocks; rows that are in the run already are left out by the actors."""
        return from_dataset(self._dataset, self._batch_size, self.first)


def _listed(ids: Any, rows: int | None) -> Array | None:
    if ids is None or isinstance(ids, str) or callable(ids):
        return None
    listed = as_ids(ids, rows)
    check_unique(listed)
    return listed


def _without(units: tuple[Unit, ...] | None, done: frozenset[int]) -> list[Unit]:
    return [unit for unit in units or () if unit.number not in done]


def rows_of(job: Job) -> Mapping[int, int]:
    """Rows by unit, where they are known."""
    return {unit.number: unit.rows for unit in job.units or ()}
