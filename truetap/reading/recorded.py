"""Recorded values of layers, weights and gradients: raw ones, and statistics of them.

`Recordings` is a kind's shelf by path; `Recorded` one path on it. Raw values lie in a table of their
own for each path (which one, the manifest says); they are mapped, and put into memory when asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap import rows
from truetap.columns import concatenate
from truetap.errors import NotRecordedError, StoreError, near_names
from truetap.frames import pandas
from truetap.notebook.objects import recorded_html, recordings_html
from truetap.reading.choice import Epochs, choose_epochs, choose_phase, spans
from truetap.reading.sample_rows import Alike, Named
from truetap.reading.statistics import Statistics
from truetap.reading.tables import Tables
from truetap.taps import BY_KIND

if TYPE_CHECKING:
    import pandas as pd

    from truetap.reading.names import Names

__all__ = ["Filter", "Recorded", "Recordings", "raw_tables"]

Array = npt.NDArray[Any]

_NOUNS = {"tapped": "tapped values", "optimizer_state": "optimizer variables"}  # others are plurals by themselves
_MOST_SHOWN = 50  # paths in a printed list


@dataclass(frozen=True)
class Filter:
    """Which rows are wanted; see `Recordings.__call__`."""

    phase: str | None = None
    epoch: Epochs = None
    step: int | Iterable[int] | None = None


def raw_tables(tables: Tables, kind: str) -> dict[str, str]:
    """The tables of raw values of a kind, by path; one of which the manifest says nothing goes by its name."""
    said = tables.metadata.get("tensors")
    known = said if isinstance(said, Mapping) else {}
    found = {}
    for table in tables.reader.tables:
        entry = known.get(table)
        if not isinstance(entry, Mapping):
            head, dot, rest = table.partition(".")
            entry = {"kind": head, "path": rest} if dot else {}
        if entry.get("kind") == kind:
            found[str(entry.get("path", ""))] = table
    return found


class Recordings(Mapping[str, "Recorded"]):
    """All that was recorded of one kind, by path.

    Args:
        tables: The run.
        kind: "activations", "gradients", ….
        chosen: Which rows.
        names: Names given to samples after the fact.
    """

    def __init__(self, tables: Tables, kind: str, chosen: Filter, names: Names | None) -> None:
        self.kind = kind
        self._tables = tables
        self._chosen = chosen
        self._names = names
        self._raw = raw_tables(tables, kind)

    @overload
    def __call__(
        self, path: str, *, phase: str | None = None, epoch: Epochs = None, step: int | Iterable[int] | None = None
    ) -> Recorded: ...
    @overload
    def __call__(
        self,
        path: None = None,
        *,
        phase: str | None = None,
        epoch: Epochs = None,
        step: int | Iterable[int] | None = None,
    ) -> Recordings: ...
    def __call__(
        self,
        path: str | None = None,
        *,
        phase: str | None = None,
        epoch: Epochs = None,
        step: int | Iterable[int] | None = None,
    ) -> Recorded | Recordings:
        """One path of these, or all of them, at some steps.

        Args:
            path: Such as "encoder/conv", "shared#1" or "conv1/kernel"; None for all, as a mapping.
            phase: "train", "val", "test" or "predict"; "train" if there is any, else the only one.
            epoch: A number, several, or None for all. Negative ones count from the last recorded one.
            step: A step, or several; steps of a phase count over the run, from 0.

        Raises:
            NotRecordedError: There is no such path, phase, epoch or step; those there are, are named.
        """
        chosen = Recordings(self._tables, self.kind, Filter(phase, epoch, step), self._names)
        return chosen if path is None else chosen[path]

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The paths of which anything was recorded, in the order of recording."""
        batches = self._tables.batches(self.kind).select(["path"])
        reduced = [path for batch in batches for path in pc.unique(batch.column(0)).to_pylist()]
        return tuple(dict.fromkeys([*reduced, *self._raw]))

    def __getitem__(self, path: str) -> Recorded:
        if path not in self.paths:
            hint = near_names(path, self.paths) if self.paths else f"Expected: {_tap_of(self.kind)}."
            raise NotRecordedError(f"No {_noun(self.kind)} of {path!r} were recorded. {hint}")
        return Recorded(self._tables, self.kind, path, self._raw.get(path), self._rows(path), self._chosen, self._names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def to_arrow(self) -> pa.Table:
        """The reduced values of all paths as one long table, a row a step, path and statistic.

        Raises:
            StoreError: Only raw values were recorded, or those asked for were not.
        """
        whole = self._tables.whole(self.kind)
        if whole is None:
            raise StoreError(
                f"No reduced {_noun(self.kind)} were recorded. Received: raw values of "
                f"{list(self.paths)}. Expected: a tap with reduce=; each path has its raw values in .values."
            )
        if self._chosen == Filter():
            return whole
        chosen = [each.reduced for each in self._found() if each.reduced is not None]
        return pa.concat_tables(chosen) if chosen else whole[:0]

    def to_pandas(self) -> pd.DataFrame:
        """The same as a frame."""
        return _frame(self.to_arrow())

    def __repr__(self) -> str:
        noun = _noun(self.kind)
        if not len(self):
            return f"No {noun} were recorded, which takes {_tap_of(self.kind)}."
        lines = [f"  {each.summary}" for each in self._found(_MOST_SHOWN)]
        more = [f"  … and {len(self) - _MOST_SHOWN:,} more"] if len(self) > _MOST_SHOWN else []
        return "\n".join([f"Recorded {noun} of {len(self):,} path{'s' if len(self) > 1 else ''}:", *lines, *more])

    def _repr_html_(self) -> str:
        found = self._found(_MOST_SHOWN) if len(self) else []
        return recordings_html(_noun(self.kind), len(self), found)

    def _found(self, most: int | None = None) -> list[Recorded]:
        """Those paths that were recorded where the filter asks; an error when there is none."""
        found, missing = [], None
        _ = self._by_path  # all of them are needed: read the table once
        for path in self.paths[:most]:
            try:
                found.append(self[path])
            except NotRecordedError as error:
                missing = error
        if missing is not None and not found:
            raise missing
        return found

    @cached_property
    def _by_path(self) -> dict[str, pa.Table]:
        """The long table cut by path."""
        whole = self._tables.whole(self.kind)
        if whole is None:
            return {}
        coded = whole.column("path").combine_chunks().dictionary_encode()
        codes = np.asarray(coded.indices)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(coded.dictionary)))
        pieces = np.split(order, ends[:-1])
        return {path: whole.take(rows) for path, rows in zip(coded.dictionary.to_pylist(), pieces, strict=True)}

    def _rows(self, path: str) -> pa.Table | None:
        if "_by_path" in self.__dict__:
            return self._by_path.get(path)
        found = []
        for batch in self._tables.batches(self.kind):  # one at a time: the table of a long run is large
            rows_of_path = batch.filter(pc.equal(batch.column("path"), path))
            if len(rows_of_path):
                found.append(pa.Table.from_batches([rows_of_path]))
        return pa.concat_tables(found, promote_options="permissive") if found else None


