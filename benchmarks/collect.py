"""What `tt.collect` costs beside plain Keras: time against `model.predict`, memory of `to=`.

    KERAS_BACKEND=jax python benchmarks/collect.py [--quick] [--write]

Both sides run in one process, in turns, on the same model, data and batch size. The time of
`predict` includes its outputs as one array; that of `collect` includes `samples.y_true` and
`samples.y_pred`, the loss of each sample and the fingerprints. That both give the same predictions
is checked first. A full run takes some minutes.

`tf.data` is measured twice. With the options that a pipeline has by itself, TensorFlow 2.21 often
waits when an iterator is let go, until its autotuner has slept out (0.15, 0.31, 0.63, 1.27 … seconds
after the iterator was made): that is what users have, and makes the time of either side jump. With
autotuning off the two sides' own work is compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # else torch's waiting threads take the other's core

import keras
import numpy as np
from _measure import Ratio, compare, facts, load, peak_megabytes, table, write_section

import truetap as tt

BATCH = 32  # Keras' default
CLASSES = 10
RESULTS = Path(__file__).with_name("RESULTS.md")
INTRODUCTION = """# Results of the benchmarks

Written by `python benchmarks/collect.py --write`, one section per backend; not by hand. Ratios are
medians over repetitions in one process, with the smallest and the largest of a repetition; CPU time
is that of all threads.

On TensorFlow every call of `predict` makes a `tf.data` pipeline of its own. On JAX and torch a call costs
little more than its batches: a loop of `predict` per batch is nearly as fast as one `predict` there, and
the aim against the loop is out of reach for anything that runs the model.
"""
PACKAGES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",), "torch": ("torch",)}


@dataclass(frozen=True)
class Workload:
    """A model and data for it."""

    name: str
    make: Callable[[], Any]
    x: Any
    y: Any


@dataclass(frozen=True)
class Result:
    """One line of the table."""

    what: str
    ratio: Ratio | None
    shown: str
    aim: str
    met: bool | None

    def cells(self) -> list[str]:
        """One for each of the columns."""
        met = {None: "", True: " (met)", False: " (missed)"}[self.met]
        if self.ratio is None:
            return [self.what, self.shown, "", "", "", self.aim + met]
        low, high = self.ratio.spread
        seconds = "{:.3g} / {:.3g}".format(*self.ratio.best)
        return [self.what, self.shown, f"{low:.2f} to {high:.2f}", f"{self.ratio.cpu:.2f} x", seconds, self.aim + met]


# --- the models and the data ------------------------------------------------------------------------


def cnn() -> Any:
    """Two convolutions on 28 x 28 pixels."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def mlp() -> Any:
    """Three dense layers on 100 features: so little work that overhead per batch is most of it."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((100,)),
            layers.Dense(128, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def workloads(rows: int) -> list[Workload]:
    """Random values: what is measured doesn't depend on them."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, rows)
    return [
        Workload("CNN, 28x28x1", cnn, rng.random((rows, 28, 28, 1), np.float32), y),
        Workload("MLP, 100 features", mlp, rng.random((rows, 100), np.float32), y),
    ]


def dataset(x: Any, y: Any, *, autotune: bool = True) -> Any:
    """A plain `tf.data` pipeline of batches."""
    import tensorflow as tf  # on JAX and torch only for this

    options = tf.data.Options()
    options.autotune.enabled = autotune
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).prefetch(2).with_options(options)


# --- the two sides ----------------------------------------------------------------------------------


def collected(model: Any, data: Any) -> tuple[Any, Any]:
    """Labels and predictions, each as one array."""
    batch_size = BATCH if isinstance(data, tuple) else None
    samples = tt.collect(model, data, batch_size=batch_size, verbose=0)
    return samples.y_true, samples.y_pred


def predicted(model: Any, data: Any) -> Any:
    """Predictions as one array; `predict` gives no labels."""
    if isinstance(data, tuple):
        return model.predict(data[0], batch_size=BATCH, verbose=0)
    return model.predict(data, verbose=0)


def looped(model: Any, data: Any) -> tuple[Any, Any]:
    """What users write to have both: `predict` on each batch."""
    truth, pred = [], []
    for x, y in data:
        pred.append(model.predict(x, verbose=0))
        truth.append(np.asarray(y))
    return np.concatenate(truth), np.concatenate(pred)


def check_equal(model: Any, data: Any, y: Any) -> None:
    """Both sides do the same work, or the ratio means nothing."""
    y_true, y_pred = collected(model, data)
    np.testing.assert_array_equal(y_true, y)
    np.testing.assert_allclose(y_pred, predicted(model, data), rtol=1e-4, atol=1e-6)


# --- what is measured -------------------------------------------------------------------------------


def against_predict(work: Workload, pairs: int) -> Iterator[Result]:
    """The same model, warm, on arrays and on `tf.data`."""
    model = work.make()
    sources = {
        "arrays": (work.x, work.y),
        "tf.data": dataset(work.x, work.y),
        "tf.data, autotuning off": dataset(work.x, work.y, autotune=False),
    }
    for kind, data in sources.items():
        check_equal(model, data, work.y)
        ratio = compare(lambda _, d=data: collected(model, d), lambda _, d=data: predicted(model, d), pairs=pairs)
        yield at_most(f"`collect` / `predict`, {work.name}, {kind}", ratio, 1.0)


