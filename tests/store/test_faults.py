"""A disk that is full at every point of a recording, clocks that jump, two recordings of one folder."""

from __future__ import annotations

import ast
import datetime
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from truetap.errors import StoreError
from truetap.store import Recording, RunReader

from .helpers import ROOT, run_python
from .kills import FLUSH_SECONDS, TABLES, put_step, steps_of

FULL = """
import os, shutil, sys
from pathlib import Path
from tests.store.kills import TABLES, put_step, steps_of
from truetap.errors import StoreError
from truetap.store import Recording, RunReader

disk = Path(sys.argv[1])
run, ballast = disk / "run", disk / "ballast"
options = dict(append=True, segment_bytes=16_000, gather_bytes=4_000)

def record(first, last):
    "The steps that were confirmed before the first error, and that error."
    confirmed = first
    try:
        recording = Recording(run, **options)
    except StoreError as error:
        return confirmed, error
    for step in range(first, last):
        put_step(recording, step)
        if step % 2:
            recording.update_metadata({"step": step})
            recording.flush()
            confirmed = step + 1 if recording.error is None else confirmed
    recording.close()
    return (last if recording.error is None else confirmed), recording.error

stopped = []
for pages in range(0, 100, 3):
    shutil.rmtree(run, ignore_errors=True)
    before, error = record(0, 4) if pages % 2 else (0, None)  # also one that goes on on a full disk
    assert error is None, error
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        left = room.f_bavail - pages
        file.write(bytes(max(0, left) * room.f_bsize))
    confirmed, error = record(before, before + 6)
    assert error is None or "No space left on device" in str(error), error
    stopped.append(error is not None)
    ballast.unlink()
    if (run / "manifest.json").exists():
        reader = RunReader(run)
        assert not [problem for problem in reader.verify() if problem.damage], (pages, error)
        assert reader.complete == (error is None) or "compact" in str(error) or confirmed == before
        for table in TABLES if confirmed else ():
            steps = steps_of(reader, table)
            assert steps[:confirmed] == list(range(confirmed)), (pages, table, steps, confirmed)
    else:
        assert not confirmed
    again, error = record(20, 22)
    assert error is None and again == 22, (pages, error)
    assert RunReader(run).complete
    for table in TABLES:
        assert [step for step in steps_of(RunReader(run), table) if step >= 20] == [20, 21]
print(sum(stopped), len(stopped))
"""


def test_a_disk_that_is_full_at_any_point(tmp_path: Path) -> None:
    """Filled but for so many pages: at the manifest, a folder, a log, a segment, its end, a Parquet file."""
    inside = f"mount -t tmpfs -o size=1m none {tmp_path} && exec {sys.executable} -W error -c '{FULL}' {tmp_path}"
    unshare = shutil.which("unshare")
    own = [str(unshare), "--user", "--map-root-user", "--mount", "sh", "-c"]
    if unshare is None or subprocess.run([*own, f"mount -t tmpfs none {tmp_path}"], capture_output=True).returncode:
        pytest.skip("a small disk can be mounted only where users may have namespaces of their own")
    done = subprocess.run([*own, inside], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    stopped, tried = map(int, done.stdout.split())
    assert 5 < stopped < tried


CLOCKS_OF_THE_DAY = ("time.time", "time.time_ns", "datetime.datetime.now", "datetime.now", "datetime.date.today")


def test_only_clocks_that_never_jump_decide() -> None:
    """In the store, the capture and the recorder nothing asks for the time of day but to tell people since when."""
    found = []
    for folder in ("store", "capture", "loop"):
        for path in sorted((ROOT / "truetap" / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS_OF_THE_DAY:
                    found.append(f"{path.name}: {ast.unparse(node)}")
    assert sorted(found) == ["claim.py: datetime.datetime.now", "writer.py: datetime.datetime.now"]


def test_clocks_that_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day goes back by years and on again while rows wait: they are committed as if it had not."""
    jumps = [0.0, 4e9, 1.0, 2e9]
    monkeypatch.setattr(time, "time", lambda: jumps[len(os.urandom(1)) % 4])
    run = tmp_path / "run"
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    with Recording(run, flush_seconds=FLUSH_SECONDS) as recording:
        for step in range(6):
            monkeypatch.setattr(time, "time", lambda step=step: jumps[step % 4])
            put_step(recording, step)
        _wait_for(lambda: "samples" in RunReader(run).tables and RunReader(run).num_rows("samples") == 24)
    created = RunReader(run).created
    assert before <= datetime.datetime.fromisoformat(created)
    for number, path in enumerate(sorted(run.rglob("*"))):
        os.utime(path, (number % 2 * 4e9, number % 3 * 2e9))  # files of the past and of the future
    with Recording(run, append=True) as recording:
        put_step(recording, 6)
    assert RunReader(run).created == created
    for table in TABLES:
        assert steps_of(RunReader(run), table) == list(range(7))


def _wait_for(condition: object) -> None:
    deadline = time.monotonic() + 60
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def test_two_recordings_of_one_folder(tmp_path: Path) -> None:
    """In one process and in two: the second is told who has it; when the first is killed, it may go on."""
    with Recording(tmp_path / "run") as recording:
        put_step(recording, 0)
        recording.flush()
        with pytest.raises(StoreError, match=rf"is being written by process {os.getpid()} on .*left as it is"):
            Recording(tmp_path / "run", append=True)
        said = run_python(
            "import sys\nfrom truetap.store import Recording\n"
            "try:\n    Recording(sys.argv[1], append=True)\nexcept Exception as error:\n    print(error)",
            tmp_path / "run",
        )
        assert f"is being written by process {os.getpid()}" in said
        put_step(recording, 1)
    with Recording(tmp_path / "run", append=True) as recording:
        put_step(recording, 2)
    for table in TABLES:
        assert steps_of(RunReader(tmp_path / "run"), table) == [0, 1, 2]


def test_two_that_begin_at_once(tmp_path: Path) -> None:
    """Of many threads that begin a run in one folder at the same moment, one has it and the others are told."""
    ready, began, refused = threading.Barrier(8), [], []

    def begin() -> None:
        ready.wait()
        try:
            began.append(Recording(tmp_path / "run", append=True))
        except StoreError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(began), len(refused)) == (1, 7), refused
    put_step(began[0], 0)
    began[0].close()
    assert began[0].error is None
    assert steps_of(RunReader(tmp_path / "run"), "samples") == [0]
