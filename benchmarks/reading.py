"""What reading a recorded run costs: 10 million sample rows, asked by SQL and sample by sample.

    python benchmarks/reading.py [--quick] [--write] [--run FOLDER]

Makes a run of 100,000 samples in 100 epochs (10 scores each) through the store's recording, which
compacts it as it does at the end of a training, and reads it in processes of their own. "Cold" is the
first call on the run, with its files out of the system's page cache; a small run was read before, so
that the libraries are loaded. Absolute times say little on a shared machine: beside them stands the
CPU time of all threads.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _measure import facts, load, peak_megabytes, table, write_section

import truetap as tt
from truetap.about import About
from truetap.store import Recording, Rows
from truetap.tasks import Hint

SAMPLES, EPOCHS, BATCH, CLASSES = 100_000, 100, 1_000, 10
SMALL = 2_000  # samples of the run by which the libraries are loaded
RESULTS = Path(__file__).with_name("RESULTS.md")
GROUP_BY = "select epoch, avg(loss) from samples group by 1"
BY_SAMPLE = "select sample_id, avg(loss), max(epoch) from samples group by 1"
ONE = "select epoch, loss from samples where sample_id = $id"


# --- the run ----------------------------------------------------------------------------------------


def ids(samples: int) -> Any:
    """Fingerprints: any 64 bits."""
    return np.random.default_rng(0).integers(-(2**63), 2**63 - 1, samples)


def make(path: Path, samples: int, epochs: int) -> None:
    """A run as a recorder writes it: each epoch in an order of its own."""
    rng = np.random.default_rng(1)
    prints, labels = ids(samples), rng.integers(0, CLASSES, samples)
    hint = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")
    about = About(hints={"": hint}, model="none", source="benchmark")
    with Recording(path, metadata={"collect": about.to_json()}) as recording:
        for epoch in range(epochs):
            order = rng.permutation(samples)
            for batch, start in enumerate(range(0, samples, BATCH)):
                chosen = order[start : start + BATCH]
                columns = step(rng, epoch, epoch * (samples // BATCH) + batch, batch, prints[chosen], labels[chosen])
                recording.put(partial(rows_of, columns, epoch), 100 * len(chosen))
    if recording.error is not None:
        raise recording.error


def rows_of(columns: dict[str, Any], epoch: int) -> list[Rows]:
    """What the writer's thread is to write."""
    return [Rows("samples", columns, ("train", epoch))]


def step(rng: Any, epoch: int, number: int, batch: int, prints: Any, labels: Any) -> dict[str, Any]:
    """The rows of one step."""
    rows = len(prints)
    scores = rng.random((rows, CLASSES), np.float32)
    scores /= scores.sum(axis=1, keepdims=True)
    return {
        "phase": np.full(rows, "train", object),
        "epoch": np.full(rows, epoch, np.int32),
        "step": np.full(rows, number, np.int64),
        "batch": np.full(rows, batch, np.int32),
        "position": np.arange(rows, dtype=np.int32),
        "sample_id": prints,
        "fingerprint": prints,
        "y_true": labels,
        "y_pred": scores,
        "loss": -np.log(scores[np.arange(rows), labels] + np.float32(1e-7)),
    }


def forget(path: Path) -> None:
    """Takes the run's files out of the system's page cache, where there is a call for that."""
    if not hasattr(os, "posix_fadvise"):
        return
    for file in path.rglob("*.*"):
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


# --- what is measured, in a process of its own --------------------------------------------------------


def child(path: Path, small: Path, samples: int, what: str) -> None:
    """Prints wall and CPU milliseconds of the first call and of the next ones, and the peak of memory."""
    read(small, ids(SMALL), what, 2)
    before = peak_megabytes()
    times = read(path, ids(samples), what, 6 if "group" in what else 12)
    print(json.dumps({"times": times, "peak": peak_megabytes() - before}))