class Recorded:
    """What was recorded of one layer, weight or slot.

    Made by `run.activations(path)`, `run.gradients(path)` and their like.

    Attributes:
        kind: "activations", "gradients", ….
        path: Such as "encoder/conv", "shared#1" or "conv1/kernel".
        phase: The phase whose values these are.
        reduced: The statistics as rows of the long table, or None.
    """

    def __init__(
        self,
        tables: Tables,
        kind: str,
        path: str,
        table: str | None,
        reduced: pa.Table | None,
        chosen: Filter,
        names: Names | None,
    ) -> None:
        self.kind: str = kind
        self.path: str = path
        self._tables, self._table, self._names = tables, table, names
        epochs = _epochs_of(tables, table, reduced)
        what = f"{_noun(kind)} of {path!r}"
        self._what = what
        self.phase: str = choose_phase(chosen.phase, epochs, what)
        self._epochs = choose_epochs(chosen.epoch, epochs[self.phase], f"phase {self.phase!r} of the {what}")
        if table is not None and not len(tables.pick(table, self.phase, self._epochs)):
            self._table = None  # raw in another phase or epoch only
        self.reduced = None if reduced is None else _of(reduced, self.phase, self._epochs)
        self._wanted: Array | None = None
        if chosen.step is not None:
            self._choose_steps(np.atleast_1d(np.asarray(_steps(chosen.step), np.int64)))

    # --- raw values -----------------------------------------------------------------------------

    @cached_property
    def values(self) -> Array:
        """Raw values, shape (rows, ...): a row a sample of activations and inputs, a row a step of others.

        Zero-copy out of the mapped file where they lie in one piece.

        Raises:
            StoreError: Only statistics were recorded.
        """
        return self._column("values")

    @cached_property
    def steps(self) -> Array:
        """The step of each row of `values`; without raw values, the steps of the statistics. int64."""
        return self._column("step") if self._table is not None else self.recorded_steps

    @cached_property
    def epochs(self) -> Array:
        """The epoch of each row of `values`; without raw values, of each of `steps`. int32."""
        if self._table is not None:
            return self._column("epoch")
        assert self.reduced is not None
        steps, first = np.unique(np.asarray(self.reduced.column("step")), return_index=True)
        return np.asarray(np.asarray(self.reduced.column("epoch"))[first][: len(steps)])

    @cached_property
    def ids(self) -> Array:
        """The sample of each row of `values`, of activations and inputs."""
        return self._of_samples("sample_id")

    @cached_property
    def fingerprints(self) -> Array:
        """The fingerprint of the sample of each row of `values`, int64."""
        return self._of_samples("fingerprint")

    @cached_property
    def positions(self) -> Array:
        """The row of the sample in its batch, int32."""
        return self._of_samples("position")

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of raw values a batch at a time: memory for one, whatever was recorded."""
        for batch in self._raw_rows:
            yield batch if self._wanted is None else batch.filter(pa.array(self._mask(batch)))

    # --- statistics -----------------------------------------------------------------------------

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics by name, arrays over the recorded steps; `statistics.steps(name)` has the steps."""
        return Statistics(self._long[:0] if self.reduced is None else self.reduced, self.path)

    @cached_property
    def recorded_steps(self) -> Array:
        """Every step of which anything is recorded here, each once, int64."""
        found = [] if self.reduced is None else [np.asarray(self.reduced.column("step"))]
        if self._table is not None:
            found.append(self._column("step"))
        return np.unique(np.concatenate(found))

    # --- elsewhere ------------------------------------------------------------------------------

    def to_arrow(self) -> pa.Table:
        """The raw values as a table, a row each; without raw values, the long table of the statistics."""
        if self._table is None:
            return self._long
        return rows.as_table([batch for batch in self.batches() if len(batch)] or list(self._raw_rows)[:1])

    def to_pandas(self) -> pd.DataFrame:
        """A frame of one row a step with a column for each statistic; without any, of the raw values."""
        if self.reduced is None:
            plain = {name: _cells(self._column(name)) for name in self._raw_rows[0].schema.names}
            return _frame(plain)
        series = []
        for name in self.statistics:
            head = {"epoch": self.statistics.epochs(name), "step": self.statistics.steps(name)}
            series.append(_frame(head | {name: _cells(self.statistics[name])}).set_index(["epoch", "step"]))
        joined = series[0].join(series[1:], how="outer") if len(series) > 1 else series[0]
        return joined.reset_index()

    @property
    def summary(self) -> str:
        """One line of what there is."""
        parts = [self.raw_words] if self.raw_words else []
        if self.reduced is not None:
            parts.append(", ".join(self.statistics))
        return f"{self.path}: {'; '.join([*parts, self.where_words])}"

    @property
    def raw_words(self) -> str:
        """How many raw values there are, in words; nothing where there are none."""
        return "" if self._table is None else f"{self._raw_count:,} raw rows of shape {_shape_of(self._raw_rows)}"

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """The statistics that were recorded."""
        return () if self.reduced is None else tuple(self.statistics)

    @property
    def where_words(self) -> str:
        """Phase, epochs and steps in words."""
        return f"{self.phase}, {_epochs(self._epochs)}; {self._said_steps()}"

    def _repr_html_(self) -> str:
        return recorded_html(_noun(self.kind), self)

    def __repr__(self) -> str:
        return f"Recorded {_noun(self.kind)} of {self.summary}"

    # --- inside ---------------------------------------------------------------------------------

    @property
    def _long(self) -> pa.Table:
        if self.reduced is None:
            return pa.table({name: pa.array([], kind) for name, kind in _LONG.items()})
        return self.reduced

    @cached_property
    def _raw_rows(self) -> Sequence[pa.RecordBatch]:
        if self._table is None:
            raise StoreError(
                f"No raw {self._what} were recorded. Received: statistics {list(self.statistics)}, which are "
                "in .statistics. Expected: a tap without reduce= for raw values."
            )
        picked = self._tables.pick(self._table, self.phase, self._epochs)
        alike = Alike(picked)
        if self._names is None or "sample_id" not in alike.column_names:
            return alike
        return Named(alike, self._names)

    @property
    def _has_samples(self) -> bool:
        """Whether a row of the raw values is of a sample, not of a step."""
        return "sample_id" in rows.column_names(self._raw_rows)

    @property
    def _raw_count(self) -> int:
        return len(self.steps) if self._wanted is not None else rows.count(self._raw_rows)

    def _column(self, name: str) -> Array:
        whole = rows.array(self._raw_rows, name) if self._wanted is None else None
        if whole is not None:
            return whole
        parts = []
        for batch in rows.only(self._raw_rows, list(dict.fromkeys([name, "step"]))):
            mask = self._mask(batch)
            if mask.any():
                parts.append(rows.array([batch], name)[mask])
        return concatenate(parts) if parts else rows.array(self._raw_rows[:1], name)[:0]

    def _mask(self, batch: pa.RecordBatch) -> Array:
        assert self._wanted is not None
        return np.isin(np.asarray(batch.column("step")), self._wanted)

    def _of_samples(self, name: str) -> Array:
        if self._table is not None and not self._has_samples:
            raise StoreError(f"The {self._what} belong to steps, not to samples. Expected: .steps or .epochs.")
        return self._column(name)

    def _said_steps(self) -> str:
        steps = self.recorded_steps
        return f"step {steps[0]}" if len(steps) == 1 else f"{len(steps):,} steps from {steps[0]} to {steps[-1]}"

    def _choose_steps(self, wanted: Array) -> None:
        known = self.recorded_steps
        del self.recorded_steps
        missing = np.setdiff1d(wanted, known)
        if len(missing):
            raise NotRecordedError(
                f"Those steps of the {self._what} aren't recorded. Received: step {spans(missing.tolist())}. Expected: "
                f"{spans(known.tolist())}."
            )
        self._wanted = wanted
        if self.reduced is not None:
            self.reduced = self.reduced.filter(pc.is_in(self.reduced.column("step"), pa.array(wanted)))


