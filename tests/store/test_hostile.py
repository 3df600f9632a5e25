"""Manifests, logs and segments made to do harm: a clear error or fewer rows, never a crash or a hang."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truetap import columns
from truetap.errors import DamagedRunError, StoreError, TruetapError
from truetap.store import RunReader, RunWriter

from .helpers import segments, write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", batches=3)
    return tmp_path / "run"


def edit(run: Path, **changes: Any) -> None:
    path = run / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def read_everything(run: Path) -> None:
    """Whatever a reader can do; errors of ours are fine."""
    try:
        reader = RunReader(run)
        reader.verify()
    except TruetapError:
        return
    for table in reader.tables:
        reader.damage(table)
        for check in (False, True):
            try:
                found = reader.batches(table, check=check)
            except TruetapError:
                continue
            for index in range(len(found)):
                try:
                    found[index].to_pydict()
                except TruetapError:
                    continue


def run_of_strings(beside: Path) -> Path:
    """Columns whose values are found by offsets: strings, and tensors with a shape per row."""
    path = beside.with_name("strings")
    names = np.array(["a", "bcd", "", "é"] * 2, object)
    with RunWriter(path) as run:
        for number in range(3):
            tensors = np.ones((8, 2 + number, 2))
            run.write("samples", columns.record_batch([("n", names), ("x", tensors)], frozenset("x")))
            run.flush()
    return path


def records(*commits: tuple[int, int, int]) -> bytes:
    packed = [struct.pack("<QQI", *commit) for commit in commits]
    return b"TTAPLOG1" + b"".join(body + struct.pack("<I", zlib.crc32(body)) for body in packed)


def test_a_newer_version(run: Path) -> None:
    edit(run, version=4)
    with pytest.raises(StoreError) as caught:
        RunReader(run)
    assert "Received: version 4. Expected: version 3, which this truetap" in str(caught.value)
    assert str(caught.value).endswith("Upgrade truetap to read it.")


def test_another_programs_manifest(run: Path) -> None:
    edit(run, format="webapp")
    with pytest.raises(StoreError, match=r"belongs to no truetap run. Received: format 'webapp'"):
        RunReader(run)


@pytest.mark.parametrize("text", ["", "{", "\xff", "[" * 100_000, '{"version": ' + "9" * 5000 + "}", "\0"])
def test_a_manifest_that_is_no_json(run: Path, text: str) -> None:
    (run / "manifest.json").write_bytes(text.encode("latin1"))
    with pytest.raises(DamagedRunError, match=r"manifest.json' is not JSON: "):
        RunReader(run)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "1"),
        ("version", True),
        ("version", -1),
        ("version", None),
        ("created", 3),
        ("truetap", None),
        ("metadata", []),
        ("complete", 1),
        ("tables", ["samples"]),
        ("tables", {"samples": 1}),
        ("tables", {"samples": {"segments": [1]}}),
        ("tables", {"samples": {"segments": {"worker-00000": -1}}}),
        ("tables", {"samples": {"segments": {"worker-00000": "1"}}}),
        ("tables", {"samples": {"segments": {"../../etc": 1}}}),
        ("tables", {"../secret": {"segments": {}}}),
        ("tables", {"/etc": {"segments": {}}}),
        ("tables", {"a/b": {"segments": {}}}),
        ("tables", {"": {"segments": {}}}),
    ],
)
def test_a_manifest_with_wrong_values(run: Path, key: str, value: Any) -> None:
    edit(run, **{key: value})
    with pytest.raises(DamagedRunError, match=f"manifest.json' holds '{key}' as no truetap writes it"):
        RunReader(run)


def test_unknown_keys_are_left_alone(run: Path) -> None:
    edit(run, later="x", tables={"samples": {"segments": {"worker-00000": 1}, "later": True}})
    assert RunReader(run).num_rows("samples") == 24


def test_counts_beyond_reason_take_no_time(run: Path) -> None:
    edit(run, tables={"samples": {"segments": {"worker-00000": 10**18, "worker-00001": 10**18}}})
    for suffix in (".arrow", ".log"):
        (run / "samples" / "worker-00000" / f"seg-999999{suffix}").touch()
    problems = RunReader(run).verify()
    assert [problem.damage for problem in problems] == [True, True, True, False]


def test_files_that_are_not_ours_are_passed_over(run: Path) -> None:
    for name in ("seg-1.arrow", "seg-0000001.log", "notes.txt", "seg-000009.parquet"):
        (run / "samples" / "worker-00000" / name).touch()
    (run / "samples" / "cache").mkdir()
    assert RunReader(run).verify() == []
    assert RunReader(run).num_rows("samples") == 24


@pytest.mark.parametrize(
    "log",
    [
        records((2**63, 8, 0)),
        records((2**64 - 1, 2**64 - 2, 0)),
        records((0, 8, 0)),
        records((100, 8, 0), (50, 8, 0)),
        records((100, 8, 0), (100, 8, 0)),
        records((1, 8, 0)),
        records((2**40, 2**64 - 1, 0)),
        records((100, 2**64 - 1, 0), (200, 8, 0)),
        b"NOTALOG!" + bytes(24),
    ],
)
def test_hostile_logs(run: Path, log: bytes) -> None:
    (segment,) = segments(run)
    segment.with_suffix(".log").write_bytes(log)
    assert [problem for problem in RunReader(run).verify() if problem.damage]
    read_everything(run)


@pytest.mark.parametrize("end", [1, 7, 8, 9])
def test_commits_that_end_before_the_schema(run: Path, end: int) -> None:
    (segment,) = segments(run)
    segment.with_suffix(".log").write_bytes(records((end, 8, zlib.crc32(segment.read_bytes()[:end]))))
    with pytest.raises(DamagedRunError, match=r"holds no Arrow schema"):
        RunReader(run).batches("samples")[0]
    read_everything(run)


def test_rows_that_are_not_there_are_not_promised_in_silence(run: Path) -> None:
    (segment,) = segments(run)
    data = segment.read_bytes()
    end = int.from_bytes(segment.with_suffix(".log").read_bytes()[8:16], "little")
    log = records((end, 5, zlib.crc32(data[:end])), (len(data), 2**64 - 1, zlib.crc32(data[end:])))
    segment.with_suffix(".log").write_bytes(log)
    with pytest.raises(DamagedRunError, match=r"holds 8 rows where 5 were committed"):
        RunReader(run).batches("samples")[0]


@pytest.mark.parametrize("target", ["manifest.json", "log", "arrow"])
@pytest.mark.parametrize("kind", ["numbers", "strings"])
def test_random_bytes_anywhere(run: Path, target: str, kind: str) -> None:
    if kind == "strings":
        run = run_of_strings(run)
    path = run / target if target == "manifest.json" else segments(run)[0].with_suffix(f".{target}")
    content = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(300):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 6)):
            changed[at] = rng.integers(256)
        path.write_bytes(changed[: rng.integers(len(content) + 1)] if rng.random() < 0.3 else changed)
        read_everything(run)


@pytest.mark.parametrize("kind", ["numbers", "strings"])
def test_random_data_under_matching_checksums(run: Path, kind: str) -> None:
    """Someone who forges data forges the checksums too: Arrow's own checks must hold then."""
    if kind == "strings":
        run = run_of_strings(run)
    (segment,) = segments(run)
    content = segment.read_bytes()
    ends = [int.from_bytes(segment.with_suffix(".log").read_bytes()[at:][:8], "little") for at in (8, 32, 56)]
    rng = np.random.default_rng(8)
    for _ in range(400):
        changed = bytearray(content[: ends[-1]])
        for at in rng.integers(0, 2000, rng.integers(1, 4)):  # schema, and the first batch's description
            changed[at] = rng.integers(256)
        segment.write_bytes(changed)
        starts = [0, *ends]
        commits = [(end, 8, zlib.crc32(changed[a:end])) for a, end in zip(starts, ends, strict=False)]
        segment.with_suffix(".log").write_bytes(records(*commits))
        read_everything(run)
