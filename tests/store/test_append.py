"""Runs that go on: ended, killed or being written by someone else."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from truetap.errors import DamagedRunError, RunExistsError, StoreError
from truetap.store import Recording, RunReader, RunWriter

from .helpers import ROOT, arrays, assert_is, batch, segments, write_run
from .recorded import assert_rows, sample_batch
from .test_recording import samples_of
from .test_writer_errors import as_nobody


def write_samples(path: Path, steps: range, *, append: bool = False, compact: bool = False) -> None:
    run = RunWriter(path, append=append)
    for step in steps:
        run.write("samples", sample_batch(step))
        if step % 5 == 4:  # a batch never mixes two epochs
            run.flush()
    run.close(compact=compact)


def test_a_run_goes_on_in_new_files(tmp_path: Path) -> None:
    path = tmp_path / "run"
    write_run(path, batches=3, metadata={"seed": 1, "kept": True})
    created = RunReader(path).created
    before = {file: file.read_bytes() for file in (path / "samples").rglob("*.*")}
    with RunWriter(path, append=True, metadata={"seed": 2}) as run:
        assert not RunReader(path).complete
        run.write("samples", batch(3))
        run.write("other", batch(0))
    reader = RunReader(path)
    assert reader.complete
    assert reader.created == created
    assert reader.metadata == {"seed": 2, "kept": True}
    assert reader.tables == ("samples", "other")
    for number, one in enumerate(reader.batches("samples", check=True)):
        assert_is(one, arrays(number))
    assert {file: file.read_bytes() for file in before} == before
    assert [file.name for file in segments(path)] == ["seg-000000.arrow", "seg-000001.arrow"]
    assert reader.verify() == []


def test_where_there_is_no_run_one_begins(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run", append=True, metadata={"a": 1}) as run:
        run.write("samples", batch(0))
    assert RunReader(tmp_path / "run").complete
    assert RunReader(tmp_path / "run").metadata == {"a": 1}
    (tmp_path / "photo.jpg").touch()
    with pytest.raises(RunExistsError, match=r"holds other files, such as 'photo.jpg'"):
        RunWriter(tmp_path, append=True)


def test_an_append_that_fails_before_its_first_row_leaves_the_run(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=2)

    def fail() -> None:
        with RunWriter(tmp_path / "run", append=True):
            raise KeyError("mine")

    with pytest.raises(KeyError):
        fail()
    assert RunReader(tmp_path / "run").num_rows("samples") == 16
    assert sorted(os.listdir(tmp_path / "run")) == ["manifest.json", "samples"]


@pytest.mark.parametrize("compact", [False, True])
def test_many_sessions(tmp_path: Path, compact: bool) -> None:
    for session in range(4):
        write_samples(tmp_path / "run", range(session * 7, session * 7 + 7), append=session > 0, compact=compact)
        assert_rows(RunReader(tmp_path / "run"), range(session * 7 + 7))
    reader = RunReader(tmp_path / "run")
    assert reader.verify() == []
    assert len(reader.arrow("samples")) == (0 if compact else 9)
    files = [Path(file).relative_to(tmp_path / "run").as_posix() for file in reader.parquet("samples")]
    epochs = [0, 1, 1, 2, 2, 3, 4, 4, 5] if compact else []
    assert files == [f"samples/phase=train/epoch={epoch}/part-{n:06d}.parquet" for n, epoch in enumerate(epochs)]


def test_a_run_of_version_1_is_read_and_goes_on(tmp_path: Path) -> None:
    write_samples(tmp_path / "run", range(3))
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "version": 1}))
    assert_rows(RunReader(tmp_path / "run"), range(3))
    write_samples(tmp_path / "run", range(3, 5), append=True)
    assert json.loads(manifest.read_text())["version"] == 2
    assert_rows(RunReader(tmp_path / "run"), range(5))


def test_a_damaged_manifest_is_left_alone(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / "manifest.json").write_text("{")
    with pytest.raises(DamagedRunError):
        RunWriter(tmp_path / "run", append=True)
    assert sorted(os.listdir(tmp_path / "run")) == ["manifest.json", "samples"]


@pytest.mark.parametrize("append", [False, True])
def test_two_writers_of_one_run(tmp_path: Path, append: bool) -> None:
    with Recording(tmp_path / "run") as recording:
        recording.put(samples_of(0), 1000)
        for opened in (RunWriter, Recording):
            kind = StoreError if append else RunExistsError
            with pytest.raises(kind, match=rf"being written by process {os.getpid()}" if append else "already"):
                opened(tmp_path / "run", append=append)
        recording.put(samples_of(1), 1000)
    assert_rows(RunReader(tmp_path / "run"), range(2))
    assert sorted(os.listdir(tmp_path / "run")) == ["manifest.json", "samples"]


def test_a_killed_writers_run_goes_on_and_a_living_ones_does_not(tmp_path: Path) -> None:
    code = """
import sys, time
from tests.store.test_recording import samples_of
from truetap.store import Recording
recording = Recording(sys.argv[1])
for step in range(7):
    recording.put(samples_of(step), 1000)
recording.flush()
print("ready", flush=True)
time.sleep(60)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    with pytest.raises(StoreError, match=rf"is being written by process {child.pid} on \S+; it is left as it is"):
        RunWriter(tmp_path / "run", append=True)
    child.kill()
    child.wait()
    child.stdout.close()
    assert_rows(RunReader(tmp_path / "run"), range(7))
    write_samples(tmp_path / "run", range(7, 10), append=True, compact=True)
    reader = RunReader(tmp_path / "run")
    assert reader.complete
    assert_rows(reader, range(10), check=True)
    assert reader.verify() == []


def test_a_child_that_outlives_the_recording_does_not_keep_the_lock(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    try:
        run.close()
        RunWriter(tmp_path / "run", append=True).close()
    finally:
        child.communicate(b"\n")


def test_a_run_that_is_not_writable() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to other users
        Path(folder).chmod(0o755)
        path = Path(folder) / "run"
        write_run(path)
        content = (path / "manifest.json").read_bytes()
        with as_nobody(), pytest.raises(StoreError, match=r"Could not write '.*': Permission denied"):
            RunWriter(path, append=True)
        with as_nobody():
            assert RunReader(path).num_rows("samples") == 40
        assert (path / "manifest.json").read_bytes() == content