_LONG = {
    "phase": pa.string(),
    "epoch": pa.int32(),
    "step": pa.int64(),
    "batch": pa.int32(),
    "path": pa.string(),
    "statistic": pa.string(),
    "over": pa.string(),
    "value": pa.float64(),
    "values": pa.list_(pa.float32()),
    "shape": pa.list_(pa.int32()),
}


def _noun(kind: str) -> str:
    return _NOUNS.get(kind, kind.replace("_", " "))


def _tap_of(kind: str) -> str:
    return f"tt.{BY_KIND[kind].__name__}(…) among the recorder's taps"


def _epochs_of(tables: Tables, table: str | None, reduced: pa.Table | None) -> dict[str, list[int]]:
    found = {} if table is None else {phase: set(epochs) for phase, epochs in tables.epochs(table).items()}
    if reduced is not None:
        pairs = reduced.select(["phase", "epoch"]).group_by(["phase", "epoch"], use_threads=False).aggregate([])
        for phase, epoch in zip(pairs.column("phase").to_pylist(), pairs.column("epoch").to_pylist(), strict=True):
            found.setdefault(phase, set()).add(epoch)
    return {phase: sorted(epochs) for phase, epochs in found.items()}


def _of(reduced: pa.Table, phase: str, epochs: list[int]) -> pa.Table | None:
    within = pc.is_in(reduced.column("epoch"), pa.array(epochs, reduced.schema.field("epoch").type))
    chosen = reduced.filter(pc.and_(pc.equal(reduced.column("phase"), phase), within))
    return chosen if chosen.num_rows else None


def _steps(step: Any) -> list[Any]:
    several = list(step) if isinstance(step, Iterable) and not isinstance(step, str) else [step]
    if any(isinstance(item, bool | str | float) for item in several):
        raise StoreError(f"Steps are whole numbers. Received: step={step!r}. Expected: a number, or several.")
    return several


def _shape_of(raw: Sequence[pa.RecordBatch]) -> str:
    kind = raw[0].schema.field("values").type if len(raw) else None
    if isinstance(kind, pa.FixedShapeTensorType):
        return str(tuple(kind.shape))
    return "that varies" if kind is not None and (pa.types.is_struct(kind) or hasattr(kind, "storage_type")) else "()"


def _epochs(epochs: list[int]) -> str:
    return f"epoch{'s' if len(epochs) > 1 else ''} {spans(epochs)}"


def _cells(values: Array) -> Any:
    return values if values.ndim == 1 else list(values)


def _frame(columns: Any) -> Any:
    pd = pandas()
    return columns.to_pandas() if isinstance(columns, pa.Table) else pd.DataFrame(columns)