def against_loop(work: Workload, pairs: int) -> Result:
    """One `collect` against `predict` on each batch of the same dataset."""
    model = work.make()
    data = dataset(work.x, work.y)
    ratio = compare(lambda _: collected(model, data), lambda _: looped(model, data), pairs=pairs).inverse()
    what = f"loop of `predict` per batch / `collect`, {work.name}, tf.data"
    return Result(what, ratio, f"{ratio.median:.1f} x", "at least 10 x", ratio.median >= 10)


def first_call(work: Workload, pairs: int) -> Result:
    """A new model each time: tracing and compilation are most of it."""
    data = (work.x[:1000], work.y[:1000])
    compare(collected_cold(data), predicted_cold(data), pairs=1, fresh=work.make)  # libraries load
    ratio = compare(collected_cold(data), predicted_cold(data), pairs=pairs, fresh=work.make, warm=False)
    shown = f"{ratio.median:.2f} x"
    return Result(f"first call on 1,000 rows, new model, {work.name}, arrays", ratio, shown, "none set", None)


def collected_cold(data: Any) -> Callable[[Any], object]:
    """`collect` on a model given later."""
    return lambda model: collected(model, data)


def predicted_cold(data: Any) -> Callable[[Any], object]:
    """`predict` on a model given later."""
    return lambda model: predicted(model, data)


def at_most(what: str, ratio: Ratio, aim: float) -> Result:
    """A ratio that should not be above an aim."""
    return Result(what, ratio, f"{ratio.median:.2f} x", f"at most {aim:.1f} x", ratio.median <= aim)


# --- memory -----------------------------------------------------------------------------------------

WIDE = 4_000  # outputs per row: 16 kB


def memory(small: int, large: int) -> Iterator[Result]:
    """The peak of a process of its own that writes so many rows with `to=`; in memory beside it."""
    peaks = {rows: peak_of_child(rows, "to") for rows in (small, large)}
    growth = peaks[large] / peaks[small]
    what = f"peak memory of `to=`, {WIDE:,} outputs a row: {large:,} rows / {small:,} rows"
    shown = f"{growth:.2f} x ({peaks[large]:,.0f} / {peaks[small]:,.0f} MB)"
    yield Result(what, None, shown, "within 10%", growth <= 1.1)
    held = {rows: peak_of_child(rows, "memory") for rows in (small, large)}
    shown = f"{held[large] / held[small]:.2f} x ({held[large]:,.0f} / {held[small]:,.0f} MB)"
    yield Result("the same without `to=`, for comparison", None, shown, "none set", None)


def peak_of_child(rows: int, where: str) -> float:
    """The highest resident memory of a child process, as that process reports it."""
    command = [sys.executable, __file__, "--child", where, "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"The memory measurement failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def child(rows: int, where: str) -> None:
    """Collects `rows` rows that are made as they are asked for, and prints this process' peak."""
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(WIDE, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")

    def batches() -> Iterator[Any]:
        rng = np.random.default_rng(0)
        for start in range(0, rows, BATCH):
            size = min(BATCH, rows - start)
            yield rng.random((size, 8), np.float32), rng.integers(0, WIDE, size)

    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "run" if where == "to" else None
        samples = tt.collect(model, batches(), to=to, verbose=0)
        if len(samples) != rows:
            sys.exit(f"{len(samples)} rows came instead of {rows}")
        del samples  # before the files go
    print(peak_megabytes())


# --- the command ------------------------------------------------------------------------------------


def measure(quick: bool) -> Iterator[Result]:
    """All of it, the slowest last."""
    loads = workloads(3_000 if quick else 10_000)
    for work in loads:
        yield from against_predict(work, 3 if quick else 11)
    for work in loads:
        yield first_call(work, 2 if quick else 5)
    for work in loads:
        yield against_loop(work, 1 if quick else 3)
    yield from memory(2_000, 20_000 if quick else 100_000)


def main() -> None:
    """Prints the table; with `--write` puts it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows and repetitions, for a first look")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    parser.add_argument("--child", choices=("to", "memory"), help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", tt.TruetapWarning)
    if asked.child:
        child(asked.rows, asked.child)
        return
    backend = keras.backend.backend()
    before = load()
    rows = []
    for result in measure(asked.quick):
        rows.append(result.cells())
        print("  ".join(cell for cell in rows[-1] if cell), file=sys.stderr)
    said = facts(("truetap", "keras", *PACKAGES[backend], "numpy", "pyarrow"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    said.append(("size", f"{'--quick, ' if asked.quick else ''}batches of {BATCH} rows"))
    columns = ("what", "median", "lowest to highest", "CPU time", "best seconds", "aim")
    body = table(columns, rows) + "\n\n" + "\n".join(f"- {name}: {text}" for name, text in said)
    print(f"## collect on {backend}\n\n{body}")
    if asked.write:
        write_section(RESULTS, f"collect on {backend}", body, INTRODUCTION)


if __name__ == "__main__":
    main()
