"""A run as it stands at one moment: its tables, and what is worked out of them once.

A run that is written is another one every second: then a new state takes the place of the old one, and what was kept
with that is gone with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from truetap.about import About
from truetap.errors import TaskError
from truetap.reading.identify import read_names
from truetap.reading.names import Names
from truetap.reading.tables import Tables
from truetap.samples import Samples
from truetap.store import RunReader, Worker
from truetap.store.files import files_of
from truetap.store.place import AnyPlace
from truetap.tasks import Hint, OutputTask
from truetap.tasks.task import Family

if TYPE_CHECKING:
    from truetap.reading.sql import Database

__all__ = ["State"]

_LOOKED_AT = 10_000  # rows by which it is told what the values of an output mean


class State:
    """What is read of a run until it changes.

    Args:
        place: Where the run is.
        names: Names of samples that could not be kept in the run, or None.

    Raises:
        StoreError: There is no run.
    """

    def __init__(self, place: AnyPlace, names: Names | None = None) -> None:
        self._place, self._given = place, names
        reader = RunReader(place)
        self._workers = reader.workers
        self._stamp = self._stamp_now()
        self.tables = Tables(reader)

    @property
    def is_current(self) -> bool:
        """Whether nobody writes to the run, and nobody has since this was read."""
        return self.tables.reader.complete and self._stamp_now() == self._stamp

    @cached_property
    def about(self) -> About:
        """What is known of the samples besides their rows."""
        plain = self.tables.metadata.get("collect", {})
        return About.from_json(plain) if isinstance(plain, dict) else About()

    @cached_property
    def names(self) -> Names | None:
        """What `run.identify` called the samples."""
        return self._given if self._given is not None else read_names(self.tables)[0]

    @cached_property
    def tasks(self) -> dict[str, OutputTask]:
        """What those outputs mean of which the loss doesn't say it, told from the first rows with labels."""
        found: dict[str, OutputTask] = {}
        open_ones = [output for output in self.about.outputs if not _is_told(self.about.hints.get(output))]
        recorded = self.tables.epochs("samples") if open_ones else {}
        for phase, epochs in recorded.items() or ([("", [])] if open_ones else []):
            picked = self.tables.pick("samples", phase, epochs[:1]) if epochs else self.tables.pick_all("samples")
            samples = Samples([picked[0].slice(0, _LOOKED_AT)], self.about)
            for output in open_ones:
                try:
                    found.setdefault(output, samples.task(output))
                except TaskError:  # a phase without labels, or values of which no task can be made
                    continue
        return found

    @cached_property
    def database(self) -> Database:
        """The tables for SQL."""
        from truetap.reading.sql import Database  # DuckDB takes a tenth of a second to import

        return Database(self.tables, self.names)

    def _stamp_now(self) -> tuple[object, ...]:
        found: list[object] = []
        for worker in Worker(0, self._workers).all():
            try:
                found += files_of(self._place).stamp(self._place / worker.manifest)
            except OSError:  # the reader says it better
                continue
        return tuple(found)


def _is_told(hint: Hint | None) -> bool:
    """Whether the model and its loss say what an output is, so that a few rows are enough to read it."""
    told = hint is not None and hint.family is not Family.UNKNOWN
    return told and hint is not None and (hint.squashed is not None or hint.from_logits is not None)
