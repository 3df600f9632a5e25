"""Runs written to a store: whole at every moment, whatever refuses or dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

import truetap as tt
from tests.store.helpers import ROOT, arrays, assert_is, batch
from tests.store.recorded import assert_rows, part, read, sample_rows
from truetap.cli import main
from truetap.errors import NotUploadedError, RunExistsError, StoreError
from truetap.store import Recording, Rows, RunReader, RunWriter
from truetap.store.destination import Upload

from .served import Store

QUICK = Upload(seconds=0.2, patience=30.0)


def put(recording: Recording, steps: range) -> None:
    for step in steps:
        recording.put(lambda step=step: [Rows("samples", sample_rows(step), part(step))], 1000)


def until(told: Callable[[], Any], patience: float = 60.0) -> None:
    """Waits until something holds."""
    end = time.monotonic() + patience
    while not told():
        assert time.monotonic() < end
        time.sleep(0.05)


def rows_there(store: Store) -> int:
    """What another process on another machine would read."""
    code = "import sys; from truetap.store import RunReader; r = RunReader(sys.argv[1]); " + (
        "print(sum(map(r.num_rows, r.tables)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, store.url()], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def refused_more_than(store: Store, number: int) -> bool:
    return store.gate.refused > number


def spools(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "truetap" / "spool").glob("*"))


def test_a_run_is_the_same_as_one_on_this_machine(store: Store, tmp_path: Path) -> None:
    for where in (store.url(), tmp_path / "run"):
        with Recording(where, metadata={"seed": 1}, upload=QUICK) as recording:
            put(recording, range(20))
        assert recording.error is None
    assert spools(tmp_path) == []
    here = sorted(str(file.relative_to(tmp_path / "run")) for file in (tmp_path / "run").rglob("*") if file.is_file())
    assert store.keys() == here
    reader = RunReader(store.url())
    assert reader.complete
    assert reader.metadata == {"seed": 1}
    assert reader.verify() == []
    assert_rows(reader, range(20))


def test_raw_tensors_stay_arrow_and_leave_the_spool(store: Store, tmp_path: Path) -> None:
    with RunWriter(store.url(), segment_bytes=20_000, upload=QUICK) as run:
        for number in range(40):
            run.write("activations.conv", batch(number, 8))
            run.flush()
        folder = run.path / "activations.conv" / "worker-00000"
        until(lambda: store.filesystem.exists(f"{store.bucket}/run/activations.conv/worker-00000/seg-000000.arrow"))
        until(lambda: not (folder / "seg-000000.arrow").exists())
        for number, one in enumerate(RunReader(store.url()).batches("activations.conv")):  # some here, some there
            assert_is(one, arrays(number))
        assert number == 39
    reader = RunReader(store.url())
    for number, one in enumerate(reader.batches("activations.conv", check=True)):
        assert_is(one, arrays(number))
    assert number == 39
    assert reader.verify() == []
    assert spools(tmp_path) == []


def test_who_reads_meanwhile_sees_whole_runs(store: Store, tmp_path: Path) -> None:
    """Another process polls; every manifest that it sees counts what is there, and no less than before."""
    code = """
