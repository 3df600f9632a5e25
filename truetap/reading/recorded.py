"""Recorded values of one layer, weight or gradient: raw ones, and statistics of them.

Raw values lie in a table of their own for each path (which one, the manifest says); they are mapped, and put into
memory when asked for. All of a kind: `truetap.reading.recordings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap import rows
from truetap.columns import concatenate
from truetap.errors import NotRecordedError, StoreError
from truetap.frames import pandas
from truetap.notebook.objects import recorded_html
from truetap.reading.choice import Epochs, choose_epochs, choose_phase, spans
from truetap.reading.sample_rows import Alike, Named
from truetap.reading.statistics import Statistics
from truetap.reading.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

    from truetap.reading.names import Names

__all__ = ["Filter", "Recorded", "noun_of"]

Array = npt.NDArray[Any]

_NOUNS = {"tapped": "tapped values", "optimizer_state": "optimizer variables"}  # others are plurals by themselves


def noun_of(kind: str) -> str:
    """What values of a kind are called in a sentence."""
    return _NOUNS.get(kind, kind.replace("_", " "))


@dataclass(frozen=True)
class Filter:
    """Which rows are wanted; see `Recordings.__call__`."""

    phase: str | None = None
    epoch: Epochs = None
    step: int | Iterable[int] | None = None


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
        what = f"{noun_of(kind)} of {path!r}"
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
            return pandas().DataFrame(plain)
        series = []
        for name in self.statistics:
            head = {"epoch": self.statistics.epochs(name), "step": self.statistics.steps(name)}
            columns = head | {name: _cells(self.statistics[name])}
            series.append(pandas().DataFrame(columns).set_index(["epoch", "step"]))
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
        if self._table is None:
            return ""
        shape = _shape_of(self._raw_rows)
        return f"{self._raw_count:,} raw rows of {'one number' if shape == '()' else f'shape {shape}'}"

    @property
    def statistic_names(self) -> tuple[str, ...]:
        """The statistics that were recorded."""
        return () if self.reduced is None else tuple(self.statistics)

    @property
    def where_words(self) -> str:
        """Phase, epochs and steps in words."""
        return f"{self.phase}, {_epochs(self._epochs)}; {self._said_steps()}"

    def _repr_html_(self) -> str:
        return recorded_html(noun_of(self.kind), self)

    def __repr__(self) -> str:
        return f"Recorded {noun_of(self.kind)} of {self.summary}"

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
