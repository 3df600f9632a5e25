"""A training of a million steps, recorded: memory, file handles, threads and files over time.

    KERAS_BACKEND=tensorflow python benchmarks/soak.py [--steps 1000000] [--write]

A tiny model trains on batches of one sample, 5,000 steps an epoch, with `tt.Outputs()` on every step and statistics of
a layer and a gradient on every 100th; then the same steps without a recorder, in a process of its own, for what Keras
and its backend keep by themselves. After each epoch the process looks at itself. The slope is that of a line through
the second half by least squares, with its standard error; the first half is for caches and pools to fill. At last the
run is opened, and its rows are counted and read. Memory is counted without the pages of files. Takes minutes to an
hour; `nice -n 19` leaves the machine to others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _measure import PACKAGES, facts, load, peak_megabytes, table, write_section

RESULTS = Path(__file__).with_name("RESULTS.md")
STEPS_PER_EPOCH = 5_000
SHOWN = 10  # lines of the table


def look(folder: Path) -> dict[str, float]:
    """This process and the run, now."""
    status = Path("/proc/self/status").read_text().splitlines()
    own = next(line for line in status if line.startswith("RssAnon:"))  # not the pages of files, which come and go
    files = [entry.stat().st_size for entry in folder.rglob("*") if entry.is_file()] if folder.exists() else []
    return {
        "memory": int(own.split()[1]) / 2**10,
        "handles": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "files": len(files),
        "size": sum(files) / 2**20,
    }


def train(folder: Path | None, steps: int, log: Path) -> None:
    """Trains and writes a line of what it saw after each epoch."""
    import keras

    import truetap as tt

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(STEPS_PER_EPOCH, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4, activation="relu", name="hidden"), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    began = time.monotonic()
    with log.open("w") as out:

        class Look(keras.callbacks.Callback):  # type: ignore[misc]
            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                seen = look(folder or Path("/nowhere"))
                line = {"steps": (epoch + 1) * STEPS_PER_EPOCH, "seconds": time.monotonic() - began, **seen}
                print(json.dumps(line), file=out, flush=True)

        callbacks: list[Any] = [Look()]
        if folder is not None:
            taps = [
                tt.Outputs(),
                tt.Activations("hidden", every=100, reduce=["mean"]),
                tt.Gradients("hidden/kernel", every=100, reduce=["norm"]),
            ]
            callbacks.insert(0, tt.Recorder(folder, taps))
        model.fit(x, y, batch_size=1, epochs=steps // STEPS_PER_EPOCH, verbose=0, callbacks=callbacks)


def read(folder: Path, steps: int) -> list[tuple[str, str]]:
    """What the run gives back; raises when a row is missing."""
    import truetap as tt

    run, told = tt.open(folder), []
    before = time.perf_counter()

    def say(what: str, found: object) -> None:
        nonlocal before
        told.append((what, f"{found}, {time.perf_counter() - before:.2f} s"))
        before = time.perf_counter()

    scalars = run.scalars()
    assert scalars.num_rows == steps, scalars.num_rows
    assert np.array_equal(scalars.column("step").to_numpy(), np.arange(steps))
    say("run.scalars()", f"{scalars.num_rows:,} rows")
    last = run.samples(epoch=-1)
    assert len(last) == STEPS_PER_EPOCH, len(last)
    assert len(set(np.asarray(last.ids).tolist())) == STEPS_PER_EPOCH
    say("run.samples(epoch=-1)", f"{len(last):,} rows")
    whole = run.samples()
    assert len(whole) == steps, len(whole)
    say("run.samples()", f"{len(whole):,} rows")
    count = run.sql("select count(*), count(distinct step) from samples").fetchall()[0]
    assert count == (steps, steps), count
    say("run.sql(count)", f"{count[0]:,} rows")
    assert not run.verify()
    say("run.verify()", "nothing wrong")
    told.append(("memory", f"{peak_megabytes():,.0f} MB at most, of the process that read"))
    return told


def slope(steps: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """By how much values change in 100,000 steps, and the standard error of that."""
    x, y = np.asarray(steps) / 1e5, np.asarray(values)
    x = x - x.mean()
    by = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - by * x
    return by, float(np.sqrt((rest**2).sum() / max(1, len(x) - 2) / (x * x).sum()))


def report(lines: list[dict[str, float]]) -> tuple[str, list[tuple[str, str]]]:
    """The table of a run, and the slopes of its second half."""
    chosen = [lines[round(place)] for place in np.linspace(0, len(lines) - 1, min(SHOWN, len(lines)))]
    columns = ("steps", "minutes", "memory (MB)", "handles", "threads", "files", "size of the run (MB)")
    keys = ("memory", "handles", "threads", "files", "size")
    rows = [
        [f"{line['steps']:,.0f}", f"{line['seconds'] / 60:.1f}", *(f"{line[key]:,.0f}" for key in keys)]
        for line in chosen
    ]
    half = lines[len(lines) // 2 :]
    slopes = []
    for key in keys[:4]:
        by, error = slope([line["steps"] for line in half], [line[key] for line in half])
        slopes.append((key, f"{by:+.3f} ± {error:.3f} in 100,000 steps"))
    return table(columns, rows), slopes


def in_process(*options: str) -> str:
    """Runs this file again."""
    done = subprocess.run([sys.executable, __file__, *options], check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def main() -> None:
    """Trains with and without a recorder, and reads the run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--plain-steps", type=int, help="of the training without a recorder; as many by default")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    parser.add_argument("--child", choices=("recorded", "plain", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child == "read":
        print(json.dumps(read(asked.run, asked.steps)))
        return
    if asked.child:
        train(asked.run if asked.child == "recorded" else None, asked.steps, asked.log)
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    before = load()
    plain_steps = asked.plain_steps or asked.steps
    with tempfile.TemporaryDirectory() as folder:
        run, logs = Path(folder) / "run", [Path(folder) / "recorded", Path(folder) / "plain"]
        in_process("--child", "recorded", "--run", str(run), "--steps", str(asked.steps), "--log", str(logs[0]))
        told = json.loads(
            in_process("--child", "read", "--run", str(run), "--steps", str(asked.steps)).splitlines()[-1]
        )
        in_process("--child", "plain", "--steps", str(plain_steps), "--log", str(logs[1]))
        recorded, plain = ([json.loads(line) for line in log.read_text().splitlines()] for log in logs)
        ended = look(run)
    body, slopes = report(recorded)
    _, plain_slopes = report(plain)
    said = facts(("truetap", *PACKAGES[backend], "pyarrow", "numpy"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    said += [(f"{key}, recorded", value) for key, value in slopes]
    said += [(f"{key}, without a recorder ({plain_steps:,} steps)", value) for key, value in plain_slopes[:2]]
    said.append(("when it was closed", f"{ended['files']:.0f} files, {ended['size']:,.0f} MB"))
    said += [(str(key), str(value)) for key, value in told]
    body += "\n\n" + "\n".join(f"- {key}: {text}" for key, text in said)
    body += f"\n- written by `KERAS_BACKEND={backend} python benchmarks/soak.py --steps {asked.steps} --write`"
    heading = f"soak of {asked.steps:,} steps on {backend}"
    print(f"## {heading}\n\n{body}")
    if asked.write:
        write_section(RESULTS, heading, body)


if __name__ == "__main__":
    main()
