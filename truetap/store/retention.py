"""What goes from a run that may not grow for ever: its oldest rows, a whole file at a time.

Samples and raw values go first; curves and statistics, which are small, only when nothing else is left or they take
half of the room, and of each table of these the newest file stays. Names stay. A file goes when all its rows may: an
epoch's rows begin a new file, unless there are very few of them. Whoever has a file mapped into memory keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from truetap.errors import StoreError
from truetap.store.files import Place, files_of
from truetap.store.layout import log_file, segment_number
from truetap.store.manifest import Manifest, ParquetFile
from truetap.store.mapped import MappedSegment
from truetap.store.parquet_reader import ParquetSource
from truetap.store.parts import newest_of
from truetap.store.snapshot import live_snapshots
from truetap.store.table import TableWriter

__all__ = ["Piece", "Retention", "Shelf", "pieces_of", "without"]

_WITHIN_TRAINING = ("train", "val")

Queue: TypeAlias = "list[Piece]"


@dataclass(frozen=True)
class Retention:
    """How much of a run is kept.

    Attributes:
        max_bytes: What its files may take; None for no limit.
        keep_last: Of how many epochs samples and raw values are kept, of those that each table has of each phase; None
            for all.

    Raises:
        StoreError: One of them is no positive whole number.
    """

    max_bytes: int | None = None
    keep_last: int | None = None

    def __post_init__(self) -> None:
        for name, value, expected in (
            ("max_bytes", self.max_bytes, "a number of bytes, such as 10_000_000_000"),
            ("keep_last", self.keep_last, "a number of epochs, such as 3"),
        ):
            if value is not None and (type(value) is not int or value < 1):
                raise StoreError(f"{name}= is {expected}, or None for all. Received: {name}={value!r}.")

    def __bool__(self) -> bool:
        return self.max_bytes is not None or self.keep_last is not None


@dataclass(frozen=True)
class Piece:
    """A file of a table, which stays or goes as a whole.

    Attributes:
        table: Name of the table.
        rank: Of the worker in whose manifest it is.
        folder: The folder of a segment in the table's; "" for a Parquet file.
        place: Number of the segment, or the Parquet file.
        rows: Its rows.
        nbytes: Its size.
        newest: The newest epoch of its rows, by phase; empty where rows have none.
    """

    table: str
    rank: int
    folder: str
    place: int | ParquetFile
    rows: int
    nbytes: int
    newest: Mapping[str, int]

    @property
    def is_bulk(self) -> bool:
        """Whether it has a row, or a tensor, for each sample or step, rather than curves and statistics."""
        return _is_bulk(self.table)

    @property
    def age(self) -> tuple[bool, int]:
        """What goes first is less: training before later passes, older before newer epochs."""
        later = any(phase not in _WITHIN_TRAINING for phase in self.newest)
        return later, max(self.newest.values(), default=0)


class Shelf:
    """The files of a run that nobody writes to any more, oldest first in each table.

    Args:
        retention: How much is kept.
        pieces: The files there are, those of a table in the order of their rows.
    """

    def __init__(self, retention: Retention, pieces: Iterable[Piece] = ()) -> None:
        self._retention = retention
        self._queues: dict[tuple[str, int, str], Queue] = {}
        self._epochs: dict[tuple[str, str], list[int]] = {}  # of each table and phase, the last ones, in order
        self.nbytes = 0
        self._curves = 0  # of these, what is no bulk
        for piece in pieces:
            self.add(piece)

    def add(self, piece: Piece) -> None:
        """Take a file that was finished."""
        self._queues.setdefault(_queue_of(piece), []).append(piece)
        self.nbytes += piece.nbytes
        self._curves += piece.nbytes * (not piece.is_bulk)
        for phase, epoch in piece.newest.items():
            self._see(piece.table, phase, epoch)

    def is_over(self, beside: int = 0) -> bool:
        """Whether the files, and those that are `beside` them, take more than they may."""
        most = self._retention.max_bytes
        return most is not None and self.nbytes + beside > most

    def take(self, begun: Mapping[str, Mapping[str, int]] | None = None, beside: int = 0) -> list[Piece]:
        """The files that have to go; they are on the shelf no longer.

        Args:
            begun: By table and phase, the epoch that is being recorded, kept beside the last ones; None once all have
                ended.
            beside: Bytes of the run's other files.
        """
        gone = self._behind(begun)
        most = self._retention.max_bytes
        while most is not None and self.is_over(beside):
            can_go = [piece for queue in self._queues.values() for piece in _spared(queue)]
            if not can_go:
                break
            bulk = self._curves <= most // 2
            gone.append(self._pop(min(can_go, key=lambda piece: (piece.is_bulk is not bulk, *piece.age))))
        return gone

    def take_beside(self, tables: Mapping[str, TableWriter], *, ended: bool) -> list[Piece]:
        """The same of a run that is being written; when no finished file can go, the biggest open one is finished.

        Args:
            tables: By name, who writes the run's open files, and puts them on the shelf when they are finished.
            ended: Whether all epochs have ended.
        """
        gone = list[Piece]()
        while True:
            begun = None if ended else {name: table.open_epochs for name, table in tables.items()}
            beside = sum(table.open_bytes for table in tables.values())
            gone += self.take(begun, beside)
            biggest = max(tables.values(), key=lambda table: table.open_bytes, default=None)
            if not self.is_over(beside) or biggest is None or not biggest.open_bytes:
                return gone
            biggest.seal()

    def _behind(self, begun: Mapping[str, Mapping[str, int]] | None) -> list[Piece]:
        keep, gone = self._retention.keep_last, list[Piece]()
        if keep is None:
            return gone
        for table, epochs in (begun or {}).items():
            for phase, epoch in epochs.items():
                self._see(table, phase, epoch)
        most = keep + (begun is not None)
        first = {place: epochs[-most] for place, epochs in self._epochs.items() if len(epochs) >= most}
        for (table, *_), queue in self._queues.items():
            while _is_bulk(table) and (old := [piece for piece in _spared(queue) if _is_before(piece, first)]):
                gone += map(self._pop, old)
        return gone

    def _see(self, table: str, phase: str, epoch: int) -> None:
        known = self._epochs.setdefault((table, phase), [])
        if epoch not in known and self._retention.keep_last is not None:
            known[:] = sorted([*known, epoch])[-(self._retention.keep_last + 1) :]

    def _pop(self, piece: Piece) -> Piece:
        self.nbytes -= piece.nbytes
        self._curves -= piece.nbytes * (not piece.is_bulk)
        self._queues[_queue_of(piece)].remove(piece)
        return piece


def pieces_of(folder: Place, manifest: Manifest) -> list[Piece]:
    """The files of a run, or of one of its workers, to which nobody writes. Cost: a row of each Arrow batch is read.

    Raises:
        StoreError: A file can't be read, or is damaged.
    """
    found = []
    worker = manifest.worker
    for table, entry in manifest.tables.items():
        for file in entry.parquet:
            source = ParquetSource(folder / table, file)
            newest = newest_of(source.part(number) for number in range(source.num_batches))
            source.release()
            found.append(Piece(table, worker.rank, "", file, file.rows, file.bytes, newest))
        for snapshot in live_snapshots(folder / table, entry, worker.folder if worker.size > 1 else None):
            segment = MappedSegment(snapshot)
            newest = newest_of(segment.part(number) for number in range(segment.num_batches))
            nbytes = sum(_size(path) for path in (snapshot.path, log_file(snapshot.path)))
            number = segment_number(snapshot.path.name)
            written = snapshot.path.parent.name
            found.append(Piece(table, worker.rank, written, number, snapshot.num_rows, nbytes, newest))
    return found


def without(manifest: Manifest, pieces: Sequence[Piece]) -> Manifest:
    """The manifest of a run from which the oldest files of some tables are gone."""
    tables = dict(manifest.tables)
    for piece in pieces:
        entry = tables[piece.table]
        entry = replace(entry, removed_rows=entry.removed_rows + piece.rows)
        if isinstance(piece.place, ParquetFile):
            entry = replace(entry, parquet=tuple(file for file in entry.parquet if file != piece.place))
        else:
            entry = replace(entry, replaced={**entry.replaced, piece.folder: piece.place + 1})
        tables[piece.table] = entry
    return replace(manifest, tables=tables)


def _queue_of(piece: Piece) -> tuple[str, int, str]:
    return piece.table, piece.rank, piece.folder


def _size(path: Place) -> int:
    try:
        return files_of(path).size(path)
    except FileNotFoundError:
        return 0


def _is_bulk(table: str) -> bool:
    return table == "samples" or "." in table


def _spared(queue: Queue) -> Queue:
    """Which files of a table may go next: of segments the oldest, of Parquet files any."""
    if not queue or not queue[0].is_bulk:
        # Where the run stands, one that goes on learns from the newest curves.
        queue = [piece for piece in queue[:-1] if piece.newest]
    return queue if queue and isinstance(queue[0].place, ParquetFile) else queue[:1]


def _is_before(piece: Piece, first: Mapping[tuple[str, str], int]) -> bool:
    where = [(epoch, first.get((piece.table, phase), epoch)) for phase, epoch in piece.newest.items()]
    return bool(where) and all(epoch < begin for epoch, begin in where)
