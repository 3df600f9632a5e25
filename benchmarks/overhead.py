"""What `tt.Recorder` costs beside plain `fit`, and what people do today costs on the same work.

    KERAS_BACKEND=jax python benchmarks/overhead.py [--quick] [--write] [--workload cnn mlp] [--variants outputs raw]
        [--repetitions 21] [--seconds 360] [--fit-seconds 1.2] [--heading …] [--folder …]

Each way to train has a model of its own, with the same seed, compiled once and fitted many times in one
process. A repetition fits each of them once, in an order that turns around every time, and gives one ratio
to plain `fit` of the same repetition. A fit takes about a second; where there are recordings, the run's
opening and closing are part of it. Ways many times slower train fewer steps: ratios are those of a step.

One Recorder goes with a model through all of its fits, since a new one traces the step anew (that is
measured apart, as "first step"). Its folder is emptied between two fits, so each writes a new run.

Data come in order. On TensorFlow they are a `tf.data` pipeline with autotuning off. With it on, as in the one that
`fit` makes of arrays, TensorFlow 2.21 waits when it lets go of an iterator until its autotuner has slept out (see
`collect.py`): with and without a Recorder, by chance, and longer than all that is measured here.

The rivals are shown at their best. `predict` at each epoch's end sees other weights than the steps did. The
second forward pass cuts its rows out of arrays in memory, which is right only while nothing is shuffled. Eager
steps keep nothing at all. Each of them gives less than `tt.Outputs()` does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else torch's waiting threads take the writer's core

import keras
from _lanes import Cost, Lane
from _measure import Timed, facts, load, quartiles, table, timed, write_section
from _training import EPOCH, WAYS, WORKLOADS, Way, Workload, raw, workload

import truetap as tt

Done = TypeVar("Done")

DUMPS = ("FULL_HEALTH", "FULL_TENSOR")
DUMPED = 10  # steps of a fit
FIRST, FIRST_AIM = "first step of a new model, `Recorder(Outputs())`", 1.2
RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",), "torch": ("torch",)}
ABOUT = """Written by `python benchmarks/overhead.py --write`. Time of a way to train over that of plain `fit`, a step;
each ratio is of two fits of one repetition, all in one process and in turns. "Plain again" is a second plain model: its
quartiles are what the machine's noise does to a ratio. CPU time is that of all threads, the writer's included."""


# --- the lines of the table -------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of the table of ratios."""

    what: str
    ratios: Sequence[float] = ()
    cpu: Sequence[float] = ()
    best: tuple[float, float] | None = None
    aim: float | None = None
    note: str = ""
    failed: str = ""

    def cells(self) -> list[str]:
        """One for each of the columns."""
        aim = "none set" if self.aim is None else f"at most {self.aim:.2f}"
        if self.failed:
            return [self.what, "failed", "", "", "", "", aim, self.failed]
        first, median, third = quartiles(self.ratios)
        if self.aim is not None:
            aim += " (met)" if median <= self.aim else " (missed)"
        places = 3 if third < 10 else 1
        spread = f"{first:.{places}f} to {third:.{places}f}"
        cpu = f"{statistics.median(self.cpu):.2f} x" if self.cpu else ""
        best = "" if self.best is None else " / ".join(map(milliseconds, self.best))
        return [self.what, f"{median:.{places}f} x", spread, str(len(self.ratios)), cpu, best, aim, self.note]


def milliseconds(seconds: float) -> str:
    """Three digits or more, never an exponent."""
    return f"{1e3 * seconds:,.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


COLUMNS = ("what", "median", "quartiles", "pairs", "CPU time", "best ms, ours / plain", "aim", "note")


def against(what: str, ours: Mapping[int, Timed], plain: Mapping[int, Timed], **more: Any) -> Line:
    """A line of the repetitions that both have."""
    pairs = [(ours[each], plain[each]) for each in sorted(ours.keys() & plain.keys())]
    best = (min(a.wall for a, _ in pairs), min(b.wall for _, b in pairs))
    return Line(what, [a.wall / b.wall for a, b in pairs], [a.cpu / b.cpu for a, b in pairs], best, **more)


