"""Killed writers, cut, zeroed and flipped bytes: what was committed and is there comes back, no more."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from truetap.errors import DamagedRunError
from truetap.store import RunReader, RunWriter

from .helpers import ROOT, arrays, assert_is, batch, committed_ends, segments, write_run

BATCHES = 6


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """A run as a killed writer leaves it: no seal, no footer, the manifest incomplete."""
    run = RunWriter(tmp_path / "live")
    for number in range(BATCHES):
        run.write("samples", batch(number))
        run.flush()
    shutil.copytree(tmp_path / "live", tmp_path / "left")
    run.close()
    return tmp_path / "left"


def assert_reads(run: Path, count: int) -> None:
    reader = RunReader(run)
    found = reader.batches("samples")
    assert len(found) == count
    assert reader.num_rows("samples") == count * 8
    for number, one in enumerate(found):
        assert_is(one, arrays(number))


def test_a_killed_writer_loses_nothing_it_flushed(tmp_path: Path) -> None:
    code = """
import sys
from tests.store.helpers import batch
from truetap.store import RunWriter
run = RunWriter(sys.argv[1], segment_bytes=200_000, flush_seconds=0.01)
for number in range(10**9):
    run.write("samples", batch(number, rows=100))
    if number % 7 == 6:
        run.flush()
        print(number + 1, flush=True)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(60)]
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.read().splitlines()
    child.stdout.close()
    child.wait()
    flushed = int([line for line in lines if line.strip()][-1]) * 100

    reader = RunReader(tmp_path / "run")
    assert not reader.complete
    assert reader.num_rows("samples") >= flushed >= 42_000
    assert [problem for problem in reader.verify() if problem.damage] == []
    row = 0
    for one in reader.batches("samples", check=True):
        for start in range(0, one.num_rows, 100):
            assert_is(one.slice(start, 100), arrays(row // 100, rows=100))
            row += 100
    assert row == reader.num_rows("samples")


@pytest.mark.parametrize("seed", range(3))
def test_cut_anywhere_the_whole_batches_come_back(left: Path, seed: int) -> None:
    (segment,) = segments(left)
    content, ends = segment.read_bytes(), committed_ends(segment)
    assert len(ends) == BATCHES
    cuts = {0, 1, 7, 8, 9, *ends, *(end - 1 for end in ends), *(end + 1 for end in ends[:-1])}
    cuts |= set(np.random.default_rng(seed).integers(0, len(content), 60).tolist())
    for cut in sorted(cuts):
        segment.write_bytes(content[:cut])
        assert_reads(left, sum(end <= cut for end in ends))
        damaged = [problem for problem in RunReader(left).verify() if problem.damage]
        assert bool(damaged) == (cut < ends[-1])


def test_a_log_cut_anywhere(left: Path) -> None:
    log = segments(left)[0].with_suffix(".log")
    content = log.read_bytes()
    for cut in range(len(content) + 1):
        log.write_bytes(content[:cut])
        assert_reads(left, max(0, cut - 8) // 24)
        assert [problem for problem in RunReader(left).verify() if problem.damage] == []


@pytest.mark.parametrize("garbage", [False, True])
def test_a_zeroed_or_garbage_tail(left: Path, garbage: bool) -> None:
    (segment,) = segments(left)
    content, ends = segment.read_bytes(), committed_ends(segment)
    rng = np.random.default_rng(1)
    for start in [0, 4, *rng.integers(0, len(content) - 8, 60).tolist(), *ends[:-1]]:
        size = len(content) - start
        segment.write_bytes(content[:start] + (rng.bytes(size) if garbage else bytes(size)))
        # Padding that was zero before is still right, so a batch cut there may be whole.
        whole = sum(segment.read_bytes()[:end] == content[:end] for end in ends)
        assert_reads(left, whole)
        with pytest.raises(DamagedRunError, match=r"are not those written"):
            RunReader(left).batches("samples", check=True)


def test_a_log_with_a_garbage_tail(left: Path) -> None:
    log = segments(left)[0].with_suffix(".log")
    content = log.read_bytes()
    rng = np.random.default_rng(2)
    for start in range(8, len(content) - 8):
        for tail in (rng.bytes(len(content) - start), bytes(len(content) - start)):
            changed = content[:start] + tail
            if changed == content:
                continue
            log.write_bytes(changed)
            assert_reads(left, sum(changed[:end] == content[:end] for end in range(32, len(content) + 1, 24)))
            assert any(problem.damage for problem in RunReader(left).verify())


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_is_found(tmp_path: Path, seed: int) -> None:
    write_run(tmp_path / "run", batches=BATCHES)
    (segment,) = segments(tmp_path / "run")
    content, ends = bytearray(segment.read_bytes()), committed_ends(segment)
    for at in np.random.default_rng(seed).integers(0, len(content), 40).tolist():
        content[at] ^= 1 << at % 8
        segment.write_bytes(content)
        content[at] ^= 1 << at % 8
        bad = sum(end <= at for end in ends)  # the commit the byte belongs to; the last is the footer
        reader = RunReader(tmp_path / "run")
        (problem,) = reader.verify()
        assert problem.file == str(segment)
        assert problem.offset == ([0, *ends][bad])
        assert problem.what == f"bytes up to {ends[bad]} are not those written"
        assert problem.damage
        assert str(problem) == f"{segment} at byte {problem.offset}: {problem.what}"
        found = reader.batches("samples", check=True)
        for number in range(BATCHES):
            if bad == 0 or number == bad:
                with pytest.raises(DamagedRunError, match=r"differs from what was written"):
                    found[number]
            else:
                assert_is(found[number], arrays(number))


def test_bytes_after_the_last_commit_are_no_damage(left: Path) -> None:
    (segment,) = segments(left)
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(bytes(100))
    assert_reads(left, BATCHES)
    (problem,) = RunReader(left).verify()
    assert (problem.file, problem.offset, problem.damage) == (str(segment), size, False)
    assert problem.what == "uncommitted: 100 bytes after the last commit"
    RunReader(left).batches("samples", check=True)


def test_missing_files_are_named(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=20, segment_bytes=2500)
    whole = tmp_path / "run"
    count = len(segments(whole))
    assert count >= 5

    def without(*names: str) -> list[str]:
        broken = tmp_path / "broken"
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(whole, broken)
        for name in names:
            target = broken / "samples" / name
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        with pytest.raises(DamagedRunError, match=r"missing"):
            RunReader(broken).batches("samples", check=True)
        problems = RunReader(broken).verify()
        assert all(problem.damage for problem in problems)
        assert {problem.what for problem in RunReader(broken).damage("samples")} == {p.what for p in problems}
        return [problem.what for problem in problems]

    at = "worker-00000/seg-00000"
    assert without(f"{at}1.arrow") == ["the segment is missing"]
    assert without(f"{at}1.log") == ["the commit log is missing"]
    assert without(f"{at}1.arrow", f"{at}1.log", f"{at}2.arrow", f"{at}2.log") == ["segments 1 to 2 are missing"]
    last = f"worker-00000/seg-{count - 1:06d}"
    assert without(f"{last}.arrow", f"{last}.log") == [f"segments {count - 1} to {count - 1} are missing"]
    assert without("worker-00000") == [f"the folder is missing, with {count} segments"]


def test_a_sealed_segment_damaged_in_its_structure(tmp_path: Path) -> None:
    write_run(tmp_path / "run", batches=BATCHES)
    (segment,) = segments(tmp_path / "run")
    content, ends = segment.read_bytes(), committed_ends(segment)
    segment.write_bytes(content[: ends[1]] + bytes(ends[2] - ends[1]) + content[ends[2] :])
    found = RunReader(tmp_path / "run").batches("samples")
    assert_is(found[1], arrays(1))
    with pytest.raises(DamagedRunError, match=rf"holds no record batch .* at byte {ends[1]}. Restore"):
        found[2]
    assert_is(found[3], arrays(3))


def test_plain_pyarrow_agrees_on_what_a_killed_writer_left(left: Path) -> None:
    (segment,) = segments(left)
    stream = pa.ipc.open_stream(segment.read_bytes()[8:])
    for number in range(BATCHES):
        assert_is(stream.read_next_batch(), arrays(number))
