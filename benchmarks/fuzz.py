"""Reads inputs that were made to do harm, a million of them: no reader may crash, hang or take memory that isn't there.

    python benchmarks/fuzz.py [--write] [--only READER] [--share 0.01] [--seed 1]

Each reader (`tests/fuzz/targets.py`) runs in a process of its own. An input is put into shared memory before it is
tried, so whatever it does to the process, it is there afterwards: the process that ends, an input that takes longer
than 60 s, memory beyond 1 GB or grown by 200 MB, and an error that isn't truetap's own each are a finding, kept in
the folder `fuzz-findings`. What was found and mended goes to `tests/fuzz/corpus`, which the tests replay.
Mutations know numbers, bytes and JSON; checksums are forged so that they don't stop what comes behind them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
import os
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the readers are those that the tests replay

from _measure import facts, table, write_section  # noqa: E402

RESULTS = Path(__file__).with_name("RESULTS.md")
CORPUS = ROOT / "tests/fuzz/corpus"
COUNTS = {  # how many inputs each reader gets: about as long as they take
    "query": 250_000,
    "manifest": 150_000,
    "parquet": 100_000,
    "segment": 200_000,
    "commit log": 300_000,
    "sql": 1_000,
    "run": 500,
    "report": 300,
}
HEADING = "hostile input"
LONGEST = 60.0  # seconds for one input, on a machine that does other things too
MEMORY = 1 << 30  # that a reader may ask for beyond what it holds when it begins
LEAP = 200 << 10  # KB by which the peak may grow with one input
_HEAD = struct.Struct("<QI")
_ROOM = 16 << 20


@dataclass
class Tally:
    """What became of the inputs of one reader."""

    tried: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    findings: dict[str, Path] = field(default_factory=dict)


# --- the process that reads -------------------------------------------------------------------------


def worker(name: str, seed: int, count: int, shared: Path, findings: Path) -> None:
    """Reads `count` inputs; prints a line of JSON at its end."""
    from tests.fuzz.targets import TARGETS, refuse_memory

    warnings.simplefilter("ignore")
    with open(shared, "r+b") as file, tempfile.TemporaryDirectory(dir=_memory_folder()) as folder:
        memory = mmap.mmap(file.fileno(), _ROOM)
        target = TARGETS[name](Path(folder))
        seeds = target.seeds()
        seeds += [path.read_bytes() for path in sorted((CORPUS / name.replace(" ", "-")).glob("*")) if path.is_file()]
        for right in seeds:
            _attempt(target, right, refuse_memory)
        limit = _virtual() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        rng = np.random.default_rng(seed)
        refused, slowest, began = 0, 0.0, time.monotonic()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(count):
            data = target.changed(seeds[int(rng.integers(len(seeds)))], seeds, rng)
            memory[: _HEAD.size] = _HEAD.pack(number + 1, len(data))
            memory[_HEAD.size : _HEAD.size + len(data)] = data
            before = time.monotonic()
            found = _attempt(target, data, refuse_memory)
            slowest = max(slowest, time.monotonic() - before)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
            peak += grown
            if grown > LEAP and target.bounded:
                found = f"memory grew by {grown >> 10} MB"
            if found == "refused":
                refused += 1
            elif found:
                _keep(findings, name, found, data)
        elapsed = time.monotonic() - began
    print(json.dumps({"tried": count, "refused": refused, "seconds": elapsed, "slowest": slowest}))


def _attempt(target: Any, data: bytes, refuse_memory: Any) -> str:
    """What went wrong; nothing when the input was read, "refused" when it was refused."""
    try:
        target.read(data)
    except target.expected as error:
        try:
            refuse_memory(error)
        except MemoryError as asked:
            return _said(asked)
        if isinstance(error, MemoryError | RecursionError | SystemError | AssertionError):
            return _said(error)
        return "refused"
    except Exception as error:
        return _said(error)
    return ""


def _said(error: BaseException) -> str:
    """The error's name and where in truetap it came from: what makes two findings the same."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "truetap/" in frame.filename]
    place = f"{Path(frames[-1].filename).stem}-{frames[-1].lineno}" if frames else "elsewhere"
    return f"{type(error).__name__}-{place}"


def _keep(findings: Path, name: str, what: str, data: bytes) -> None:
    safe = "".join(letter if letter.isalnum() or letter == "-" else "-" for letter in what)[:80]
    folder = findings / name.replace(" ", "-") / safe
    folder.mkdir(parents=True, exist_ok=True)
    if len(os.listdir(folder)) < 3:
        (folder / f"{hashlib.sha256(data).hexdigest()[:12]}.bin").write_bytes(data)