import sys, time
import numpy as np
from tests.store.recorded import assert_rows, read
from truetap.errors import StoreError
from truetap.store import RunReader
url, seen, counts = sys.argv[1], 0, set()
while True:
    reader = RunReader(url)
    if "samples" in reader.tables:
        batches = reader.batches("samples")
        rows = batches.num_rows
        assert rows >= seen and rows % 8 == 0, (rows, seen)
        try:
            steps = read(batches.select(["step"]))["step"] if rows else np.zeros(0)
            np.testing.assert_array_equal(steps, np.arange(rows) // 8)
        except StoreError as error:  # made Parquet meanwhile; told so
            assert "is gone" in str(error) and RunReader(url).parquet("samples"), error
        assert [problem for problem in reader.verify() if problem.damage] == []
        seen = rows
        counts.add(rows)
        if len(counts) == 4:
            open(sys.argv[2], "w").close()
    if reader.complete:
        break
    time.sleep(0.02)
assert_rows(RunReader(url), range(seen // 8))
print(seen)
"""
    with Recording(store.url(), upload=QUICK) as recording:
        until(lambda: store.filesystem.exists(f"{store.bucket}/run/manifest.json"))
        child = subprocess.Popen(
            [sys.executable, "-c", code, store.url(), str(tmp_path / "enough")],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        end, step = time.monotonic() + 120, 0
        while not (tmp_path / "enough").exists() and child.poll() is None:
            assert time.monotonic() < end
            put(recording, range(step, step + 1))
            step += 1
            time.sleep(0.02)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    assert int(out) == step * 8


def test_this_process_sees_what_is_not_sent_yet(store: Store) -> None:
    with Recording(store.url(), upload=Upload(seconds=600)) as recording:
        put(recording, range(12))
        recording.flush()
        assert_rows(RunReader(store.url()), range(12))
        assert tt.open(store.url()).sql("select count(*) from samples").fetchall() == [(96,)]
        assert rows_there(store) == 0
    assert rows_there(store) == 96


def test_a_store_that_refuses_for_a_while(store: Store, tmp_path: Path) -> None:
    """Nothing is lost, recording goes on meanwhile, and it is said once that it lasts."""
    with Recording(store.url(), upload=QUICK) as recording:
        put(recording, range(10))
        until(lambda: store.filesystem.exists(f"{store.bucket}/run/samples/worker-00000/seg-000000.log"))
        for mode in ("busy", "shut"):
            store.gate.turn(mode)
            before = store.gate.refused
            put(recording, range(10, 20) if mode == "busy" else range(20, 30))
            recording.flush()
            until(partial(refused_more_than, store, before + 2))
        until(lambda: recording.notices)
        (notice,) = recording.notices
        assert "Recording goes on, nothing is lost" in notice
        assert str(spools(tmp_path)[0]) in notice
        store.gate.turn("open")
    assert recording.error is None
    assert_rows(RunReader(store.url()), range(30))
    assert RunReader(store.url()).complete
    assert spools(tmp_path) == []


def test_a_store_that_never_comes_back(store: Store, tmp_path: Path) -> None:
    recording = Recording(store.url(), upload=Upload(seconds=0.2, patience=0.5))
    put(recording, range(10))
    recording.flush()
    store.gate.turn("shut")
    recording.close()
    (spool,) = spools(tmp_path)
    assert isinstance(recording.error, NotUploadedError)
    assert recording.error.spool == str(spool)
    assert "whole on this machine" in str(recording.error)
    assert f"truetap upload {spool}" in str(recording.error)
    store.gate.turn("open")
    assert tt.upload(spool) == store.url()
    assert_rows(RunReader(store.url()), range(10))
    assert RunReader(store.url()).complete
    assert not spool.exists()
    assert [key for key in store.keys() if key.startswith(".")] == []  # noqa: SIM118


KILLED = """
import os, signal, sys, time
from tests.store.recorded import part, sample_rows
from truetap.store import Recording, Rows
from truetap.store.destination import Upload
recording = Recording(sys.argv[1], append=True, flush_seconds=0.05, upload=Upload(seconds=float(sys.argv[2])))
for step in range(int(sys.argv[3]), 10**6):
    recording.put(lambda step=step: [Rows("samples", sample_rows(step), part(step))], 1000)
    recording.flush()
    print(step, flush=True)
    time.sleep(0.005)
"""


@pytest.mark.parametrize("seconds", [0.1, 600.0])
def test_killed_and_gone_on_with(store: Store, tmp_path: Path, seconds: float) -> None:
    """Every step that was confirmed is there once, whether it had been sent when the process was killed or not."""
    step = 0
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, store.url(), str(seconds), str(step)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        with child:
            assert child.stdout is not None
            for line in child.stdout:
                if int(line) >= step + 60:
                    child.send_signal(signal.SIGKILL)
                    break
            confirmed = [int(line), *map(int, child.stdout.read().split())][-1]
        with Recording(store.url(), append=True, upload=QUICK) as recording:
            steps = set(read(RunReader(store.url()).batches("samples").select(["step"]))["step"].tolist())
            step = max(steps) + 1
            assert confirmed <= max(steps) <= confirmed + 1
        assert recording.error is None
        assert_rows(RunReader(store.url()), range(step))
    assert spools(tmp_path) == []


def test_gone_on_with_on_another_machine(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that vanished has lost what it had not sent, and nothing else; should it come back, it is refused."""
    first = Recording(store.url(), upload=QUICK)
    put(first, range(10))
    first.flush()
    until(lambda: store.filesystem.exists(f"{store.bucket}/run/samples/worker-00000/seg-000000.log"))
    until(lambda: rows_there(store) == 80)
    with pytest.raises(StoreError, match="is being written by process"):
        Recording(store.url(), append=True, upload=QUICK)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other-machine"))
    with pytest.raises(RunExistsError, match="There is a run at"):
        Recording(store.url(), upload=QUICK)
    with Recording(store.url(), append=True, upload=QUICK) as second:
        put(second, range(10, 20))
    assert second.error is None
    put(first, range(10, 15))
    first.close()
    assert isinstance(first.error, NotUploadedError)
    assert "was gone on with by another" in str(first.error)
    assert f"truetap upload {spools(tmp_path)[0]} URL" in str(first.error)
    assert_rows(RunReader(store.url()), range(20))
    assert RunReader(store.url()).verify() == []


def test_who_was_taken_over_replaces_no_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw tensors stay Arrow, so that both give the same names to their files."""
    first = RunWriter(store.url(), segment_bytes=1, upload=QUICK)
    first.write("inputs.x", batch(0))
    first.flush()
    until(lambda: "inputs.x/worker-00000/seg-000000.log" in store.keys())  # noqa: SIM118
    until(lambda: rows_there(store) == 8)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other-machine"))
    with RunWriter(store.url(), append=True, upload=QUICK) as second:
        second.write("inputs.x", batch(1))
    first.write("inputs.x", batch(7))
    with pytest.raises(NotUploadedError, match="was gone on with by another"):
        first.close()
    reader = RunReader(store.url())
    assert reader.verify() == []
    for number, one in enumerate(reader.batches("inputs.x", check=True)):
        assert_is(one, arrays(number))
    assert number == 1


def test_two_that_begin_at_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = json.dumps({"token": "x", "who": "process 7 on elsewhere"}).encode()
    store.filesystem.pipe_file(f"{store.bucket}/run/.writer", marker)
    with pytest.raises(RunExistsError, match=r"Someone has begun .*process 7 on elsewhere.*resume=True"):
        RunWriter(store.url())
    assert store.keys() == [".writer"]
    assert spools(tmp_path) == []


def test_what_can_not_be_begun_is_refused_at_once(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Can't write to 's3://no-such-bucket/run'.*bucket does not exist"):
        RunWriter("s3://no-such-bucket/run")
    store.gate.turn("shut")
    with pytest.raises(StoreError, match="the store can't be reached"):
        RunWriter(store.url())
    store.gate.turn("open")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"Can't make the folder .* choose one by spool="):
        RunWriter(store.url(), upload=Upload(spool=tmp_path / "file"))
    assert spools(tmp_path) == []
    assert store.keys() == []


def test_no_run_is_left_of_one_that_failed_before_its_first_row(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunWriter(store.url(), upload=QUICK):
        raise ZeroDivisionError
    assert store.keys() == []
    assert spools(tmp_path) == []


def test_a_spool_of_ones_own_choice(store: Store, tmp_path: Path) -> None:
    """What else is in that folder stays."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("kept")
    with RunWriter(store.url(), upload=Upload(spool=tmp_path / "mine")) as run:
        run.write("samples", batch(0))
        assert run.path.is_relative_to(tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["precious"]
    assert spools(tmp_path) == []
    assert_is(RunReader(store.url()).batches("samples")[0], arrays(0))


def test_killed_after_all_was_sent(store: Store, tmp_path: Path) -> None:
    """What is left in the spool is in the store as well: it isn't sent again, and nothing is doubled."""
    recording = Recording(store.url(), upload=Upload(seconds=0.2, patience=0.5))
    put(recording, range(10))
    recording.flush()
    store.gate.turn("shut")
    recording.close()
    store.gate.turn("open")
    (spool,) = spools(tmp_path)
    shutil.copytree(spool, tmp_path / "copy")
    tt.upload(spool)
    shutil.copytree(tmp_path / "copy", spool)
    with Recording(store.url(), append=True, upload=QUICK) as again:
        put(again, range(10, 15))
    assert again.error is None
    assert_rows(RunReader(store.url()), range(15))
    shutil.copytree(tmp_path / "copy", spool)
    with pytest.raises(RunExistsError, match=r"gone on with elsewhere, and .* holds rows of it that were never sent"):
        Recording(store.url(), append=True, upload=QUICK)


def test_names_are_added_to_a_run_in_a_store(store: Store) -> None:
    with RunWriter(store.url()) as run:
        run.write("samples", batch(0))
    with RunWriter(store.url(), append=True) as run:
        run.write("names", pa.record_batch({"name": ["a"]}))
    reader = RunReader(store.url())
    assert reader.tables == ("samples", "names")
    assert_is(reader.batches("samples")[0], arrays(0))
    assert reader.verify() == []


def test_a_folder_is_sent(store: Store, tmp_path: Path) -> None:
    with Recording(tmp_path / "run") as recording:
        put(recording, range(10))
    assert tt.upload(tmp_path / "run", store.url()) == store.url()
    assert_rows(RunReader(store.url()), range(10))
    assert tt.upload(tmp_path / "run", store.url()) == store.url()
    with Recording(tmp_path / "other") as recording:
        put(recording, range(5))
    with RunWriter(store.url(), append=True) as run:
        run.write("names", pa.record_batch({"name": ["a"]}))
    with pytest.raises(RunExistsError, match="There is another run at"):
        tt.upload(tmp_path / "run", store.url())
    with pytest.raises(StoreError, match="It isn't known where to send"):
        tt.upload(tmp_path / "run")
    with pytest.raises(StoreError, match="There is no run to send"):
        tt.upload(tmp_path, store.url())


LEFT = """
import sys
from tests.store.recorded import part, sample_rows
from truetap.store import Recording, Rows
recording = Recording(sys.argv[1])
for step in range(10):
    recording.put(lambda step=step: [Rows("samples", sample_rows(step), part(step))], 1000)
if sys.argv[2] == "closed":
    recording.close(wait=False)
"""


@pytest.mark.parametrize("left", ["closed", "open"])
def test_python_ends_while_there_is_something_to_send(store: Store, tmp_path: Path, left: str) -> None:
    """By the name of a host, which has to be looked up in a thread that Python ends early."""
    by_name = {**os.environ, "FSSPEC_S3_ENDPOINT_URL": store.gate.url.replace("127.0.0.1", "localhost")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LEFT, store.url(), left],
        cwd=ROOT,
        env=by_name,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    if left == "closed":
        assert done.stderr == ""
        assert spools(tmp_path) == []
    elif spools(tmp_path):  # what nobody closed may be left, and is whole
        tt.upload(spools(tmp_path)[0])
    assert_rows(RunReader(store.url()), range(10))


def test_by_the_command(store: Store, tmp_path: Path) -> None:
    with Recording(tmp_path / "run") as recording:
        put(recording, range(10))
    called = CliRunner().invoke(main, ["upload", str(tmp_path / "run"), store.url()])
    assert (called.exit_code, called.output) == (0, f"{store.url()}: all of it is there.\n")
    again = CliRunner().invoke(main, ["upload", str(tmp_path / "run"), store.url(), "--json"])
    assert json.loads(again.output) == {"run": str(tmp_path / "run"), "url": store.url()}
    verified = CliRunner().invoke(main, ["verify", store.url()])
    assert verified.exit_code == 0
    assert "80 rows in 1 tables; every committed byte is as written." in verified.output
    asked = CliRunner().invoke(main, ["sql", store.url(), "select count(*) as n from samples", "--json"])
    assert asked.exit_code == 0
    assert "80" in asked.output
    with Recording(tmp_path / "other") as recording:
        put(recording, range(5))
    assert CliRunner().invoke(main, ["upload", str(tmp_path / "other"), store.url()]).exit_code == 1
    assert CliRunner().invoke(main, ["upload", str(tmp_path / "none"), store.url()]).exit_code == 2
    store.gate.turn("shut")
    refused = CliRunner().invoke(main, ["upload", str(tmp_path / "other"), store.url("another")])
    assert refused.exit_code == 1
    assert "the store can't be reached" in refused.output


def test_times_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"Received: upload_seconds=0, upload_patience=300.0"):
        Upload(seconds=0)
