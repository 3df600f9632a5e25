"""What `tt.tap` costs when no recorder listens, and what `recorder.step` costs in a loop of one's own.

    KERAS_BACKEND=torch python benchmarks/tap.py [--quick] [--write] [--pairs 15]

A perceptron of four layers with a tap behind each, and two more in its loss, against the same without: `fit` of
both in turns in one process, each compiled once. Beside it "plain again", a second model without taps: its
quartiles are what the machine's noise does to a ratio. Then a loop written by hand (compiled, where the backend
compiles), with `recorder.step` in it and a recorder that takes `tt.Outputs()`, against the same loop without.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import keras
import numpy as np
from _measure import PACKAGES, Ratio, compare, facts, load, quartiles, table, write_section
from keras import ops

import truetap as tt

RESULTS = Path(__file__).with_name("RESULTS.md")
BATCH, FEATURES, WIDTH, LAYERS = 128, 64, 256, 4
ABOUT = """Written by `python benchmarks/tap.py --write`: six taps in a step, with and without a recorder. Each ratio is
of two runs of one repetition, in turns in one process; quartiles of "plain again" are the machine's noise."""


class Hidden(keras.layers.Layer):  # type: ignore[misc]
    """A dense layer whose output goes through `through`."""

    def __init__(self, through: Callable[..., Any], number: int) -> None:
        super().__init__()
        self.inner = keras.layers.Dense(WIDTH, activation="relu")
        self.through, self.number = through, number

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        return self.through(self.inner(x), f"hidden{self.number}")


def not_tapped(value: Any, name: str) -> Any:
    """In the place of `tt.tap`."""
    return value


def network(through: Callable[..., Any]) -> Any:
    """The model, compiled and built."""
    keras.utils.set_random_seed(0)

    def loss(y: Any, y_pred: Any) -> Any:
        error = through(y - y_pred, "error")
        return through(ops.mean(ops.square(error), axis=-1), "loss")

    hidden = [Hidden(through, number) for number in range(LAYERS)]
    model = keras.Sequential([keras.Input((FEATURES,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1e-3), loss)
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model: Any, steps: int, callbacks: Callable[[], list[Any]] = list) -> Callable[[Any], None]:
    """A call of `fit` of so many steps."""
    x, y = data(steps)

    def run(_: Any) -> None:
        model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=callbacks())

    return run


def data(steps: int) -> tuple[Any, Any]:
    """Random rows for so many batches."""
    rng = np.random.default_rng(0)
    return tuple(rng.normal(size=(steps * BATCH, size)).astype("float32") for size in (FEATURES, 1))  # type: ignore[return-value]


class Unrecorded:
    """In the place of `recorder.step(model)`."""

    def __enter__(self) -> Unrecorded:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def log(self, **said: Any) -> None:
        """Says nothing."""


def loop(model: Any, steps: int, recorder: tt.Recorder | None) -> Callable[[Any], None]:
    """A loop written by hand over so many batches."""
    x, y = data(steps)
    batches = [
        (ops.convert_to_tensor(x[at : at + BATCH]), ops.convert_to_tensor(y[at : at + BATCH]))
        for at in range(0, steps * BATCH, BATCH)
    ]

    def block() -> Any:
        return Unrecorded() if recorder is None else recorder.step(model)

    return _LOOPS[keras.backend.backend()](model, batches, block)


def _squared(y: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y - y_pred), axis=-1)


