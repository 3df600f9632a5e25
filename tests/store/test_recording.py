"""Recording: what is put comes out, whatever fails, and the thread that puts never waits for nothing."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from truetap import columns
from truetap.errors import RunExistsError, StoreError
from truetap.store import Recording, Rows, RunReader, Work

from .helpers import ROOT, Array, run_python, segments, write_run
from .recorded import assert_rows, part, sample_rows
from .test_writer_errors import files_of_at_most


def samples_of(step: int) -> Work:
    return lambda: [Rows("samples", sample_rows(step), part(step))]


def rows_of(table: str, **arrays: Any) -> Work:
    return lambda: [Rows(table, arrays)]


def until(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


@pytest.mark.parametrize("compact", [False, True])
def test_what_is_put_comes_out(tmp_path: Path, compact: bool) -> None:
    with Recording(tmp_path / "run", metadata={"a": 1}, compact=compact) as recording:
        for step in range(23):
            assert recording.put(samples_of(step), 1000)
        recording.update_metadata({"b": 2})
    assert recording.error is None
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert reader.metadata == {"a": 1, "b": 2}
    assert_rows(reader, range(23))
    assert reader.verify() == []
    assert recording.overhead.rows == 23 * 8
    assert recording.overhead.bytes == sum(a.nbytes for step in range(23) for a in sample_rows(step).values())
    assert recording.overhead.dropped == 0
    assert recording.overhead.seconds_writing > 0


def test_a_batch_never_mixes_two_parts(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", compact=False, flush_seconds=60) as recording:
        for step in range(23):
            recording.put(samples_of(step), 1000)
    found = RunReader(tmp_path / "run").batches("samples")
    assert [len(batch) for batch in found] == [40, 40, 40, 40, 24]
    assert [found.part(index) for index in range(5)] == [("train", epoch) for epoch in range(5)]


def test_small_rows_are_gathered_and_big_ones_are_written_as_they_come(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", compact=False, flush_seconds=60, gather_bytes=4000) as recording:
        for number in range(25):
            recording.put(rows_of("small", x=np.full(50, number)), 400)
        for number in range(3):
            recording.put(rows_of("big", x=np.full(1000, number)), 8000)
        recording.put(rows_of("mixed", x=np.arange(10)), 80)
        recording.put(rows_of("mixed", x=np.arange(10, 1000)), 8000)
    reader = RunReader(tmp_path / "run")
    assert [len(batch) for batch in reader.batches("small")] == [500, 500, 250]
    assert [len(batch) for batch in reader.batches("big")] == [1000] * 3
    assert [len(batch) for batch in reader.batches("mixed")] == [10, 990]


def rows_there(path: Path) -> int:
    reader = RunReader(path)
    return reader.num_rows("samples") if "samples" in reader.tables else 0


def test_rows_are_committed_in_time_without_more_coming(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "run", flush_seconds=0.4)
    try:
        for count in range(1, 4):
            put = time.monotonic()
            recording.put(samples_of(0), 1000)
            until(lambda count=count: rows_there(tmp_path / "run") == 8 * count)
            assert time.monotonic() - put < 0.4 + 0.3  # the machine may be busy
    finally:
        recording.close()


def test_a_writer_that_is_behind_gathers_all_the_same(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", flush_seconds=0.2, compact=False) as recording:
        go = held_up(recording)
        for _ in range(2000):
            recording.put(rows_of("t", x=np.arange(3)), 24)
        time.sleep(0.3)  # all of it is overdue by now
        go.set()
    assert len(RunReader(tmp_path / "run").batches("t")) < 50


def test_flush_waits_for_all_that_was_put(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", flush_seconds=60) as recording:
        recording.flush()
        for step in range(10):
            recording.put(samples_of(step), 1000)
            recording.flush()
            assert RunReader(tmp_path / "run").num_rows("samples") == 8 * (step + 1)


def test_columns_that_change(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [
        {"x": np.arange(3)},
        {"x": np.arange(3.0)},
        {"x": np.arange(3.0), "y": np.array(["a", "bc", "d"])},
        {"x": np.arange(3.0), "y": np.array(["abcdef", "", "ü"])},
        {"y": np.array(["abcdef", "", "ü"], object), "x": np.arange(3.0)},
        {"x": np.ones((3, 2)), "y": np.array([1, 2, 3], np.uint8)},
    ]
    with Recording(tmp_path / "run", compact=False) as recording:
        for columns_ in given:
            recording.put(rows_of("t", **columns_), 100)
    found = [row for batch in RunReader(tmp_path / "run").batches("t") for row in batch.to_pylist()]
    assert [list(row) for row in found] == [sorted(c) for c in given for _ in range(3)]
    assert [row["x"] for row in found[:15]] == [0, 1, 2] * 5
    assert [row["y"] for row in found[6:15]] == ["a", "bc", "d", "abcdef", "", "ü", "abcdef", "", "ü"]


def test_a_shape_that_changes_is_stored_with_each_row(tmp_path: Path) -> None:
    lengths = [4, 4, 5, 3, 4, 9, 1]
    given = [np.random.default_rng(n).random((6, length, 2), np.float32) for n, length in enumerate(lengths)]
    with Recording(tmp_path / "run", compact=False) as recording:
        for values in given:
            recording.put(rows_of("t", x=values, i=np.arange(6)), values.nbytes)
    reader = RunReader(tmp_path / "run")
    assert len(segments(tmp_path / "run", "t")) <= 2
    assert len(reader.batches("t")) <= 2
    column = [row for batch in reader.batches("t") for row in _tensors(batch.column("x"))]
    for row, wanted in zip(column, (row for values in given for row in values), strict=True):
        np.testing.assert_array_equal(row, wanted)


def _tensors(column: pa.Array) -> Iterator[Array]:
    for row in range(len(column)):
        yield columns.decode(column.slice(row, 1))[0]


def test_arrow_columns_hold_what_is_missing(tmp_path: Path) -> None:
    value = pa.array([1.5, None])
    values = pa.array([None, [1.0, 2.0]], pa.list_(pa.float32()))
    for compact in (False, True):
        path = tmp_path / str(compact)
        with Recording(path, compact=compact) as recording:
            for _ in range(3):
                recording.put(rows_of("weights", value=value, values=values, n=np.arange(2)), 50)
        (batch,) = RunReader(path).batches("weights")
        assert (
            batch.to_pylist() == [{"value": 1.5, "values": None, "n": 0}, {"value": None, "values": [1, 2], "n": 1}] * 3
        )
        assert batch.schema.field("values").type == values.type


def test_arrays_may_be_reused_once_the_work_has_ended(tmp_path: Path) -> None:
    values = np.zeros(10)

    def work(number: int) -> Iterator[Rows]:
        values[:] = number
        yield Rows("t", {"x": values})

    with Recording(tmp_path / "run", compact=False) as recording:
        for number in range(5):
            recording.put(lambda number=number: work(number), 80)
    (batch,) = RunReader(tmp_path / "run").batches("t")
    np.testing.assert_array_equal(batch.column("x"), np.repeat(np.arange(5.0), 10))


def test_works_of_a_kind_are_done_together(tmp_path: Path) -> None:
    lengths = []

    def together(numbers: list[int]) -> list[Rows]:
        lengths.append(len(numbers))
        return [Rows("t", {"x": np.array(numbers)})]

    with Recording(tmp_path / "run") as recording:
        for number in range(100):
            recording.put(number, 10, together)
    assert sum(lengths) == 100
    assert len(lengths) < 50
    (batch,) = RunReader(tmp_path / "run").batches("t")
    np.testing.assert_array_equal(batch.column("x"), np.arange(100))


def held_up(recording: Recording) -> threading.Event:
    """Make the writer wait until the event is set."""
    go, begun = threading.Event(), threading.Event()

    def wait() -> list[Rows]:
        begun.set()
        assert go.wait(20)
        return []

    assert recording.put(wait, 1)
    assert begun.wait(20)
    return go


def test_a_full_queue_drops_and_counts(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", queue_bytes=1000, when_full="drop") as recording:
        go = held_up(recording)
        taken = [recording.put(samples_of(step), 300) for step in range(5)]
        assert taken == [True, True, True, False, False]
        go.set()
        recording.flush()
        assert recording.put(samples_of(5), 5000)  # too big for the queue, and alone in it
    assert recording.overhead.dropped == 2
    assert 901 <= recording.overhead.queue_peak_bytes <= 5000
    assert_rows(RunReader(tmp_path / "run"), [0, 1, 2, 5])
    assert RunReader(tmp_path / "run").complete


def test_a_full_queue_blocks_until_there_is_room(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", queue_bytes=1000) as recording:
        go = held_up(recording)
        threading.Timer(0.2, go.set).start()
        began = time.monotonic()
        assert all(recording.put(samples_of(step), 300) for step in range(20))
        assert time.monotonic() - began > 0.15
    assert recording.overhead.seconds_waiting > 0.15
    assert recording.overhead.queue_peak_bytes <= 1000
    assert_rows(RunReader(tmp_path / "run"), range(20))


def test_when_full_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"when_full says .* Received: 'wait'. Expected: 'block' or 'drop'"):
        Recording(tmp_path / "run", when_full="wait")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_work_that_fails_ends_the_recording(tmp_path: Path) -> None:
    def fail() -> Iterator[Rows]:
        yield Rows("samples", sample_rows(1), part(1))
        raise KeyError("mine")

    with Recording(tmp_path / "run", flush_seconds=60) as recording:
        recording.put(samples_of(0), 1000)
        recording.put(fail, 1000)
        recording.flush()
        assert isinstance(recording.error, KeyError)
        assert not recording.put(samples_of(2), 1000)
        recording.flush()
        recording.update_metadata({"late": 1})
    recording.close()
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert_rows(reader, [0, 1])  # what had been gathered is there


def test_rows_that_are_none_end_the_recording(tmp_path: Path) -> None:
    bad: list[tuple[dict[str, Any], str]] = [
        ({}, r"must have columns, all of one length. Received: lengths \{\}"),
        ({"x": np.ones(3), "y": np.ones(2)}, r"Received: lengths \{'x': 3, 'y': 2\}"),
        ({"x": np.ma.masked_array([1.0], [True])}, r"Received: MaskedArray in column 'x' of table 't'"),
        ({"x": [1, 2]}, r"Received: list in column 'x'|has no attribute 'nbytes'"),
        ({"x": np.array([["a", "b"]])}, r"Strings can be stored as one per sample"),
    ]
    for number, (given, message) in enumerate(bad):
        with Recording(tmp_path / str(number)) as recording:
            recording.put(rows_of("t", **given), 10)
        assert recording.error is not None
        with pytest.raises(type(recording.error), match=message):
            raise recording.error


def test_someone_waiting_for_room_is_let_go_when_the_writer_fails(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", queue_bytes=1000) as recording:
        go = held_up(recording)

        def fail() -> list[Rows]:
            raise ValueError("mine")

        recording.put(fail, 900)
        threading.Timer(0.1, go.set).start()
        assert not recording.put(samples_of(0), 900)
        assert not recording.put(samples_of(0), 900)
    assert str(recording.error) == "mine"


@pytest.mark.parametrize("at", ["write", "close"])
def test_a_full_disk_ends_the_recording_and_hides_nothing(tmp_path: Path, at: str) -> None:
    recording = Recording(tmp_path / "run", flush_seconds=60)
    for step in range(3):
        recording.put(samples_of(step), 1000)
    recording.flush()
    with files_of_at_most(1 << 20):
        recording.put(rows_of("big", x=np.ones(400_000)), 3_200_000)
        if at == "write":
            recording.flush()
            assert isinstance(recording.error, StoreError)
            assert not recording.put(samples_of(3), 1000)
        recording.close()
    assert "File too large" in str(recording.error)
    recording.close()
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert_rows(reader, range(3))
    assert reader.num_rows("big") == 0
    assert [problem for problem in reader.verify() if problem.damage] == []


def test_a_disk_that_is_full_when_compacting_loses_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recording = Recording(tmp_path / "run", segment_bytes=200_000, gather_bytes=100_000)
    for number in range(20):
        recording.put(rows_of("noise", x=rng.random(10_000), i=np.full(10_000, number)), 160_000)
    recording.flush()
    with files_of_at_most(500_000):
        recording.close()
    assert isinstance(recording.error, StoreError)
    assert "Could not compact table 'noise'" in str(recording.error)
    assert "nothing is lost" in str(recording.error)
    reader = RunReader(tmp_path / "run")
    assert reader.complete  # the rows are all there
    assert reader.parquet("noise") == []
    assert [batch.column("i")[0].as_py() for batch in reader.batches("noise", check=True)] == list(range(20))
    assert not list((tmp_path / "run").rglob("*.parquet*"))


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    with Recording(tmp_path / "run", flush_seconds=60) as recording:
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        recording.put(samples_of(0), 1000)
        recording.flush()
        assert isinstance(recording.error, StoreError)
        assert "Could not create the folder" in str(recording.error) or "Could not write" in str(recording.error)


def test_a_folder_with_a_run_or_without_leave(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    with pytest.raises(RunExistsError, match=r"There is a run at .* already"):
        Recording(tmp_path / "run")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="which is a file"):
        Recording(tmp_path / "file")
    assert "truetap-writer" not in {thread.name for thread in threading.enumerate()}


def test_the_thread_is_gone_when_closed(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "run")
    assert [t.daemon for t in threading.enumerate() if t.name == "truetap-writer"] == [True]
    recording.close()
    assert "truetap-writer" not in {thread.name for thread in threading.enumerate()}
    assert not recording.put(samples_of(0), 100)
    with pytest.raises(StoreError, match="is closed"):
        recording.update_metadata({"x": 1})


def test_an_interpreter_that_ends_commits_what_was_put(tmp_path: Path) -> None:
    code = """
