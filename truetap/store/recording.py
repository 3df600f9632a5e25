"""A run written by a thread of its own, so that training goes on meanwhile.

The training thread hands over work, a function, in a few microseconds; the writer's thread calls it,
which fetches the arrays from their device, gathers the rows and writes them. Cost: some 10 us of the
interpreter's time per ten columns, about the time of a raw write per byte, and `queue_bytes` at most
of arrays that wait. What was put is committed after `flush_seconds` at the latest, as long as the
writer keeps up; a killed process loses no more than that.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import threading
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from truetap.errors import NotUploadedError, RecordingWarning, StoreError
from truetap.store.background import in_background
from truetap.store.destination import Upload
from truetap.store.manifest import JSON, checked_metadata
from truetap.store.retention import Retention
from truetap.store.rows import RowGatherer, Rows, Together, Work, measured
from truetap.store.work_queue import Item, WorkQueue
from truetap.store.worker import ALONE, Worker
from truetap.store.writer import RunWriter

__all__ = ["Overhead", "Recording", "Rows", "Work"]

_TOGETHER = 4 << 20  # bytes of works that are done together
_LINGER = 0.05  # seconds that a step waits for others before the writer turns to it
_EARLIER = 0.75  # of flush_seconds: a commit begins then, so that it is done in time


@dataclass(frozen=True)
class Overhead:
    """What a recording has cost so far.

    Attributes:
        rows: Rows given to the writer.
        bytes: Their size.
        seconds_writing: Processor time of the writer's thread.
        seconds_waiting: Time that `put` waited for room in the queue.
        dropped: How often `put` refused work.
        queue_peak_bytes: The most that waited at once, what was being worked on included.
    """

    rows: int = 0
    bytes: int = 0
    seconds_writing: float = 0.0
    seconds_waiting: float = 0.0
    dropped: int = 0
    queue_peak_bytes: int = 0


class Recording:
    """Begins a run, or goes on in one, and writes to it from a thread named "truetap-writer".

    The first thing that fails, a work or a write, ends the recording, never the training: it is kept
    in `error`, what was committed stays, `put` returns False from then on, and `flush` and `close`
    return without raising. A process forked from this one writes nothing. When the interpreter ends
    and nobody has closed the recording, what was put is committed.

    Args:
        path: The run's folder, or its URL in a store that fsspec reaches.
        metadata: Anything JSON to keep with the run.
        flush_seconds: How long after `put` its rows are committed at the latest.
        queue_bytes: Bytes of work that may wait for the writer.
        when_full: What `put` does when they do: "block" until there is room, or "drop" the work.
        append: Whether to go on in the run that the folder holds, if it holds one.
        retention: How much of the run is kept; all by default.
        segment_bytes: Size after which a file is finished and the next one begun.
        gather_bytes: Rows of a table are gathered to this size before they are written.
        compact: Whether `close` turns small tables into Parquet files.
        upload: Of a URL, how the run gets there.
        worker: Which of several processes that write the same run this is.

    Attributes:
        path: The folder that is written to.
        error: What ended the recording, if anything did.

    Raises:
        RunExistsError: The folder holds a run and `append` is False, or other files.
        StoreError: The folder can't be written, or another process or recording writes to it.

    Example:
        >>> import numpy as np, tempfile
        >>> from truetap.store import RunReader
        >>> path = tempfile.mkdtemp()
        >>> with Recording(path) as recording:
        ...     _ = recording.put(lambda: [Rows("scalars", {"loss": np.array([0.5])})], nbytes=8)
        >>> RunReader(path).num_rows("scalars")
        1
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        metadata: Mapping[str, JSON] | None = None,
        flush_seconds: float = 1.0,
        queue_bytes: int = 256 << 20,
        when_full: Literal["block", "drop"] = "block",
        append: bool = False,
        retention: Retention | None = None,
        segment_bytes: int = 256 << 20,
        gather_bytes: int = 1 << 20,
        compact: bool = True,
        upload: Upload | None = None,
        worker: Worker = ALONE,
    ) -> None:
        if when_full not in ("block", "drop"):
            raise StoreError(
                f"when_full says what to do with a full queue. Received: {when_full!r}. Expected: 'block' or 'drop'."
            )
        # What is gathered here need not be gathered again there.
        self._writer = RunWriter(
            path,
            metadata=metadata,
            append=append,
            retention=retention,
            segment_bytes=segment_bytes,
            gather_bytes=0,
            upload=upload,
            worker=worker,
        )
        self.path = self._writer.path
        self._asked_for = path
        self.error: BaseException | None = None
        self._compact = compact
        self._gather_bytes = gather_bytes
        self._commit_after = flush_seconds * _EARLIER
        self._queue = WorkQueue(queue_bytes, when_full, min(_LINGER, flush_seconds / 4))
        self._tables: dict[str, RowGatherer] = {}
        self._rows = self._bytes = 0
        self._seconds_writing = 0.0
        self._due = math.inf  # when gathered rows must be committed; at times too early, never too late
        self._writing = threading.Lock()  # held by whoever uses the RunWriter
        self._closed = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="truetap-writer", daemon=True)
        self._thread.start()
        atexit.register(self._at_exit)

    def put(self, work: Any, nbytes: int, together: Together | None = None) -> bool:
        """Hand over work, to be called in the writer's thread.

        Args:
            work: Gives `Rows` when called; with `together`, whatever that takes. What it refers to must
                not be changed meanwhile.
            nbytes: About how many bytes it keeps in memory.
            together: Gives the `Rows` of a list of such works, those that wait one behind the other: what
                is small is done for many steps at once.

        Returns:
            Whether it was taken: False when the queue is full and `when_full="drop"`, when the
            recording has failed or is closed, and in a forked process.
        """
        if os.getpid() != self._process:
            return False
        return self._queue.put(work, nbytes, together)

    def flush(self) -> None:
        """Wait until all that was put by now is committed; returns at once when the recording has failed."""
        if os.getpid() == self._process:
            self._queue.wait_until_committed()

    def update_metadata(self, metadata: Mapping[str, JSON]) -> None:
        """Add to the metadata; a key that is there already gets the new value.

        A file system that refuses ends the recording, as for rows.

        Raises:
            StoreError: It isn't JSON, or the recording is closed.
        """
        checked = checked_metadata(metadata)
        if os.getpid() != self._process or self.error is not None:
            return
        with self._writing:
            try:
                self._writer.update_metadata(checked)
            except StoreError as error:
                if self._closed:
                    raise
                self._fail(error)

    def close(self, *, complete: bool = True, wait: bool = True) -> None:
        """Commit all that was put, finish the files and turn small tables into Parquet.

        Raises nothing of the file system: see `error` afterwards. Closing again does nothing.

        Args:
            complete: Whether the run ended as intended. One that failed is never marked complete.
            wait: Whether to wait for the Parquet files. Else they are made in a thread of their own; the
                run is complete and can be read meanwhile, and whoever writes to it next waits.
        """
        self._close(complete=complete, compact=self._compact, wait=wait)

    @property
    def is_this_thread(self) -> bool:
        """Whether this is asked in the writer's thread, which can't wait for itself."""
        return threading.current_thread() is self._thread

    @property
    def notices(self) -> tuple[str, ...]:
        """What is to be said of the way to a store: that it refuses for long."""
        return self._writer.notices

    @property
    def overhead(self) -> Overhead:
        """What the recording has cost so far."""
        return Overhead(
            rows=self._rows,
            bytes=self._bytes,
            seconds_writing=self._seconds_writing,
            seconds_waiting=self._queue.seconds_waiting,
            dropped=self._queue.dropped,
            queue_peak_bytes=self._queue.peak_bytes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=error is None)

    def _close(self, *, complete: bool, compact: bool, wait: bool) -> None:
        if self._closed or os.getpid() != self._process:
            return
        self.flush()  # where a long wait is, and Ctrl-C changes nothing
        self._queue.end()
        self._thread.join()
        try:
            self._writer.finish(complete=complete and self.error is None)
        except StoreError as error:
            self._fail(error)
        self._closed = True
        atexit.unregister(self._at_exit)
        if wait or not compact or self.error is not None:
            self._compact_now(compact and self.error is None)
        else:
            in_background(self._asked_for, self._compact_behind)

    def _compact_now(self, compact: bool) -> None:
        try:
            self._writer.compact_and_release(compact=compact)
        except StoreError as error:
            self._fail(error)

    def _compact_behind(self) -> None:
        self._compact_now(True)
        if isinstance(self.error, NotUploadedError):  # nobody looks at `error` any more
            warnings.warn(str(self.error), RecordingWarning, stacklevel=2)

    def _at_exit(self) -> None:
        self._close(complete=False, compact=False, wait=True)

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self._queue.end()

    # What follows runs in the writer's thread.

    def _run(self) -> None:
        try:
            while True:
                last = self._queue.ended
                items = self._queue.take(self._deadline())
                self._work_on(items)
                if last and not items:
                    break
            self._commit(self._tables)
        except BaseException as error:  # a work may raise anything; it must not be lost with the thread
            self._fail(error)
            with contextlib.suppress(StoreError):  # the first error is kept; what can still be written is
                self._commit(self._tables)
        finally:
            self._queue.end()  # nobody waits for this thread any more

    def _work_on(self, items: list[Item]) -> None:
        items.reverse()
        while items:
            work, nbytes, since, together = items.pop()
            if together is None:
                made = work()
            else:
                alike = [work]
                while items and items[-1].together is together and nbytes + items[-1].nbytes <= _TOGETHER:
                    alike.append(items[-1].work)
                    nbytes += items.pop().nbytes
                made = together(alike)
                del alike
            for rows in made:
                self._gather(rows, since)
                del rows
            del work, made  # with the arrays that they hold, before room is given back
            self._queue.done(nbytes)
            self._commit_due()
        self._commit_due()
        if self._queue.flush_wanted:
            self._commit(self._tables)
            self._queue.committed()
        if self._writer.seal_due <= time.monotonic():
            with self._writing:
                self._writer.seal_overdue()
        self._seconds_writing = time.thread_time()

    def _gather(self, rows: Rows, since: float) -> None:
        size, nbytes = measured(rows)
        if not size:
            return
        table = self._tables.get(rows.table)
        if table is None:
            table = self._tables[rows.table] = RowGatherer()
        big = nbytes >= self._gather_bytes
        if not table.fits(rows) or (big and table.num_rows):
            self._commit([rows.table])
        if not table.num_rows:
            # A writer that is behind gathers all the same, or it would fall back ever further.
            table.since = max(since, time.monotonic() - self._commit_after / 2)
            self._due = min(self._due, table.since + self._commit_after)
        table.add(rows, size, nbytes, copy=not big)
        self._rows += size
        self._bytes += nbytes
        if table.nbytes >= self._gather_bytes:
            self._commit([rows.table])

    def _deadline(self) -> float | None:
        due = min(self._due, self._writer.seal_due)
        return None if due == math.inf else due

    def _commit_due(self) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        before = now - self._commit_after
        self._commit([name for name, table in self._tables.items() if table.num_rows and table.since <= before])
        waiting = [table.since for table in self._tables.values() if table.num_rows]
        self._due = min(waiting, default=math.inf) + self._commit_after

    def _commit(self, names: Iterable[str]) -> None:
        for name in names:
            batch = self._tables[name].take()
            if batch is not None:
                with self._writing:
                    self._writer.write(name, batch)