def read(path: Path, prints: Any, what: str, calls: int) -> list[tuple[float, float]]:
    """Times of so many calls, the first of which opens the run."""
    names = [int(item) for item in prints[:: len(prints) // 20]]
    opened: list[Any] = []

    def run() -> Any:
        if not opened:
            opened.append(tt.open(path))
        return opened[0]

    works: dict[str, Callable[[int], Any]] = {
        "open": lambda _: tt.open(path),
        "group by epoch": lambda _: run().sql(GROUP_BY).fetchall(),
        "group by sample": lambda _: len(run().sql(BY_SAMPLE).fetchall()),
        "history": lambda i: run().history(names[i]),
        "one sample by SQL": lambda i: run().sql(ONE, id=names[i]).fetchall(),
        "samples, loss": lambda _: run().samples(epoch=-1).loss.sum(),
        "samples, y_pred": lambda _: run().samples(epoch=-1).y_pred.sum(),
    }
    return [timed(partial(works[what], number)) for number in range(calls)]


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds on the clock and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)


# --- the table ----------------------------------------------------------------------------------------

AIMS = {"group by epoch": 1000.0, "group by sample": 1000.0, "history": 50.0}
SAID = {
    "open": "`tt.open`",
    "group by epoch": "`run.sql`: mean loss of each epoch, over all rows",
    "group by sample": "`run.sql`: mean loss of each sample, over all rows",
    "history": "`run.history` of one sample",
    "one sample by SQL": "`run.sql`: loss of one sample",
    "samples, loss": "`run.samples(epoch=-1).loss`",
    "samples, y_pred": "`run.samples(epoch=-1).y_pred`",
}


def measure(path: Path, small: Path, samples: int, repetitions: int) -> Iterator[list[str]]:
    """A line for the first call, and one for the calls after it."""
    for what, said in SAID.items():
        cold, warm, peaks = [], [], []
        for _ in range(repetitions):
            forget(path)
            arguments = ["--child", what, "--run", str(path), "--small", str(small), "--samples", str(samples)]
            done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            cold.append(found["times"][0])
            warm += found["times"][1:]
            peaks.append(found["peak"])
        for when, times in (("cold", cold), ("warm", warm)):
            walls = [wall for wall, _ in times]
            median, cpu = statistics.median(walls), statistics.median(cpu for _, cpu in times)
            aim = AIMS.get(what)
            met = "none set" if aim is None else f"under {aim:,.0f} ms ({'met' if median < aim else 'missed'})"
            spread = f"{min(walls):.1f} to {max(walls):.1f}"
            yield [f"{said}, {when}", f"{median:.1f} ms", spread, f"{cpu:.1f} ms", f"{max(peaks):.0f} MB", met]


def main() -> None:
    """Prints the table; with `--write` puts it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs and fewer repetitions")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    parser.add_argument("--run", type=Path, help="read the run in this folder, and make it if there is none")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--small", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--samples", type=int, default=SAMPLES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.run, asked.small, asked.samples, asked.child)
        return
    epochs = EPOCHS // 10 if asked.quick else EPOCHS
    before = load()
    with tempfile.TemporaryDirectory() as folder:
        path, small = asked.run or Path(folder) / "run", Path(folder) / "small"
        make(small, SMALL, 2)
        wrote = "made before"
        if not path.exists():
            wall, cpu = timed(lambda: make(path, asked.samples, epochs))
            wrote = f"{wall / 1000:.1f} s to make the values, write and compact them ({cpu / 1000:.1f} s CPU)"
        size = sum(file.stat().st_size for file in path.rglob("*.*")) / 2**20
        rows = []
        for cells in measure(path, small, asked.samples, 2 if asked.quick else 5):
            rows.append(cells)
            print("  ".join(cells), file=sys.stderr)
    said = facts(("truetap", "numpy", "pyarrow", "duckdb"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    said.append(("size", f"{asked.samples:,} samples, {epochs} epochs, {CLASSES} scores; {size:,.0f} MB; {wrote}"))
    said.append(("memory", "peak of the process above what it held when the libraries were loaded"))
    columns = ("what", "median", "lowest to highest", "CPU time", "memory", "aim")
    heading = f"reading {asked.samples * epochs / 1e6:.0f} million sample rows"
    body = table(columns, rows) + "\n\n" + "\n".join(f"- {name}: {text}" for name, text in said)
    body += "\n- written by `python benchmarks/reading.py --write`"
    print(f"## {heading}\n\n{body}")
    if asked.write:
        introduction = RESULTS.read_text().split("\n## ")[0] if RESULTS.exists() else "# Results of the benchmarks"
        write_section(RESULTS, heading, body, introduction)


if __name__ == "__main__":
    main()