import sys
from tests.store.test_recording import samples_of
from truetap.store import Recording
recording = Recording(sys.argv[1], flush_seconds=60)
for step in range(50):
    recording.put(samples_of(step), 1000)
"""
    run_python(code, tmp_path / "run")
    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert_rows(reader, range(50))
    assert reader.verify() == []


def test_a_forked_process_writes_nothing(tmp_path: Path) -> None:
    code = """
import os, sys
from tests.store.test_recording import samples_of
from truetap.store import Recording
recording = Recording(sys.argv[1])
recording.put(samples_of(0), 1000)
recording.flush()
child = os.fork()
if child == 0:
    assert not recording.put(samples_of(1), 1000)
    recording.flush()
    recording.update_metadata({"x": 1})
    recording.close()
    sys.exit(7)  # through atexit
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
recording.put(samples_of(1), 1000)
recording.close()
assert recording.error is None
"""
    run_python(code, tmp_path / "run")
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert reader.metadata == {}
    assert_rows(reader, range(2))


@contextmanager
def interrupted() -> Iterator[None]:
    """Presses Ctrl-C a tenth of a second later; also in a process that a shell started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_flushing_harms_nothing(tmp_path: Path) -> None:
    with Recording(tmp_path / "run") as recording:
        go = held_up(recording)
        recording.put(samples_of(0), 1000)
        with interrupted():
            recording.flush()
        with interrupted():
            recording.close()
        go.set()
        recording.put(samples_of(1), 1000)
    assert recording.error is None
    assert RunReader(tmp_path / "run").complete
    assert_rows(RunReader(tmp_path / "run"), range(2))


def test_kill_9_costs_at_most_what_was_put_last(tmp_path: Path) -> None:
    code = """
import sys, time
from tests.store.test_recording import samples_of
from truetap.store import Recording
recording = Recording(sys.argv[1], flush_seconds=0.5, segment_bytes=100_000)
for step in range(10**9):
    recording.put(samples_of(step), 1000)
    print(step + 1, time.monotonic(), flush=True)
    time.sleep(0.001)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(800)]
    child.kill()
    killed = time.monotonic()
    lines += child.stdout.read().splitlines()
    child.stdout.close()
    child.wait()
    put = [(int(steps), float(when)) for steps, when in (line.split() for line in lines if line.count(" ") == 1)]
    in_time = max(steps for steps, when in put if when < killed - 0.5 - 0.3)
    reader = RunReader(tmp_path / "run")
    found = reader.num_rows("samples") // 8
    assert in_time > 50
    assert found >= in_time
    assert_rows(reader, range(found), check=True)
    assert [problem for problem in reader.verify() if problem.damage] == []
