"""One unit of work, from its rows to rows of the run: the same code as a single process, on a few batches.

Runs in a worker, whatever engine started it. Everything that a batch gives (pairing, loss, fingerprints,
layers) comes from `Collector`, which `collect` itself uses.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from truetap.about import About
from truetap.collector import Collector, Columns
from truetap.columns import record_batch
from truetap.data.reader import Reader
from truetap.data.source import Facts
from truetap.engines.pieces import Piece, PieceSource
from truetap.engines.shared_run import UnitFolder, is_done
from truetap.engines.units import Task
from truetap.errors import DataWarning

__all__ = ["Outcome", "Settings", "work_on"]


@dataclass(frozen=True)
class Settings:
    """What is the same for all units.

    Attributes:
        aside: The folder in the run where units are written.
        facts: What is known of the data.
        batch_size: Rows per batch.
        ids: The key of a column that holds the ids, a function from a batch to them, or None.
        layers: A selector of layers, or None.
        inputs: Whether to keep x.
        stamp: What the run is a collection of.
    """

    aside: Path
    facts: Facts
    batch_size: int
    ids: Any = None
    layers: Any = None
    inputs: bool = False
    stamp: Mapping[str, str] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.aside.parent


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Attributes:
        number: The unit's number.
        rows: Its rows.
        written: Whether this attempt is the one that counts.
        about: What is known of the collection.
        columns: Names of the columns.
        ids: "i" for whole numbers, "O" for strings.
        seconds: What it cost, by stage.
    """

    number: int
    rows: int
    written: bool
    about: About
    columns: tuple[str, ...]
    ids: str
    seconds: Mapping[str, float]


def work_on(model: Any, piece: Piece, task: Task, settings: Settings) -> Outcome:
    """Collects a unit and publishes its rows, unless it counts already: then its first batch tells what is known.

    Raises:
        DataError: The rows can't be read as labelled batches.
        LayerError: A selected layer isn't there.
        ModelError: The model can't be run.
        StoreError: The rows can't be written; nothing of the unit counts.
    """
    reader = Reader(PieceSource(piece, settings.facts, settings.batch_size), ids=settings.ids)
    reader.steps_read = task.first_step  # batches are numbered through all units
    collector = Collector(model, reader, layers=settings.layers, inputs=settings.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # they are in the notices, and said where the call was made
        with closing(_timed(collector)) as batches:
            if is_done(settings.run, task.number):
                columns, _ = next(batches)
                return _outcome(task, piece, collector, columns, False, {})
            return _written(batches, piece, task, settings, collector)


def _written(
    batches: Iterator[tuple[Columns, float]], piece: Piece, task: Task, settings: Settings, collector: Collector
) -> Outcome:
    spent = {"read": piece.seconds, "collect": 0.0, "write": 0.0, "publish": 0.0}
    folder = UnitFolder(settings.aside, task.number)
    columns: Columns = {}
    try:
        for columns, seconds in batches:
            spent["collect"] += seconds
            started = time.perf_counter()
            folder.write(record_batch(columns.items()))
            spent["write"] += time.perf_counter() - started
        started = time.perf_counter()
        written = folder.publish()
        spent["publish"] = time.perf_counter() - started
    except BaseException:
        folder.discard()
        raise
    return _outcome(task, piece, collector, columns, written, spent)


def _timed(collector: Collector) -> Generator[tuple[Columns, float], None, None]:
    started = time.perf_counter()
    for columns in collector.batches(ahead=True):
        yield columns, time.perf_counter() - started
        started = time.perf_counter()


def _outcome(
    task: Task, piece: Piece, collector: Collector, columns: Columns, written: bool, seconds: Mapping[str, float]
) -> Outcome:
    kind = columns["sample_id"].dtype.kind
    return Outcome(task.number, piece.rows, written, collector.about, tuple(columns), kind, seconds)
