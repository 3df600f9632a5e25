"""What people use today to see inside a training, beside a Recorder that takes the same.

    KERAS_BACKEND=jax python benchmarks/alternatives.py [--quick] [--write] [--repetitions 9]

Time of `fit` over that of plain `fit`, of a CNN on 28 x 28 pixels, three epochs a fit. All ways are fitted in turns in
one process, each with a model and callbacks of its own that were warmed before; "plain again" is a second plain model,
whose quartiles are the machine's noise. What a way keeps is looked at after the first fit: as many rows as were trained
on, or files.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import keras
import numpy as np
from _measure import PACKAGES, Timed, facts, load, quartiles, table, timed, write_section
from _training import workload

import truetap as tt

RESULTS = Path(__file__).with_name("RESULTS.md")
EPOCHS, LAYER = 3, "features"
ABOUT = """Written by `python benchmarks/alternatives.py --write`: what people use today to see inside a training,
beside a Recorder that takes the same. Time of `fit` over that of plain `fit`, each ratio of two fits of one repetition,
in turns in one process, with a model and callbacks that were warmed before; quartiles of "plain again" are the
machine's noise. The second model and the hook keep values in memory, TensorBoard and the Recorder write them to the
disk."""


def network() -> Any:
    """Two convolutions; the layer before the last is what is looked at."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu", name=LAYER),
            layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


class SecondPass(keras.callbacks.Callback):  # type: ignore[misc]
    """After each epoch, outputs of a layer and of the model for all training data, by a model cut out of the first."""

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__()
        self.data = {name: value for name, value in data.items() if name != "y"}
        self.kept: list[Any] = []
        self.cut: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.kept = []
        if self.cut is None:
            self.cut = keras.Model(self.model.inputs, [self.model.get_layer(LAYER).output, self.model.outputs[0]])

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.kept.append(self.cut.predict(**self.data, verbose=0))


class Hooked(keras.callbacks.Callback):  # type: ignore[misc]
    """A forward hook of torch on the layer and on the model, with a copy of what they gave."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[Any]] = {}
        self.hooks: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.kept = {}
        for name, module in ((LAYER, self.model.get_layer(LAYER)), ("output", self.model)):
            kept = self.kept.setdefault(name, [])
            hook = module.register_forward_hook(
                lambda module, inputs, out, kept=kept: kept.append(out.detach().cpu().numpy().copy())
            )
            self.hooks.append(hook)

    def on_train_end(self, logs: Any = None) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks.clear()


@dataclass
class Way:
    """A way to train.

    Attributes:
        title: What a reader calls it.
        make: Its callbacks, from the folder that they may write to.
        rows: How many samples a fit has kept, by its callbacks and folder; None where it keeps files.
        model: Fitted again and again.
        callbacks: What `make` gave.
        times: By repetition.
    """

    title: str
    make: Callable[[Path], list[Any]]
    rows: Callable[[list[Any], Path], int] | None = None
    model: Any = None
    callbacks: list[Any] = field(default_factory=list)
    times: dict[int, Timed] = field(default_factory=dict)


def recorder(folder: Path, taps: list[Any]) -> list[Any]:
    """A Recorder, as callbacks."""
    return [tt.Recorder(folder / "run", taps, on_error="raise")]


def recorded_rows(callbacks: list[Any], folder: Path) -> int:
    """Samples of which the run has all."""
    return min(len(tt.open(folder / "run").activations(LAYER).values), len(tt.open(folder / "run").samples()))


def histograms(folder: Path) -> list[Any]:
    """Of all weights after each epoch, as in TensorBoard's guide."""
    return [keras.callbacks.TensorBoard(str(folder / "logs"), histogram_freq=1, write_graph=False)]


