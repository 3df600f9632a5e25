"""A writer that is killed, again and again on one run; and what must be there afterwards.

The writer puts numbered steps into three tables, whose values follow from their number, flushes, adds metadata, closes
with compaction and goes on, at random, and tells each thing that was confirmed through a pipe. It is killed from
outside at a random moment, or kills itself at the n-th file that it opens, renames or removes.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import columns
from truetap.errors import StoreError
from truetap.store import Recording, Rows, RunReader

Array = npt.NDArray[Any]

ROWS = 4
STEPS_PER_EPOCH = 40
FLUSH_SECONDS = 0.3
TABLES = ("samples", "scalars", "activations.dense")
_EVENTS = frozenset(("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "fcntl.flock"))


def columns_of(table: str, step: int) -> dict[str, Array]:
    """The rows of a step; known without asking the store."""
    rows = 1 if table == "scalars" else ROWS
    keys: dict[str, Array] = {
        "phase": np.full(rows, "train", object),
        "epoch": np.full(rows, step // STEPS_PER_EPOCH, np.int32),
        "step": np.full(rows, step, np.int64),
        "position": np.arange(rows, dtype=np.int32),
    }
    number = np.arange(rows) + rows * step
    if table == "scalars":
        return keys | {"loss": number * 0.5}
    ids = {"sample_id": number * 7919 % 1_000_003}
    if table == "samples":
        return keys | ids | {"y_pred": (number[:, None] * np.array([1.0, -2.0])).astype(np.float32)}
    return keys | ids | {"values": np.repeat(number, 300).reshape(rows, 20, 15).astype(np.float32)}


# --- the writer ---------------------------------------------------------------------------------------


def write(path: str, first: int, seed: int, event: int, calm: bool, pipe: Connection) -> None:
    """Writes until it is killed; with `calm`, one short session that is closed.

    Tells ("confirmed", step), ("put", step, when), ("mark", number) and ("state", name).
    """
    rng = random.Random(seed)
    if event:
        _kill_self_at(event)
    step, mark = first, 0
    while True:
        pipe.send(("state", "opening"))
        recording = Recording(
            path, append=True, flush_seconds=FLUSH_SECONDS, segment_bytes=60_000, gather_bytes=8_000, compact=True
        )
        pipe.send(("state", "writing"))
        for _ in range(rng.randrange(5, 60)):
            put_step(recording, step)
            step += 1
            if rng.random() < 0.1:
                pipe.send(("put", step, time.monotonic()))
            if rng.random() < 0.05:
                recording.flush()
                pipe.send(("confirmed", step))
            if rng.random() < 0.02:
                mark += 1
                recording.update_metadata({f"mark {first}": mark})
                pipe.send(("mark", mark))
            if rng.random() < 0.1:
                time.sleep(rng.random() * 0.004)
        pipe.send(("state", "closing"))
        recording.close()
        if recording.error is not None:
            raise recording.error
        pipe.send(("confirmed", step))
        if calm:
            pipe.send(("state", "closed"))
            return


def put_step(recording: Recording, step: int) -> None:
    """Hands over the rows of a step for each table."""

    def work() -> list[Rows]:
        part = ("train", step // STEPS_PER_EPOCH)
        return [Rows(table, columns_of(table, step), part) for table in TABLES]

    recording.put(work, 8_000)


def _kill_self_at(event: int) -> None:
    left = [event]

    def watch(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _EVENTS:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


# --- who kills it, and looks ----------------------------------------------------------------------------


@dataclass
class Session:
    """What one writer said before it was killed."""

    first: int
    confirmed: int = 0
    mark: int = 0
    puts: list[tuple[int, float]] = field(default_factory=list)
    state: str = "starting"
    killed: float = 0.0

    def due(self) -> int:
        """Steps that were put longer ago than `flush_seconds` when it was killed."""
        return max((step for step, when in self.puts if when < self.killed - FLUSH_SECONDS), default=self.first)


@dataclass
class Found:
    """What was there after a kill.

    Attributes:
        state: What the writer was doing.
        confirmed: Steps that it had said to be confirmed, over all sessions so far.
        lost: Confirmed rows that are not there, or twice, or not as they were written.
        late: Steps that were older than `flush_seconds` and aren't there.
        unreadable: Why the run can't be read, or what is damaged; "" when it can.
    """

    state: str
    confirmed: int
    lost: int
    late: int
    unreadable: str


class Killer:
    """Kills writers of one run, and looks at what is left.

    Args:
        path: The run.
        seed: Of all that is random.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self._rng = random.Random(seed)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])
        self._sessions: list[Session] = []

    def kill(self, *, at_event: bool, event: int = 0) -> Found:
        """A writer goes on with the run until it is killed: at a file that it touches, at a random one by default."""
        # The first of a run is killed early too: then there is a folder and no run yet.
        event = event or (self._rng.randrange(1, 220 if self._sessions else 25) if at_event else 0)
        session = self._run(event, calm=False)
        return self._look(session)

    def end(self) -> Found:
        """A writer goes on with what is left and closes the run."""
        session = self._run(0, calm=True)
        if session.state != "closed":
            return Found(session.state, 0, 0, 0, "a writer could not go on with the run")
        found = self._look(session)
        if not found.unreadable and not RunReader(self.path).complete:
            found.unreadable = "the run is not complete after it was closed"
        return found

    def _run(self, event: int, *, calm: bool) -> Session:
        session = Session(first=self._next_step())
        ours, theirs = self._context.Pipe(duplex=False)
        arguments = (str(self.path), session.first, self._rng.randrange(2**31), event, calm, theirs)
        process = self._context.Process(target=write, args=arguments)
        process.start()
        theirs.close()
        limit = time.monotonic() + 60
        moment = None
        try:
            while True:
                if moment is None and session.state not in ("starting",) and not event and not calm:
                    moment = time.monotonic() + self._rng.random() ** 2 * 0.8
                until = min(limit, moment or limit)
                if ours.poll(max(0.0, until - time.monotonic())):
                    self._hear(session, ours.recv())
                elif time.monotonic() >= until:
                    session.killed = time.monotonic()
                    process.kill()
                    break
        except EOFError:
            session.killed = time.monotonic()
        process.join()
        try:
            while ours.poll():
                self._hear(session, ours.recv())
        except EOFError:
            pass
        ours.close()
        expected = 0 if calm else -signal.SIGKILL
        if process.exitcode != expected:
            session.state = f"ended by itself with {process.exitcode}"
        self._sessions.append(session)
        return session

    def _hear(self, session: Session, said: tuple[Any, ...]) -> None:
        match said:
            case ("confirmed", step):
                session.confirmed = step
            case ("mark", mark):
                session.mark = mark
            case ("put", step, when):
                session.puts.append((step, when))
            case ("state", name):
                session.state = name

    def _next_step(self) -> int:
        if not (self.path / "manifest.json").exists():
            return 0
        reader = RunReader(self.path)
        last = -1
        for table in reader.tables:
            for batch in reader.batches(table, columns=["step"]):
                last = max(last, int(columns.decode(batch.column(0)).max()))
        confirmed = max((session.confirmed for session in self._sessions), default=0)
        return max(last + 1, confirmed)

    def _look(self, session: Session) -> Found:
        confirmed = sum(max(0, each.confirmed - each.first) for each in self._sessions)
        found = Found(session.state, confirmed, 0, 0, "")
        if session.state.startswith("ended by itself"):
            found.unreadable = f"the writer {session.state}"
        if not (self.path / "manifest.json").exists():
            if confirmed:
                found.unreadable = "the manifest is gone"
            return found
        try:
            reader = RunReader(self.path)
            damage = [str(problem) for problem in reader.verify() if problem.damage]
            if damage:
                found.unreadable = damage[0]
            if session.mark and int(str(reader.metadata.get(f"mark {session.first}", 0))) < session.mark:
                found.lost += 1
            for table in TABLES:
                steps = steps_of(reader, table)
                found.lost += self._missing(steps)
                found.late += max(0, session.due() - max([*steps, session.first - 1]) - 1) if table == "samples" else 0
        except (StoreError, AssertionError) as error:
            found.unreadable = f"{type(error).__name__}: {error}"
        return found

    def _missing(self, steps: list[int]) -> int:
        """Confirmed steps that aren't there, and any that stand twice."""
        there = set(steps)
        missing = sum(
            step not in there for each in self._sessions for step in range(each.first, max(each.first, each.confirmed))
        )
        return missing + len(steps) - len(there)


def steps_of(reader: RunReader, table: str) -> list[int]:
    """The steps of a table, after each value was compared with what was written."""
    if table not in reader.tables:
        return []
    batches = list(reader.batches(table, check=True))
    if not batches:
        return []
    whole = pa.Table.from_batches(batches)
    steps = whole.column("step").to_numpy()
    order = list(dict.fromkeys(steps.tolist()))
    wanted = [columns_of(table, step) for step in order]
    for name in whole.column_names:
        parts = [columns.decode(chunk) for chunk in whole.column(name).chunks]
        expected = np.concatenate([one[name] for one in wanted])
        if not np.array_equal(np.concatenate(parts), expected):
            raise AssertionError(f"column {name!r} of {table!r} is not what was written")
    return order
