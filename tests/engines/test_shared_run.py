"""A run written by many: a unit counts once, as a whole or not at all, whoever dies when."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pytest

from truetap.engines.shared_run import SharedRun, UnitFolder, check_reachable, is_done, units_done
from truetap.errors import RunExistsError, StoreError
from truetap.store import RunReader

STAMP = {"data": "d", "settings": "s"}
UNITS, ROWS = 40, 50


def write(aside: Path, number: int, *, wait: float = 0.0) -> bool:
    folder = UnitFolder(aside, number)
    for start in range(0, ROWS, 10):
        values = list(range(number * ROWS + start, number * ROWS + start + 10))
        folder.write(pa.record_batch({"sample_id": values}))
        time.sleep(wait)
    return folder.publish()


def rows(path: Path) -> list[int]:
    found = RunReader(path).batches("samples", check=True)
    return [value for batch in found for value in batch.column("sample_id").to_pylist()]


def test_rows_come_in_the_order_of_the_units_whatever_the_order_of_writing(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    for number in (2, 0, 1):
        assert write(run.aside, number)
        assert RunReader(run.path).num_rows("samples") == ROWS * len(units_done(run.path))  # seen while it is written
    run.finish()
    reader = RunReader(run.path)
    assert rows(run.path) == list(range(3 * ROWS))
    assert reader.complete
    assert reader.verify() == []
    assert sorted(os.listdir(run.path)) == ["manifest.json", "samples"]


def test_the_second_attempt_at_a_unit_is_dropped(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    first, second = UnitFolder(run.aside, 0), UnitFolder(run.aside, 0)
    second.write(pa.record_batch({"sample_id": [1, 2]}))
    first.write(pa.record_batch({"sample_id": [7]}))
    assert not is_done(run.path, 0)
    assert second.publish()
    assert not first.publish()
    assert rows(run.path) == [1, 2]
    assert os.listdir(run.aside) == []
    run.finish()


def _race(aside: Path, seed: int) -> None:
    """Writes units in an order of its own until all are there."""
    order = [(number * 7 + seed * 13) % UNITS for number in range(UNITS)]
    for number in order:
        if not is_done(aside.parent, number):
            write(aside, number, wait=0.0002)


def test_many_processes_that_are_killed_leave_every_row_once(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    spawn = multiprocessing.get_context("spawn")
    for attempt in range(3):
        workers = [spawn.Process(target=_race, args=(run.aside, seed)) for seed in (attempt, attempt + 1)]
        for worker in workers:
            worker.start()
        while len(units_done(run.path)) < min(UNITS, 8 * (attempt + 1)):
            time.sleep(0.002)
        for worker in workers:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
        found = rows(run.path)
        assert len(found) == len(set(found)) == ROWS * len(units_done(run.path))
    _race(run.aside, 0)
    run.finish()
    assert rows(run.path) == list(range(UNITS * ROWS))
    assert RunReader(run.path).verify() == []


def test_an_unfinished_run_goes_on_as_the_same_call_only(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    run.check_stamp("model", "m")
    write(run.aside, 0)
    run.leave()
    with pytest.raises(RunExistsError, match=r"was left unfinished.*Received: another data\."):
        SharedRun(tmp_path / "run", "ray", {**STAMP, "data": "e"})
    with pytest.raises(RunExistsError, match=r"Received: another data and another settings\."):
        SharedRun(tmp_path / "run", "ray", {"data": "e", "settings": "t"})
    again = SharedRun(tmp_path / "run", "ray", STAMP)
    assert again.resumed
    assert units_done(again.path) == {0}
    with pytest.raises(RunExistsError, match="Received: another model"):
        again.check_stamp("model", "n")
    again.check_stamp("model", "m")
    again.finish()
    with pytest.raises(RunExistsError, match="There is a run at"):
        SharedRun(tmp_path / "run", "ray", STAMP)


def test_a_worker_that_outlived_its_call_publishes_nothing(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    write(run.aside, 0)
    outlived = UnitFolder(run.aside, 1)
    outlived.write(pa.record_batch({"sample_id": [1]}))
    run.leave()
    again = SharedRun(tmp_path / "run", "ray", STAMP)
    with pytest.raises(StoreError, match=r"Could not .*worker-00001.*No such file"):
        outlived.publish()
    with pytest.raises(StoreError, match=r"Could not make .*No such file"):
        UnitFolder(run.aside, 1)
    assert write(again.aside, 1)
    again.finish()
    assert rows(again.path) == list(range(2 * ROWS))


def test_nobody_else_writes_to_a_run_and_no_other_run_is_taken_over(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    with pytest.raises(StoreError, match="is being written by process"):
        SharedRun(tmp_path / "run", "ray", STAMP)
    write(run.aside, 0)
    run.leave()
    with pytest.raises(RunExistsError, match="There is a run at"):
        SharedRun(tmp_path / "run", "dask", STAMP)


def test_of_a_run_without_any_unit_nothing_is_left(tmp_path: Path) -> None:
    SharedRun(tmp_path / "run", "ray", STAMP).leave()
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_machine_is_refused(tmp_path: Path) -> None:
    run = SharedRun(tmp_path / "run", "ray", STAMP)
    check_reachable(run.path, STAMP)
    for path in (tmp_path / "elsewhere", tmp_path):
        with pytest.raises(StoreError, match="on the disk of another machine"):
            check_reachable(path, STAMP)
    with pytest.raises(StoreError, match="on the disk of another machine"):
        check_reachable(run.path, {**STAMP, "data": "other"})
    run.leave()