def _virtual() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


# --- the process that watches -----------------------------------------------------------------------


def watch(name: str, seed: int, count: int, findings: Path) -> Tally:
    """Has `count` inputs read, by one process after the other when they end early."""
    tally = Tally()
    while tally.tried < count:
        with tempfile.NamedTemporaryFile(dir=_memory_folder()) as shared:
            shared.truncate(_ROOM)
            options = ["--worker", name, "--seed", str(seed), "--count", str(count - tally.tried)]
            options += ["--shared", shared.name, "--findings", str(findings)]
            command = [sys.executable, __file__, *options]
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            with open(shared.name, "r+b") as file:
                memory = mmap.mmap(file.fileno(), _ROOM)
            hung = _wait(process, memory)
            out, err = process.communicate()
            number, size = _HEAD.unpack_from(memory)
            if process.returncode == 0:
                said = json.loads(out.splitlines()[-1])
                tally.tried += said["tried"]
                tally.refused += said["refused"]
                tally.seconds += said["seconds"]
                tally.slowest = max(tally.slowest, said["slowest"])
                continue
            if not number:
                raise RuntimeError(f"the reader {name!r} did not begin: {err[-2000:]}")
            what = "hang" if hung else f"ended-with-{process.returncode}"
            _keep(findings, name, what, memory[_HEAD.size : _HEAD.size + size])
            print(f"{name}: {what}: {err[-1000:]}", file=sys.stderr, flush=True)
            tally.tried += number
            seed += 1_000_003
    folder = findings / name.replace(" ", "-")
    tally.findings = {path.name: path for path in sorted(folder.glob("*"))} if folder.exists() else {}
    return tally


def _wait(process: subprocess.Popen[str], memory: mmap.mmap) -> bool:
    """Until it ends; True when it had to be ended, since one input took too long."""
    number, since = -1, time.monotonic()
    while process.poll() is None:
        now = _HEAD.unpack_from(memory)[0]
        if now != number:
            number, since = now, time.monotonic()
        elif time.monotonic() - since > (LONGEST if number > 0 else 10 * LONGEST):
            process.kill()
            return True
        time.sleep(0.05)
    return False


def _memory_folder() -> str | None:
    return "/dev/shm" if os.path.isdir("/dev/shm") else None


def rows_of(name: str, tally: Tally) -> tuple[str, ...]:
    """A line of the table."""
    found = ", ".join(tally.findings) or "none"
    rate = tally.tried / max(tally.seconds, 1e-9)
    return name, f"{tally.tried:,}", f"{rate:,.0f}", f"{tally.slowest * 1000:,.0f} ms", found


def kept(name: str) -> list[tuple[str, ...]]:
    """The lines of the other readers that RESULTS.md has from earlier."""
    _, _, after = RESULTS.read_text().partition(f"## {HEADING}\n")
    lines = [line.strip("| ").split(" | ") for line in after.partition("\n## ")[0].splitlines() if line[:2] == "| "]
    return [tuple(line) for line in lines if line[0] in COUNTS and line[0] != name]


def chosen(asked: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """The readers and how many inputs each gets."""
    for name, count in COUNTS.items():
        if asked.only in (None, name):
            yield name, max(10, int(count * asked.share))


def main() -> None:
    """Has them all read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    parser.add_argument("--only", choices=tuple(COUNTS), help="one reader; the lines of the others stay")
    parser.add_argument("--share", type=float, default=1.0, help="of the inputs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--shared", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        worker(asked.worker, asked.seed, asked.count, asked.shared, asked.findings)
        return
    rows = [] if asked.only is None else kept(asked.only)
    total = sum(int(row[1].replace(",", "")) for row in rows)
    for name, count in chosen(asked):
        tally = watch(name, asked.seed, count, asked.findings.absolute())
        total += tally.tried
        rows.append(rows_of(name, tally))
        print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    columns = ("reader", "inputs", "inputs/s", "longest", "findings")
    said = facts(("truetap", "pyarrow", "duckdb", "numpy"))
    said.append(("inputs", f"{total:,}, from seed {asked.seed}"))
    said.append(("limits", f"{LONGEST:.0f} s and {MEMORY >> 30} GB for an input; the peak grows by {LEAP >> 10} MB"))
    body = table(columns, rows) + "\n\n" + "\n".join(f"- {key}: {text}" for key, text in said)
    body += "\n- written by `python benchmarks/fuzz.py --write`"
    print(f"## {HEADING}\n\n{body}")
    if asked.write:
        write_section(RESULTS, HEADING, body)


if __name__ == "__main__":
    main()
