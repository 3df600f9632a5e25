"""Rows on their way from Arrow to Parquet: readers meanwhile, and processes killed at every stage."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from truetap.store import RunReader, RunWriter

from .helpers import ROOT, run_python
from .recorded import assert_rows, read, sample_batch
from .test_append import write_samples


def test_a_reader_that_polls_sees_every_row_once(tmp_path: Path) -> None:
    """While rows are written, while they are compacted, and afterwards: never fewer than before."""
    code = """
import sys, time
from tests.store.recorded import part, sample_rows
from truetap.store import Recording, Rows
for session in range(3):
    with Recording(sys.argv[1], flush_seconds=0.05, segment_bytes=30_000, append=True) as recording:
        for step in range(session * 400, session * 400 + 400):
            recording.put(lambda step=step: [Rows("samples", sample_rows(step), part(step))], 1000)
            time.sleep(0.001)
    assert recording.error is None
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], cwd=ROOT)
    while not (tmp_path / "run" / "manifest.json").exists():
        assert child.poll() is None
    seen, polls, forms = 0, 0, set()
    reader = RunReader(tmp_path / "run")
    before = None
    while True:
        ended = child.poll() is not None
        if "samples" in RunReader(tmp_path / "run").tables:
            batches = reader.batches("samples")
            assert seen <= batches.num_rows <= reader.num_rows("samples")
            if before is not None and polls % 3 == 0:  # what was opened earlier stays as it was
                steps = read(before.select(["step"]))["step"]
                np.testing.assert_array_equal(steps, np.arange(len(steps)) // 8)
            seen = batches.num_rows
            if seen:
                before = batches
                steps = read(batches.select(["step"]))["step"]
                assert len(steps) == seen
                np.testing.assert_array_equal(steps, np.arange(seen) // 8)
                files, live = reader.parquet_and_arrow("samples")
                forms.add((bool(files), bool(len(live))))
                polls += 1
        if ended:
            break
    assert child.wait() == 0
    assert seen == 1200 * 8
    assert polls > 20
    assert {(False, True), (True, False)} <= forms
    assert_rows(RunReader(tmp_path / "run"), range(1200))


def test_a_reader_that_looks_at_every_stage(tmp_path: Path) -> None:
    """A reader between any two operations of the writer on the file system, by the interpreter's own hook."""
    write_samples(tmp_path / "run", range(12))
    reader, looking, looks = RunReader(tmp_path / "run"), False, 0

    def look(event: str, args: tuple[object, ...]) -> None:
        nonlocal looking, looks
        if looking or event not in {"os.rename", "os.remove", "os.rmdir", "os.mkdir"} or not active:
            return
        looking = True
        assert_rows(reader, range(12))
        assert reader.num_rows("samples") == 96
        assert [problem for problem in reader.verify() if problem.damage] == []
        looks += 1
        looking = False

    active = True
    sys.addaudithook(look)
    try:
        RunWriter(tmp_path / "run", append=True).close(compact=True)
    finally:
        active = False
    assert looks > 15
    assert reader.parquet("samples")


def test_a_segment_opened_before_it_is_removed(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "run")
    for step in range(12):
        run.write("samples", sample_batch(step))
        run.flush()
    old = RunReader(tmp_path / "run").batches("samples")
    run.close(compact=True)
    np.testing.assert_array_equal(read(old)["step"], np.arange(96) // 8)


KILL = """
import os, shutil, signal, sys, time
from pathlib import Path
import numpy, pandas, pyarrow.parquet, pyarrow.compute  # before the forks, or each of them does it
from tests.store.recorded import assert_rows
from tests.store.test_append import write_samples
from truetap.store import RunReader, RunWriter

whole, path = Path(sys.argv[1]), Path(sys.argv[2])
STAGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "open"}

def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

def close_and_die(stage):
    run = RunWriter(path, append=True)
    count = 0
    def hook(event, args):
        nonlocal count
        if event in STAGES and str(path) in str(args[0]) and not (event == "open" and args[1] == "rb"):
            count += 1
            if count > stage:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)
    run.close(compact=True)

def check():
    reader = RunReader(path)
    assert_rows(reader, range(6))
    assert_rows(reader, range(2), table="other")
    assert [problem for problem in reader.verify() if problem.damage] == []
    write_samples(path, range(6, 7), append=True, compact=True)
    reader = RunReader(path)
    assert reader.complete
    assert_rows(reader, range(7))
    assert reader.verify() == []
    files = {file for file in path.rglob("*") if file.is_file()}
    named = {Path(file) for table in reader.tables for file in reader.parquet(table)}
    assert files == named | {path / "manifest.json"}, files - named

stage, ended = 0, 1
while ended != 0:
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    ended = in_child(lambda: close_and_die(stage))
    assert ended in (0, -signal.SIGKILL), ended
    assert in_child(check) == 0, stage
    stage += 1
print(stage)
"""


def test_killed_at_every_stage_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    run = RunWriter(tmp_path / "whole", segment_bytes=2500)
    for step in range(6):
        run.write("samples", sample_batch(step))
        if step < 2:
            run.write("other", sample_batch(step))
        run.flush()
    run.close()
    stages = int(run_python(KILL, tmp_path / "whole", tmp_path / "run"))
    assert stages > 25


@pytest.mark.parametrize("garbage", [b"", b"PAR1 and more", bytes(1000)])
def test_what_others_left_is_passed_over(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "run"
    write_samples(path, range(7), compact=True)
    strays = [
        path / "samples/phase=train/epoch=0/part-000099.parquet",
        path / "samples/phase=train/epoch=7/part-000002.parquet",
        path / "samples/phase=train/epoch=0/.part-000003.parquet.tmp",
        path / "samples/part-000004.parquet",
        path / ".manifest.json.123",
    ]
    kept = [path / "samples/notes.parquet", path / "samples/phase=train/epoch=0/mine.txt"]
    for stray in (*strays, *kept):
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes(garbage)
    assert_rows(RunReader(path), range(7))
    assert RunReader(path).verify() == []
    write_samples(path, range(7, 9), append=True, compact=True)
    assert_rows(RunReader(path), range(9))
    for stray in strays:
        assert not stray.exists() or stray in map(Path, RunReader(path).parquet("samples"))
    assert [file.read_bytes() for file in kept] == [garbage, garbage]
