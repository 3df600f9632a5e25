"""Kills processes that record, at random moments, and counts what is lost: nothing that was confirmed may be.

    python benchmarks/kills.py [--write] [--runs 120] [--fits 4]

Most kills are of the store alone (`tests/store/kills.py`): three tables, segments of 60 KB, metadata, closing with
compaction, going on in what is left; five kills of each run, half at a random moment, half at the n-th file that
the process opens, renames, makes or removes; then a last writer closes the run. The others are of real trainings on
each backend, three of each run, which go on with `resume=True`. After each kill the run is opened, verified and read,
and every value is compared with what was written.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the writer that is killed is that of the tests

from _measure import facts, load, table, write_section  # noqa: E402

from tests.backends.recorded import rows  # noqa: E402
from tests.store.kills import Found, Killer  # noqa: E402
from truetap.store import RunReader  # noqa: E402

RESULTS = Path(__file__).with_name("RESULTS.md")
KILLS = 5  # of a run
FIT_KILLS = 3
SAMPLES, BATCH = 160, 8
STEPS = SAMPLES // BATCH  # of an epoch
FIT_TABLES = ("samples", "scalars", "activations.hidden")
BACKENDS = ("tensorflow", "jax", "torch")


@dataclass
class Tally:
    """What kills did."""

    kills: int = 0
    runs: int = 0
    confirmed: int = 0
    lost: int = 0
    late: int = 0
    unreadable: list[str] = field(default_factory=list)
    states: collections.Counter[str] = field(default_factory=collections.Counter)

    def add(self, found: Found) -> None:
        """Counts one kill, or the end of a run."""
        self.lost += found.lost
        self.late += found.late
        if found.unreadable:
            self.unreadable.append(found.unreadable)
        if found.state != "closed":
            self.kills += 1
            self.states[found.state] += 1


# --- the store alone ----------------------------------------------------------------------------------


def kill_stores(runs: int, seed: int) -> Tally:
    """Kills writers of the store."""
    tally = Tally()
    for number in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            killer = Killer(Path(folder) / "run", seed * 100_000 + number)
            for kill in range(KILLS):
                tally.add(killer.kill(at_event=(kill + number) % 2 == 0))
            found = killer.end()
            tally.add(found)
            tally.confirmed += found.confirmed
            tally.runs += 1
    return tally


# --- trainings ----------------------------------------------------------------------------------------


def data() -> Any:
    """Inputs of shape (n, 16); the label of each is its first number."""
    return np.random.default_rng(0).normal(size=(SAMPLES, 16)).astype("float32")


def train(folder: str) -> None:
    """Trains for ever; prints after each epoch how many epochs of this session are confirmed."""
    import keras

    import truetap as tt

    x = data()
    model = keras.Sequential([keras.Input((16,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    recorder = tt.Recorder(folder, [tt.Outputs(), tt.Activations("hidden")], resume=True, flush_seconds=0.5)

    class Confirm(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            recorder.pass_so_far("train")  # returns when all that was put is confirmed
            print("confirmed", epoch + 1, flush=True)

    model.fit(x, x[:, :1], batch_size=BATCH, epochs=100_000, verbose=0, callbacks=[recorder, Confirm()])


def kill_fits(backend: str, runs: int, seed: int) -> Tally:
    """Kills trainings."""
    tally, rng = Tally(), random.Random(seed)
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            sessions: list[int] = []  # epochs confirmed in each
            for _ in range(FIT_KILLS):
                first = _epochs_begun(path)
                confirmed = _kill_one(path, backend, rng.random() * 1.5)
                sessions.append(confirmed)
                tally.add(_look(path, first, confirmed))
            tally.confirmed += sum(sessions) * STEPS
            tally.runs += 1
    return tally


def _kill_one(path: Path, backend: str, after: float) -> int:
    command = [sys.executable, __file__, "--child", str(path)]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    time.sleep(after)
    if process.poll() is not None:
        raise RuntimeError(f"the training on {backend} ended by itself with {process.returncode}")
    process.kill()
    lines += process.stdout.read().splitlines()
    process.stdout.close()
    process.wait()
    said = [line.split() for line in lines]
    return max((int(words[1]) for words in said if len(words) == 2 and words[0] == "confirmed"), default=0)


def _epochs_begun(path: Path) -> int:
    if not path.exists():
        return 0
    there = RunReader(path).tables
    return max((max(rows(path, name)["epoch"], default=-1) for name in FIT_TABLES if name in there), default=-1) + 1


def _look(path: Path, first: int, confirmed: int) -> Found:
    """What is there of a session that began with an epoch and confirmed some."""
    found = Found("fit", confirmed, 0, 0, "")
    reader = RunReader(path)
    damage = [str(problem) for problem in reader.verify() if problem.damage]
    found.unreadable = damage[0] if damage else ""
    samples = rows(path, "samples")
    true, pred = (np.concatenate([np.ravel(each) for each in samples[name]]) for name in ("y_true", "y_pred"))
    epochs, loss = np.asarray(samples["epoch"]), np.asarray(samples["loss"])
    if not np.allclose(loss, (pred - true) ** 2, rtol=1e-4, atol=1e-6):
        found.unreadable = "a loss isn't that of its row"
    labels = np.sort(data()[:, 0])
    for epoch in range(first, first + confirmed):
        if not np.array_equal(np.sort(true[epochs == epoch]), labels):
            found.lost += 1
    keys = list(zip(samples["step"], samples["position"], strict=True))
    found.lost += len(keys) - len(set(keys))
    hidden = collections.Counter(rows(path, "activations.hidden")["epoch"])
    found.lost += sum(hidden[epoch] != SAMPLES for epoch in range(first, first + confirmed))
    return found


# --- what came of it ----------------------------------------------------------------------------------


def lines(asked: argparse.Namespace) -> Iterator[tuple[str, Tally]]:
    """Each kind of kills, as it is done."""
    if asked.runs:
        yield "the store alone", kill_stores(asked.runs, asked.seed)
    for backend in BACKENDS:
        if asked.fits:
            yield f"fit on {backend}", kill_fits(backend, asked.fits, asked.seed)


def main() -> None:
    """Kills, looks, and says what was found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    parser.add_argument("--runs", type=int, default=120, help=f"of the store alone, {KILLS} kills each")
    parser.add_argument("--fits", type=int, default=4, help=f"trainings on each backend, {FIT_KILLS} kills each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        train(asked.child)
        return
    before, began, told, kills = load(), time.monotonic(), [], 0
    states: collections.Counter[str] = collections.Counter()
    for name, tally in lines(asked):
        kills += tally.kills
        states += tally.states
        numbers = (tally.kills, tally.runs, tally.confirmed, tally.lost, len(tally.unreadable), tally.late)
        told.append((name, *(f"{number:,}" for number in numbers)))
        print("  ".join(told[-1]), tally.unreadable[:3], file=sys.stderr, flush=True)
    columns = ("what", "kills", "runs", "steps confirmed", "of these lost", "runs that can't be read", "late")
    said = facts(("truetap", "keras", "tensorflow-cpu", "jax", "torch", "pyarrow"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after; {(time.monotonic() - began) / 60:.0f} minutes"))
    said.append(("killed while", ", ".join(f"{state}: {count}" for state, count in states.most_common())))
    said.append(("lost", "confirmed by `flush` or `close`, and not there, there twice, or with another value"))
    said.append(("late", "steps put longer ago than `flush_seconds` and not there: the writer was behind"))
    body = f"{kills:,} kills.\n\n" + table(columns, told) + "\n\n" + "\n".join(f"- {key}: {text}" for key, text in said)
    body += "\n- written by `python benchmarks/kills.py --write`"
    print(f"## kills\n\n{body}")
    if asked.write:
        write_section(RESULTS, "kills", body)


if __name__ == "__main__":
    main()