def lines_of(lane: Lane, plain: Lane) -> Iterator[Line]:
    """What a lane has to say; of raw activations, against the time of writing them."""
    title = lane.title
    steps = lane.epochs * lane.steps
    if lane.way.taps is not raw:
        note = without_ends(lane, plain) if lane.costs else ""
        yield against(title, lane.times, plain.times, aim=lane.way.aim, note=note)
        return
    rate = statistics.median(cost.bytes / cost.seconds for cost in lane.costs) / 1e6
    size = lane.costs[-1].bytes / 1e6
    note = f"{size:,.0f} MB a fit, {rate:,.0f} MB/s{'' if rate >= 100 else ': too slow for the aim to say much'}"
    yield against(title, lane.times, plain.times, note=note)
    added = {each: steps * (lane.times[each].wall - plain.times[each].wall) for each in lane.written}
    disk = [added[each] / seconds for each, (_, seconds) in lane.written.items()]
    system = [added[each] / seconds for each, (seconds, _) in lane.written.items()]
    speeds = [
        statistics.median(lane.costs[-1].bytes / pair[place] for pair in lane.written.values()) / 1e6
        for place in (0, 1)
    ]
    note = "plain writes with `fsync` at the end, as the Recorder does: "
    yield Line(f"{title}: time added / time of writing", disk, aim=1.3, note=f"{note}{speeds[1]:,.0f} MB/s")
    note = f"plain writes without `fsync`: {speeds[0]:,.0f} MB/s"
    yield Line(f"{title}: the same", system, note=note)


def without_ends(lane: Lane, plain: Lane) -> str:
    """The ratio that a long training comes near to."""
    steps = lane.epochs * lane.steps
    ends = [cost.opening + cost.closing for cost in lane.costs]
    pairs = zip(lane.times.items(), ends, strict=True)
    ratios = [(one.wall - end / steps) / plain.times[each].wall for (each, one), end in pairs]
    fit = steps * statistics.median(one.wall for one in lane.times.values())
    first, median, third = quartiles(ratios)
    return (
        f"{median:.3f} x ({first:.3f} to {third:.3f}) without the run's opening and closing, {milliseconds(min(ends))} "
        f"ms or more of a fit of {milliseconds(fit)}"
    )


def cost_cells(lane: Lane, plain: Lane) -> list[str]:
    """A line of the table of costs."""
    costs = lane.costs

    def median(of: Callable[[Cost], float]) -> float:
        return statistics.median(of(cost) for cost in costs)

    both = lane.times.keys() & plain.times.keys()
    cpu = statistics.median(lane.times[each].cpu - plain.times[each].cpu for each in both)
    return [
        lane.title,
        f"{median(lambda cost: 1e6 * cost.training_thread / cost.steps):,.0f}",
        f"{median(lambda cost: 1e6 * cost.waiting / cost.steps):,.0f}",
        f"{median(lambda cost: 1e6 * cost.writer / cost.steps):,.0f}",
        f"{1e6 * cpu:,.0f}",
        f"{median(lambda cost: cost.rows / cost.seconds):,.0f}",
        f"{median(lambda cost: cost.bytes / cost.seconds) / 1e6:,.2f}",
        f"{median(lambda cost: 1e3 * cost.opening):.1f} + {median(lambda cost: 1e3 * cost.closing):.1f}",
        f"{median(lambda cost: 1e3 * cost.behind):.0f}",
        f"{costs[-1].steps}",
    ]


COST_COLUMNS = (
    "recording",
    "training thread, µs a step",
    "of it waiting",
    "writer, CPU µs a step",
    "all threads, CPU µs a step more than plain",
    "rows/s",
    "MB/s on the disk",
    "opening + closing, ms",
    "Parquet after `fit`, ms",
    "steps a fit",
)
COST_NOTE = """What the run's table `overhead` says, medians over the repetitions. The writer's share ends with the
last epoch's end; what it does later is in "closing" and in the CPU time of all threads, which is as noisy as the
machine. Opening and closing come once a fit, however long that is. Small tables become Parquet in a thread
of their own after `fit` has returned: no ratio has that in it, and the next fit began when it was done."""


# --- what is measured -------------------------------------------------------------------------------


@dataclass
class Found:
    """All that was measured so far; printed as it comes."""

    lines: list[list[str]] = field(default_factory=list)
    costs: list[list[str]] = field(default_factory=list)
    failed: bool = False

    def add(self, line: Line) -> None:
        """A line of the table of ratios."""
        self.lines.append(line.cells())
        say("  ".join(cell for cell in self.lines[-1] if cell))

    def tried(self, work: Callable[[], Done], what: str, aim: float | None) -> Done | None:
        """What work returns; if it fails, None and a line that says why: the rest is measured all the same."""
        try:
            return work()
        except Exception as error:
            traceback.print_exc()
            text = f"{type(error).__name__}: {error}".split("\n")[0].replace("|", "/")
            self.add(Line(what, aim=aim, failed=text if len(text) <= 160 else text[:159] + "…"))
            self.failed = True
            return None