def ways(data: dict[str, Any]) -> list[Way]:
    """Plain first."""
    both = [tt.Outputs(), tt.Activations(LAYER)]
    found = [
        Way("plain", lambda folder: []),
        Way("plain again", lambda folder: []),
        Way(
            "predictions and a layer by a second model, after each epoch",
            lambda folder: [SecondPass(data)],
            lambda callbacks, folder: sum(len(features) for features, _ in callbacks[0].kept),
        ),
        Way(
            "predictions and that layer of every step, `Recorder(Outputs(), Activations)`",
            lambda folder: recorder(folder, both),
            recorded_rows,
        ),
        Way("histograms of all weights after each epoch, `TensorBoard(histogram_freq=1)`", histograms),
        Way(
            "the same by `Recorder(Weights(reduce='histogram', every='epoch'))`",
            lambda folder: recorder(folder, [tt.Weights(reduce="histogram", every="epoch")]),
        ),
    ]
    if keras.backend.backend() == "torch":
        hooked = Way(
            "predictions and that layer of every step, `register_forward_hook`, kept in memory",
            lambda folder: [Hooked()],
            lambda callbacks, folder: min(sum(map(len, kept)) for kept in callbacks[0].kept.values()),
        )
        found.append(hooked)
    return found


def fit(way: Way, data: dict[str, Any], folder: Path, rows: int | None = None) -> Timed:
    """One fit, opening and closing of files included; with `rows`, what it kept is counted."""
    callbacks = way.callbacks
    one = timed(
        lambda _: way.model.fit(**data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=list(callbacks)), None
    )
    for each in callbacks:
        if isinstance(each, tt.Recorder):
            each.finish()
    if rows is not None and way.rows is not None and way.rows(callbacks, folder) != rows:
        raise RuntimeError(f"{way.title}: kept {way.rows(callbacks, folder)} rows of {rows}.")
    if rows is not None and way.rows is None and callbacks and not any(path.is_file() for path in folder.rglob("*")):
        raise RuntimeError(f"{way.title}: kept nothing.")
    shutil.rmtree(folder, ignore_errors=True)
    return one


def measure(lanes: list[Way], rows: int, data: dict[str, Any], repetitions: int, until: float, folder: Path) -> None:
    """All lanes in turns, every second time in the opposite order; until about so late, but three times at least."""
    for way in lanes:
        way.model, way.callbacks = network(), way.make(folder / "fit")
        fit(way, data, folder / "fit", rows)
    for repetition in range(repetitions):
        if repetition >= min(3, repetitions) and time.monotonic() > until:
            break
        for way in reversed(lanes) if repetition % 2 else lanes:
            way.times[repetition] = fit(way, data, folder / "fit")
        print(f"repetition {repetition + 1}", file=sys.stderr, flush=True)


def row(way: Way, plain: Way) -> list[str]:
    """A line of the table."""
    ratios = [way.times[each].wall / plain.times[each].wall for each in way.times]
    cpu = [way.times[each].cpu / plain.times[each].cpu for each in way.times]
    first, median, third = quartiles(ratios)
    best = [min(each.wall for each in one.times.values()) for one in (way, plain)]
    return [
        way.title,
        f"{median:.2f} x",
        f"{first:.2f} to {third:.2f}",
        f"{np.median(cpu):.2f} x",
        f"{best[0]:.2f} / {best[1]:.2f}",
    ]


def main() -> None:
    """Prints the table; with `--write` puts it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few steps and repetitions, to see that all of it works")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    parser.add_argument("--repetitions", type=int, help="at most; 9 by default")
    parser.add_argument("--seconds", type=float, default=360.0, help="about so long in all")
    parser.add_argument("--steps", type=int, help="of an epoch; 100 by default")
    asked = parser.parse_args()
    steps = asked.steps or (5 if asked.quick else 100)
    repetitions = asked.repetitions or (2 if asked.quick else 9)
    backend, before, work, began = keras.backend.backend(), load(), workload("cnn"), time.monotonic()
    data = work.data(steps)
    lanes = ways(data)
    with tempfile.TemporaryDirectory() as folder:
        rows = EPOCHS * steps * work.batch
        measure(lanes, rows, data, repetitions, began + asked.seconds, Path(folder))
    said = facts((*PACKAGES[backend], "tensorboard", "numpy", "pyarrow"))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    said.append(("size", f"{EPOCHS} epochs of {steps} batches of {work.batch}, {len(lanes[0].times)} repetitions"))
    columns = ("what", "median", "quartiles", "CPU time", "best seconds, this / plain")
    lines = table(columns, [row(way, lanes[0]) for way in lanes[1:]])
    body = "\n\n".join([ABOUT, lines, "\n".join(f"- {name}: {text}" for name, text in said)])
    print(f"## alternatives on {backend}\n\n{body}")
    if asked.write:
        write_section(RESULTS, f"alternatives on {backend}", body)


if __name__ == "__main__":
    main()
