"""All recorded values of one kind: of layers, weights, gradients; a mapping by path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from truetap.errors import NotRecordedError, StoreError, near_names
from truetap.frames import pandas
from truetap.notebook.objects import recordings_html
from truetap.reading.choice import Epochs
from truetap.reading.recorded import Filter, Recorded, noun_of
from truetap.reading.tables import Tables
from truetap.taps import BY_KIND

if TYPE_CHECKING:
    import pandas as pd

    from truetap.reading.names import Names

__all__ = ["Recordings", "raw_tables"]

_MOST_SHOWN = 50  # paths in a printed list


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


class Recordings(Mapping[str, Recorded]):
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
            raise NotRecordedError(f"No {noun_of(self.kind)} of {path!r} were recorded. {hint}")
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
                f"No reduced {noun_of(self.kind)} were recorded. Received: raw values of "
                f"{list(self.paths)}. Expected: a tap with reduce=; each path has its raw values in .values."
            )
        if self._chosen == Filter():
            return whole
        chosen = [each.reduced for each in self._found() if each.reduced is not None]
        return pa.concat_tables(chosen) if chosen else whole[:0]

    def to_pandas(self) -> pd.DataFrame:
        """The same as a frame."""
        pandas()  # so that it is asked for by name where it is missing
        return self.to_arrow().to_pandas()

    def __repr__(self) -> str:
        noun = noun_of(self.kind)
        if not len(self):
            return f"No {noun} were recorded, which takes {_tap_of(self.kind)}."
        lines = [f"  {each.summary}" for each in self._found(_MOST_SHOWN)]
        more = [f"  … and {len(self) - _MOST_SHOWN:,} more"] if len(self) > _MOST_SHOWN else []
        return "\n".join([f"Recorded {noun} of {len(self):,} path{'s' if len(self) > 1 else ''}:", *lines, *more])

    def _repr_html_(self) -> str:
        found = self._found(_MOST_SHOWN) if len(self) else []
        return recordings_html(noun_of(self.kind), len(self), found)

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


def _tap_of(kind: str) -> str:
    return f"tt.{BY_KIND[kind].__name__}(…) among the recorder's taps"
