"""What of a run is exported: tables, a phase, epochs; and their rows, part by part.

A part holds the rows of one table, phase and epoch, under the names that samples have. Batches are read one at a time,
each compared with its checksum; nothing is held.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from truetap.errors import DamagedRunError, NotRecordedError, StoreError, near_names
from truetap.reading.choice import Epochs, choose_epochs
from truetap.reading.sample_rows import Alike, Named
from truetap.reading.tables import Picked, Tables
from truetap.store import Batches

if TYPE_CHECKING:
    from truetap.reading.names import Names
    from truetap.run import Run

__all__ = ["Chosen", "Part", "choose"]

Rows: TypeAlias = "Picked | Named"

_NAMES = "names"  # of `run.identify`: they stand in the rows that are exported


@dataclass(frozen=True)
class Part:
    """Rows of one table, phase and epoch.

    Attributes:
        table: The table.
        phase: The phase; None of a table that has none.
        epoch: The epoch; None of a table that has none.
        rows: The batches, each read when it is asked for.
    """

    table: str
    phase: str | None
    epoch: int | None
    rows: Rows

    @property
    def columns(self) -> list[str]:
        """The columns that any of the batches has, in order."""
        if isinstance(self.rows, Named):
            return list(self.rows.column_names)
        return list(dict.fromkeys(name for schema in self.rows.schemas() for name in schema.names))


@dataclass(frozen=True)
class Chosen:
    """The part of a run that is meant.

    Attributes:
        run: The run.
        tables: Names of the tables that have rows of what is meant, in the order of the run.
        parts: Phases and epochs that are meant, by table; empty of a table that has none.
        moment: The run as it stood when this was made: later rows are not exported.
        names: Names given to samples after the fact, or None.
        found: The batches of tables that were looked at: what they are stays the same, while files move.
    """

    run: Run
    tables: tuple[str, ...]
    parts: dict[str, dict[str, list[int]]]
    moment: Tables
    names: Names | None
    found: dict[str, Batches] = field(default_factory=dict, repr=False)

    def of(self, table: str) -> Iterator[Part]:
        """The parts of a table: phase after phase, in each epoch after epoch; one where it has no phases."""
        if not self.parts[table]:
            yield Part(table, None, None, self._named(Picked([(0, self._batches(table))])))
        for phase, epochs in self.parts[table].items():
            of_phase = self._batches(table).of_part(phase, None)
            for epoch in epochs:
                yield Part(table, phase, epoch, self._named(Picked([(epoch, of_phase.of_part(phase, epoch))])))

    def part(self, table: str, phase: str, epoch: int) -> Part:
        """One of them."""
        return Part(table, phase, epoch, self._named(Picked([(epoch, self._batches(table).of_part(phase, epoch))])))

    def of_phase(self, table: str, phase: str) -> Rows:
        """The rows of all chosen epochs of a phase."""
        of_phase = self._batches(table).of_part(phase, None)
        parts = [(epoch, of_phase.of_part(phase, epoch)) for epoch in self.parts[table][phase]]
        return self._named(Picked(parts))

    def whole(self, table: str) -> pa.Table | None:
        """All that is meant of a small table, in memory; None where nothing is."""
        if table not in self.tables:
            return None
        found = [pa.Table.from_batches([batch]) for part in self.of(table) for batch in part.rows]
        return pa.concat_tables(found, promote_options="permissive") if found else None

    def epochs(self, table: str, phase: str) -> list[int]:
        """The chosen epochs of a phase of a table; none where it isn't meant."""
        return self.parts.get(table, {}).get(phase, [])

    def _batches(self, table: str) -> Batches:
        if table not in self.found:
            self.found[table] = self.moment.reader.batches(table, check=True)
        return self.found[table]

    def _named(self, picked: Picked) -> Rows:
        if self.names is None or not all({"sample_id", "fingerprint"} <= set(each.names) for each in picked.schemas()):
            return picked
        return Named(Alike(picked), self.names) if len(picked) else picked


def choose(run: Run, tables: Sequence[str] | str | None, phase: str | None, epoch: Epochs) -> Chosen:
    """What is meant by the arguments of `export`.

    Raises:
        NotRecordedError: There is no such table, phase or epoch.
        DamagedRunError: Rows of a chosen table are lost.
        StoreError: There is nothing to export.
    """
    moment = Tables(run.reader)
    listed = _tables(moment, tables)
    for table in listed:
        for problem in moment.reader.damage(table):
            raise DamagedRunError(
                f"Rows of table {table!r} are damaged, and were not exported: {problem}. Restore the file from a copy, "
                "or export the other tables by tables=; `truetap verify` lists all that is damaged."
            )
    found = {table: moment.epochs(table) for table in listed}
    if phase is not None or epoch is not None:
        found = _limited(found, phase, epoch, named=tables is not None)
    kept = [table for table in found if moment.batches(table).num_rows]
    if not kept:
        raise StoreError(
            f"There is nothing to export in {run.path!r}. Received: tables {listed}, of which none has a row. "
            "Expected: a run whose first batch was recorded."
        )
    return Chosen(run, tuple(kept), {table: found[table] for table in kept}, moment, run._names(moment))


def _tables(moment: Tables, asked: Sequence[str] | str | None) -> list[str]:
    known = list(moment.reader.tables)
    if asked is None:
        return [table for table in known if table != _NAMES]
    meant: list[str] = []
    for name in [asked] if isinstance(asked, str) else asked:
        matching = [name] if name in known else fnmatch.filter(known, name)
        if not matching:
            raise NotRecordedError(
                f"The run {str(moment.reader.path)!r} has no table {name!r}. Expected: names as in run.tables, or "
                f"patterns such as 'activations.*'. {near_names(name, known)}"
            )
        meant += matching
    return [table for table in known if table in meant]


def _limited(
    found: dict[str, dict[str, list[int]]], phase: str | None, epoch: Epochs, *, named: bool
) -> dict[str, dict[str, list[int]]]:
    """The tables that have rows of the phase and epochs, with these alone."""
    without = [table for table, parts in found.items() if not parts]
    if without and named:
        raise NotRecordedError(
            f"The table {without[0]!r} has no phases and epochs. Received: phase={phase!r}, epoch={epoch!r}. "
            "Expected: neither, or other tables."
        )
    phases = list(dict.fromkeys(each for parts in found.values() for each in parts))
    if phase is not None and phase not in phases:
        listed = ", ".join(map(repr, phases)) or "none"
        raise NotRecordedError(f"No rows of that phase are recorded. Received: phase={phase!r}. Expected: {listed}.")
    of_phase = {
        table: {each: numbers for each, numbers in parts.items() if phase in (None, each)}
        for table, parts in found.items()
    }
    recorded = _union(numbers for parts in of_phase.values() for numbers in parts.values())
    wanted = set(choose_epochs(epoch, recorded, "the run" if phase is None else f"phase {phase!r}"))
    limited = {
        table: {each: kept for each, numbers in parts.items() if (kept := [n for n in numbers if n in wanted])}
        for table, parts in of_phase.items()
    }
    return {table: parts for table, parts in limited.items() if parts}


def _union(several: Iterable[Iterable[int]]) -> list[int]:
    return sorted({number for numbers in several for number in numbers})