def say(text: str) -> None:
    """To the person who waits."""
    print(text, file=sys.stderr, flush=True)


def in_turns(lanes: dict[str, Lane], repetitions: int, until: float, found: Found) -> None:
    """So many repetitions, or fewer when time is up: two at least. A lane that fails leaves the others."""
    for repetition in range(repetitions):
        if repetition >= 2 and time.monotonic() > until:
            say(f"Time is up: {repetition} repetitions of {repetitions}.")
            break
        chosen = [name for name, lane in lanes.items() if not (lane.way.rival and repetition % 3)]
        for name in reversed(chosen) if repetition % 2 else chosen:
            lane = lanes[name]
            if found.tried(partial(lane.measure, repetition), lane.title, lane.way.aim) is None:
                del lanes[name]


def first_steps(work: Workload, pairs: int, seconds: float, folder: Path) -> Line:
    """New models each time, on one batch, three pairs at least: tracing and compilation are most of it."""
    times: dict[bool, dict[int, Timed]] = {True: {}, False: {}}

    recorders: list[Any] = []

    def fit(model: Any, recorded: bool) -> None:
        callbacks = [tt.Recorder(folder, tt.Outputs(), on_error="raise")] if recorded else []
        recorders[:] = callbacks
        model.fit(**work.data(1), shuffle=False, verbose=0, callbacks=callbacks)

    until = time.monotonic() + seconds
    folder = folder / "first"
    for pair in range(pairs):
        if pair >= 3 and time.monotonic() > until:
            break
        for recorded in (True, False) if pair % 2 else (False, True):
            keras.utils.set_random_seed(0)
            times[recorded][pair] = timed(lambda model, how=recorded: fit(model, how), work.make())  # type: ignore[misc]
            for recorder in recorders:
                recorder.finish()
            shutil.rmtree(folder, ignore_errors=True)
    note = "a fit of one batch, the run's opening and closing"
    return against(f"{work.title}, {FIRST}", times[True], times[False], aim=FIRST_AIM, note=note)


def warmed(work: Workload, names: Sequence[str], seconds: float, folder: Path, found: Found) -> dict[str, Lane]:
    """The lanes that work, plain first."""

    def warm(name: str) -> Lane:
        lane = Lane(work, WAYS[name], folder / name)
        lane.warm(seconds, lanes.get("plain"))
        say(f"{work.title}, {name}: {lane.epochs} x {lane.steps} steps")
        return lane

    lanes: dict[str, Lane] = {}
    lanes["plain"] = warm("plain")
    for name, way in WAYS.items():
        if name in names and name != "plain":
            lane = found.tried(partial(warm, name), f"{work.title}, {way.title}", way.aim)
            if lane is not None:
                lanes[name] = lane
    return lanes


def measure(work: Workload, asked: argparse.Namespace, folder: Path, until: float, found: Found) -> None:
    """All of a workload, until about so late; models that were fitted before leave no library to be loaded."""
    lanes = warmed(work, asked.variants, asked.fit_seconds, folder, found)
    if "first" in asked.variants:
        pairs, seconds = 1 if asked.quick else 9, (until - time.monotonic()) / 3
        once = partial(first_steps, work, pairs, seconds, folder)
        first = found.tried(once, f"{work.title}, {FIRST}", FIRST_AIM)
        if first is not None:
            found.add(first)
    in_turns(lanes, asked.repetitions, until, found)
    plain = lanes.pop("plain")
    for lane in lanes.values():
        for line in lines_of(lane, plain):
            found.add(line)
        if lane.costs:
            found.costs.append(cost_cells(lane, plain))


# --- TensorFlow's own dump, in processes of their own -------------------------------------------------