def _tensorflow(model: Any, batches: list[Any], block: Callable[[], Any]) -> Callable[[Any], None]:
    import tensorflow as tf

    variables = model.trainable_variables

    @tf.function(autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def step(x: Any, y: Any) -> None:
        with block() as said:
            with tf.GradientTape() as tape:
                losses = _squared(y, model(x, training=True))
                total = ops.mean(losses)
            model.optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
            said.log(y_true=y, loss=losses, total_loss=total)

    def run(_: Any) -> None:
        for x, y in batches:
            step(x, y)

    return run


def _jax(model: Any, batches: list[Any], block: Callable[[], Any]) -> Callable[[Any], None]:
    import jax

    groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)

    @jax.jit
    def step(state: Any, x: Any, y: Any) -> Any:
        trainable, others, optimizer = state
        with block() as said:

            def loss(trainable: Any) -> Any:
                y_pred, new = model.stateless_call(trainable, others, x, training=True)
                losses = _squared(y, y_pred)
                return ops.mean(losses), (losses, new)

            (total, (losses, new)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
            trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
            said.log(y_true=y, loss=losses, total_loss=total)
        return trainable, new, optimizer

    def run(_: Any) -> None:
        state: Any = tuple([variable.value for variable in group] for group in groups)
        for x, y in batches:
            state = step(state, x, y)
        jax.block_until_ready(state)

    return run


def _torch(model: Any, batches: list[Any], block: Callable[[], Any]) -> Callable[[Any], None]:
    import torch

    variables = model.trainable_variables

    def run(_: Any) -> None:
        for x, y in batches:
            with block() as said:
                model.zero_grad()
                losses = _squared(y, model(x, training=True))
                total = losses.mean()
                total.backward()
                with torch.no_grad():
                    model.optimizer.apply([variable.value.grad for variable in variables], variables)
                said.log(y_true=y, loss=losses, total_loss=total)

    return run


_LOOPS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def call_nanoseconds() -> float:
    """One call of `tt.tap` that nobody hears."""
    value, times = ops.ones((2, 2)), []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(20_000):
            tt.tap(value, "value")
        times.append((time.perf_counter() - began) / 20_000)
    return statistics.median(times) * 1e9


def row(what: str, ratio: Ratio, steps: int) -> list[str]:
    """A line of the table."""
    first, median, third = quartiles(ratio.wall)
    ours, plain = (seconds / steps * 1e3 for seconds in ratio.best)
    cells = [what, f"{median:.3f} x", f"{first:.3f} to {third:.3f}", f"{ratio.cpu:.3f} x"]
    return [*cells, f"{ours:.2f} / {plain:.2f}", str(len(ratio.wall))]


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15, help="repetitions; 15 by default")
    parser.add_argument("--steps", type=int, default=200, help="steps of a run; 200 by default")
    parser.add_argument("--quick", action="store_true", help="two short repetitions, to see that all of it works")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    asked = parser.parse_args()
    steps, pairs = (10, 2) if asked.quick else (asked.steps, asked.pairs)
    backend, before = keras.backend.backend(), load()
    folder = Path(tempfile.mkdtemp())
    plain = fit(network(not_tapped), steps)
    tapped = network(tt.tap)
    rows = [
        row("`fit`, six taps, nobody listens", compare(fit(tapped, steps), plain, pairs=pairs), steps),
        row("`fit`, plain again", compare(fit(network(not_tapped), steps), plain, pairs=pairs), steps),
    ]
    looped = loop(network(not_tapped), steps, None)
    with tt.Recorder(folder / "loop") as recorder:
        recorded = loop(network(not_tapped), steps, recorder)
        rows.append(row("a loop, `recorder.step` with `Outputs`", compare(recorded, looped, pairs=pairs), steps))
    again = loop(network(not_tapped), steps, None)
    rows.append(row("a loop, plain again", compare(again, looped, pairs=pairs), steps))
    shutil.rmtree(folder)
    lines = [*facts(("numpy", *PACKAGES[backend])), ("load", f"{before:.1f} before, {load():.1f} after")]
    lines.append(("size", f"batches of {BATCH}, runs of {steps} steps"))
    head = ["what", "median", "quartiles", "CPU time", "best ms a step, ours / plain", "pairs"]
    facts_said = "\n".join(f"- {name}: {value}" for name, value in lines)
    said = f"{table(head, rows)}\n\nOne call that nobody hears: {call_nanoseconds():.0f} ns.\n\n{facts_said}"
    print(said)
    if asked.write:
        write_section(RESULTS, f"tap on {backend}", f"{ABOUT}\n\n{said}")


if __name__ == "__main__":
    main()
