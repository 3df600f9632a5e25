"""`collect(…, engine="ray")` against a single process: the same rows, how fast, and what a billion would need.

    KERAS_BACKEND=jax python benchmarks/distributed.py [--rows 200000] [--write]

Images in Parquet go through a small CNN: once in this process, once on two actors of a Ray that is
started on this machine, and once more with one of these actors killed (SIGKILL) on the way. All columns of
all rows are compared. Then the cost of every stage, as the workers measured it, is carried over to a
billion rows. Needs `pip install 'truetap[ray]'`; takes some minutes.

Where the cores are shared the actors, the readers and whoever else is there take them from each
other: on one machine without a GPU the single process is expected to win.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from _measure import PACKAGES, facts, load, table, write_section

import truetap as tt
from truetap.engines import Ray
from truetap.engines.shared_run import units_done
from truetap.store import RunReader

Array = npt.NDArray[Any]

BATCH = 128
CLASSES = 10
FILES = 20
BILLION = 10**9
ENGINE = Ray(num_actors=2, num_cpus=0.5)
RESULTS = Path(__file__).with_name("RESULTS.md")
STAGES = {
    "read": "read and decode Parquet (tasks of Ray Data)",
    "open": "take the unit over (actor)",
    "collect": "model, loss, fingerprints, pairing (actor)",
    "write": "encode and write segments (actor)",
    "publish": "fsync, seal, rename (actor)",
    "driver": "CPU of the calling process: scheduling and counting",
}


@dataclass(frozen=True)
class Outcome:
    """One collection: its samples, seconds in all, and what the run says of its costs."""

    samples: Any
    seconds: float
    engine: dict[str, Any]


def make_data(folder: Path, rows: int) -> None:
    """Grey images of 28 x 28 bytes with a class each, in Parquet files of one size."""
    rng = np.random.default_rng(0)
    for number, count in enumerate(np.diff(np.linspace(0, rows, FILES + 1).astype(int))):
        images = rng.integers(0, 256, (count, 28, 28, 1)).astype(np.uint8)
        columns = {
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(images),
            "label": rng.integers(0, CLASSES, count),
        }
        pq.write_table(pa.table(columns), folder / f"part-{number:03d}.parquet", row_group_size=5000)


def cnn() -> Any:
    """Two convolutions."""
    keras.utils.set_random_seed(0)
    image = keras.Input((28, 28, 1), name="image", dtype="uint8")
    layers = keras.layers
    values = layers.Rescaling(1 / 255)(image)
    values = layers.MaxPooling2D()(layers.Conv2D(16, 3, activation="relu")(values))
    values = layers.MaxPooling2D()(layers.Conv2D(32, 3, activation="relu")(values))
    scores = layers.Dense(CLASSES, activation="softmax")(layers.Flatten()(values))
    model = keras.Model(image, scores, name="cnn")
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def collect(model: Any, data: Path, to: Path, engine: Ray | None) -> Outcome:
    """One collection, timed."""
    started = time.perf_counter()
    samples = tt.collect(model, data, batch_size=BATCH, to=to, engine=engine, verbose=0)
    seconds = time.perf_counter() - started
    kept: Any = RunReader(to).metadata.get("engine", {})
    return Outcome(samples, seconds, kept)


@contextmanager
def killing_one(run: Path, after: int) -> Iterator[list[int]]:
    """Within, an actor of ours is killed once so many units are done; the list says which."""
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            if len(units_done(run)) >= after:
                for process in own_processes("ray::CollectActor"):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def own_processes(name: str) -> list[int]:
    """Processes of that name that descend from this one (Linux)."""
    parents: dict[int, int] = {}
    named = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal():
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if (entry / "cmdline").read_bytes().startswith(name.encode()):
                    named.append(int(entry.name))
        except OSError:  # it has ended meanwhile
            continue
    return [process for process in named if os.getpid() in ancestors(process, parents)]


def ancestors(process: int, parents: dict[int, int]) -> Iterator[int]:
    """Who started a process, and who started that one."""
    while process in parents:
        process = parents[process]
        yield process


def differences(found: Any, expected: Any) -> list[str]:
    """Column by column, in the order of the rows: the same, or how far apart."""
    said = []
    for name in ("ids", "fingerprints", "steps", "y_true", "y_pred", "loss"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            sys.exit(f"{name}: {ours.shape} {ours.dtype} against {theirs.shape} {theirs.dtype}")
        if np.array_equal(ours, theirs):
            said.append(f"{name} bit for bit")
            continue
        if ours.dtype.kind != "f" or not np.allclose(ours, theirs, rtol=1e-4, atol=1e-6):
            sys.exit(f"{name} differs in {int((ours != theirs).sum())} values")
        said.append(f"{name} to {float(np.abs(ours - theirs).max()):.1e}")
    return said


def on_paper(outcome: Outcome, bytes_per_row: float, data_bytes: float) -> str:
    """What a billion rows of this kind need, from the costs per row that were measured."""
    costs = outcome.engine["costs"]
    rows = costs["rows"]
    lines = []
    for stage, what in STAGES.items():
        seconds = costs.get(stage, 0.0)
        each = f"{seconds / costs['units'] * 1e3:,.1f} ms" if costs["units"] else ""
        lines.append([what, f"{seconds / rows * 1e6:,.1f} µs", each, f"{seconds / rows * BILLION / 3600:,.1f} h"])
    text = table(("stage", "per row", "per unit", "for 10^9 rows, on one"), lines)
    actor = sum(costs.get(stage, 0.0) for stage in ("open", "collect", "write", "publish")) / rows
    reader = costs["read"] / rows
    driver = costs["driver"] / costs["units"]
    unit_rows = max(rows / costs["units"], BILLION / 100_000)
    units = BILLION / unit_rows
    said = (
        f"In an hour: {actor * BILLION / 3600:,.0f} actors and {reader * BILLION / 3600:,.1f} CPUs that read, each as "
        "fast as these were beside each other.",
        f"{units:,.0f} units of {unit_rows:,.0f} rows: the calling process spends {driver * 1e3:.1f} ms on each, "
        f"{driver * units / 60:,.0f} minutes in all; no row passes it.",
        f"{data_bytes / rows * BILLION / 1e12:,.2f} TB of Parquet are read, {bytes_per_row * BILLION / 1e9:,.0f} GB of "
        f"run are written, {bytes_per_row * BILLION / 1e6 / 3600:,.0f} MB/s over that hour.",
        f"A killed actor costs the unit that it was at and the one that waited for it, {2 * unit_rows * actor:,.1f} s "
        "of work, and the start of another actor.",
    )
    text += "\n\n10^9 such rows, on paper:\n\n" + "\n".join(f"- {each}" for each in said)
    return text


def measure(rows: int, folder: Path) -> tuple[list[list[str]], str]:
    """The table of throughputs, and the costs on paper."""
    data = folder / "data"
    data.mkdir()
    make_data(data, rows)
    model = cnn()
    tt.collect(model, data, batch_size=BATCH, steps=2)  # compiled before it is timed; each actor compiles in its time
    print("data are there", file=sys.stderr)
    alone = collect(model, data, folder / "alone", None)
    lines = [["one process", f"{rows / alone.seconds:,.0f}", "", "", ""]]
    print(*lines[-1], file=sys.stderr)
    two = collect(model, data, folder / "two", ENGINE)
    lines.append(line("two actors", two, alone, rows))
    print(*lines[-1], file=sys.stderr)
    with killing_one(folder / "killed", after=max(1, two.engine["costs"]["units"] // 3)) as killed:
        hurt = collect(model, data, folder / "killed", ENGINE)
    if len(killed) != 1 or hurt.engine["lost_actors"] != 1:
        sys.exit(f"{len(killed)} actors were killed, and {hurt.engine['lost_actors']} were missed: nothing is shown")
    lines.append(line("two actors, one killed", hurt, alone, rows))
    print(*lines[-1], file=sys.stderr)
    for run in ("two", "killed"):
        if problems := RunReader(folder / run).verify():
            sys.exit(f"{run}: {problems[0]}")
    run_bytes = sum(file.stat().st_size for file in (folder / "two" / "samples").rglob("*") if file.is_file())
    data_bytes = sum(file.stat().st_size for file in data.iterdir())
    return lines, on_paper(two, run_bytes / rows, data_bytes)


def line(what: str, outcome: Outcome, alone: Outcome, rows: int) -> list[str]:
    """One line of the table, after a look at every row."""
    if len(np.unique(outcome.samples.ids)) != rows or len(outcome.samples) != rows:
        sys.exit(f"{what}: {len(outcome.samples)} rows, {len(np.unique(outcome.samples.ids))} of them different")
    working = outcome.engine["costs"]["wall"]
    return [
        what,
        f"{rows / outcome.seconds:,.0f}",
        f"{rows / working:,.0f}",
        f"{outcome.seconds - working:.1f} s",
        f"{rows:,} rows, each once; " + ", ".join(differences(outcome.samples, alone.samples)),
    ]


def main() -> None:
    """Prints the tables; with `--write` puts them into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    asked = parser.parse_args()
    warnings.simplefilter("ignore", tt.TruetapWarning)
    backend = keras.backend.backend()
    before = load()
    ray.init("local", num_cpus=2, object_store_memory=300 << 20, include_dashboard=False, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            lines, paper = measure(asked.rows, Path(folder))
    finally:
        ray.shutdown()
    columns = ("what", "rows/s in all", "rows/s once started", "to start and to end", "compared with one process")
    said = facts(("truetap", *PACKAGES[backend], "ray", "pyarrow"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    said.append(("size", f"{asked.rows:,} images of 784 bytes, batches of {BATCH}; 2 actors of 0.5 CPUs each"))
    notes = "\n".join(f"- {name}: {text}" for name, text in said)
    body = f"{table(columns, lines)}\n\n{notes}\n\n{paper}"
    print(f"## collect on Ray, {backend}\n\n{body}")
    if asked.write:
        write_section(RESULTS, f"collect on Ray, {backend}", body)


if __name__ == "__main__":
    main()