def dumped(name: str, work: Workload, mode: str, fits: int) -> Line:
    """A child that trains with TensorFlow's dump on, against itself before."""
    title = f"{work.title}, `enable_dump_debug_info`, {mode}"
    command = [sys.executable, __file__, "--dump", mode, "--workload", name, "--repetitions", str(fits)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        return Line(title, failed=done.stderr.strip().splitlines()[-1][:160].replace("|", "/"))
    said = json.loads(done.stdout.splitlines()[-1])
    ours, plain = ({each: Timed(*pair) for each, pair in enumerate(said[side])} for side in ("ours", "plain"))
    note = f"{said['bytes'] / 1e6:,.1f} MB a step; both without `jit_compile`, in a process of its own, not in turns"
    return against(title, ours, plain, note=note)


def dump_child(work: Workload, mode: str, fits: int) -> None:
    """Plain fits, then such with the dump on, of few steps: once on, it leaves traces in all that comes later."""
    import tensorflow as tf

    def times(lane: Lane, steps: int) -> list[tuple[float, float]]:
        lane.steps = 1
        lane.fit()
        lane.steps = steps
        runs = [timed(lane.fit, None) for _ in range(fits)]
        return [(run.wall / steps, run.cpu / steps) for run in runs]

    way = Way("without XLA", options={"jit_compile": False})  # with it, the dump fails
    with tempfile.TemporaryDirectory() as folder:
        plain = times(Lane(work, way, Path(folder)), EPOCH // 4)
        tf.debugging.experimental.enable_dump_debug_info(folder, tensor_debug_mode=mode, circular_buffer_size=-1)
        ours = times(Lane(work, way, Path(folder)), DUMPED)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    print(json.dumps({"ours": ours, "plain": plain, "bytes": size / (fits * DUMPED + 1)}))


# --- the command ------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    """What was asked for; a quick run is smaller in all that was not given."""
    names = [*WAYS, "first", "dump"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, help="all three by default")
    parser.add_argument("--variants", nargs="+", choices=names, default=names, help="plain is always there")
    parser.add_argument("--repetitions", type=int, help="at most; 21 by default")
    parser.add_argument("--seconds", type=float, help="about so long in all; 360 by default")
    parser.add_argument("--fit-seconds", type=float, help="about so long a plain fit takes; 1.2 by default")
    parser.add_argument("--quick", action="store_true", help="very short fits, to see that all of it works; MLP alone")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    parser.add_argument("--heading", default="overhead", help="of the section in RESULTS.md; the backend is added")
    parser.add_argument("--folder", help="where runs are written for a while; the system's by default")
    parser.add_argument("--dump", choices=DUMPS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.workload = asked.workload or (["mlp"] if asked.quick else list(WORKLOADS))
    asked.repetitions = asked.repetitions or (2 if asked.quick else 21)
    asked.seconds = asked.seconds or (60 if asked.quick else 360)
    asked.fit_seconds = asked.fit_seconds or (0.1 if asked.quick else 1.2)
    return asked


def main() -> None:
    """Prints the tables; with `--write` puts them into RESULTS.md."""
    asked = arguments()
    warnings.simplefilter("ignore", tt.TruetapWarning)
    if asked.dump:
        dump_child(workload(asked.workload[0]), asked.dump, asked.repetitions)
        return
    backend = keras.backend.backend()
    before, began, found = load(), time.monotonic(), Found()
    works = {name: workload(name) for name in asked.workload}
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        if backend == "tensorflow" and "dump" in asked.variants:
            for name, work in works.items():
                for mode in DUMPS:
                    found.add(dumped(name, work, mode, 1 if asked.quick else 2))
        for place, work in enumerate(works.values()):
            left = began + asked.seconds - time.monotonic()
            measure(work, asked, Path(folder, str(place)), time.monotonic() + left / (len(works) - place), found)
    said = facts(("truetap", "keras", *PACKAGES[backend], "numpy", "pyarrow"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    sizes = ", ".join(f"{work.title} {work.batch}" for work in works.values())
    quick = "--quick, " if asked.quick else ""
    said.append(("size", f"{quick}fits of about {asked.fit_seconds} s, batches of {sizes}"))
    said.append(("time", f"{time.monotonic() - began:.0f} s in all"))
    parts = [ABOUT, table(COLUMNS, found.lines)]
    if found.costs:
        parts += [COST_NOTE, table(COST_COLUMNS, found.costs)]
    body = "\n\n".join([*parts, "\n".join(f"- {name}: {text}" for name, text in said)])
    heading = f"{asked.heading} on {backend}"
    print(f"## {heading}\n\n{body}")
    if asked.write:
        write_section(RESULTS, heading, body)
    if found.failed:
        sys.exit("Some of it failed; the tables say what.")


if __name__ == "__main__":
    main()
