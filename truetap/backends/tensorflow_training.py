"""TensorFlow: extras leave the `tf.function` beside the logs.

With `steps_per_execution` above 1 Keras runs the steps in a `tf.while_loop` that keeps the results of the
last one only. There the extras of each step leave through a queue that stands beside the loop, as
serialised tensors, in the order of the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from itertools import chain, islice
from typing import Any

import numpy as np
import tensorflow as tf

from truetap.backends.keras_private import build_from, layers_built
from truetap.backends.tensorflow_replicas import alone, from_all_replicas, over_machines, shards, worker
from truetap.backends.training import MAKERS, Feed, Recorded, StepLike
from truetap.errors import ModelError
from truetap.observe import replaced
from truetap.store import Worker

__all__ = ["TensorFlowTraining", "through"]


class TensorFlowTraining:
    """See `truetap.backends.training.Training`."""

    exhausted = (StopIteration, tf.errors.OutOfRangeError)

    def record(self, model: Any, phase: str, step: StepLike, feed: Feed) -> Recorded:
        replicas = _replicas(model, phase)
        kind = MAKERS[phase]
        # Over several machines Keras gathers what leaves a function: extras have to leave beside it there, too.
        several = model.steps_per_execution > 1 or over_machines(model)
        jitted = bool(model.jit_compile) and not model.run_eagerly
        flags = _Flags(model.steps_per_execution, feed.conditions)
        inner = getattr(model, f"{kind}_step")
        of_all = shards if replicas > 1 else dict

        def run(data: Any) -> Any:
            with alone(model, step.plan.layers) if replicas > 1 else nullcontext():
                return step.run(inner, data, flags.in_step(), through)

        if not several:

            def recorded(data: Any) -> dict[str, Any]:
                result, extras = run(data)
                return {"result": result, "extras": extras if replicas == 1 else from_all_replicas(data, extras)}

            function = _make(model, kind, recorded)

            def one(iterator: Any) -> Any:
                flags.set([feed.begin()])
                feed.before(self.snapshot)
                out = function(iterator)
                feed.end(of_all(out["extras"]), self.snapshot)
                return out["result"]

            return one
        queue = _Queue(model.steps_per_execution)

        def leave(extras: dict[str, Any]) -> None:
            queue.add(extras)
            flags.next()

        core = tf.function(run, jit_compile=True, reduce_retracing=True, autograph=False) if jitted else run

        def recorded_in_loop(data: Any) -> Any:
            result, extras = core(data)
            if replicas > 1:
                from_all_replicas(data, extras, then=leave)
            else:
                leave(extras)
            return result

        with _without_jit(model):
            function = _make(model, kind, recorded_in_loop)

        def several_steps(iterator: Any) -> Any:
            flags.set([feed.begin(ahead) for ahead in range(model.steps_per_execution)])
            try:
                return function(iterator)
            finally:
                for extras in queue.take():
                    feed.end(of_all(extras))

        return several_steps

    def once_built(self, model: Any, phase: str, make: Callable[[], Recorded]) -> Recorded:
        """Keras builds here what is not built yet while it traces the first step: that is too late for taps."""
        if phase == "train" and layers_built(model) and model.optimizer is not None and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        made = make() if phase == "predict" or layers_built(model) else None
        begun = phase == "predict" or (made is not None and model.run_eagerly)

        def function(iterator: Any) -> Any:
            nonlocal made, begun
            if not begun:
                batch, iterator = _first(iterator)
                build_from(model, batch)
                begun = True
            made = made or make()
            return made(iterator)

        return function

    def worker(self) -> Worker:
        return worker()

    def snapshot(self, variable: Any) -> Any:
        return np.array(variable)


def _replicas(model: Any, phase: str) -> int:
    """How many replicas run a step of a model at once.

    Raises:
        ModelError: Several, in a way that Keras 3.15 fails at, with errors that tell nobody why.
    """
    replicas = int(model.distribute_strategy.num_replicas_in_sync)
    if replicas == 1:
        return 1
    if over_machines(model) and phase != "predict":
        raise ModelError(
            "Keras 3.15 can't train or evaluate under MultiWorkerMirroredStrategy (it builds the model from values of "
            "single replicas, and averages scalars over their first axis), so there is nothing to record. Received: "
            f"{replicas} replicas. Expected: MirroredStrategy on one machine; or JAX or torch over several."
        )
    given = "jit_compile=True" if model.jit_compile and not model.run_eagerly else ""
    if phase == "train" and model.steps_per_execution > 1:
        given = f"steps_per_execution={model.steps_per_execution}"
    if given:
        raise ModelError(
            f"Keras 3.15 fails at {given} under {type(model.distribute_strategy).__name__}, so it can't be recorded. "
            f"Received: {replicas} replicas. Expected: steps_per_execution=1 and jit_compile=False."
        )
    return replicas


def _first(iterator: Any) -> tuple[Any, Any]:
    """Shapes and dtypes of the first batch, or that batch; and an iterator that still has it."""
    specification = getattr(iterator, "element_spec", None)
    if specification is None:
        batch = next(iterator)
        return batch, chain([batch], iterator)
    return tf.nest.map_structure(lambda leaf: leaf if hasattr(leaf, "shape") else None, specification), iterator


def _make(model: Any, kind: str, recorded: Callable[..., Any]) -> Any:
    """Keras' own function of a phase over our step; what was on the model is left there."""
    name = f"{kind}_function"
    before = getattr(model, name)
    with replaced(model, **{f"{kind}_step": recorded}):
        try:
            getattr(model, f"make_{name}")(force=True)
            function = getattr(model, name)
        finally:
            setattr(model, name, before)
    if kind != "predict":
        return function

    def predict(data: Any) -> Any:
        with replaced(model, predict_step=recorded):  # Keras looks it up whenever it traces
            return function(data)

    return predict


class _without_jit:  # noqa: N801  read as a phrase
    """The model's `jit_compile` off inside the block: the step compiles itself."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._before = model.jit_compile

    def __enter__(self) -> None:
        if self._before:
            self._model.jit_compile = False

    def __exit__(self, *error: object) -> None:
        if self._before:
            self._model.jit_compile = True


class _Flags:
    """Which taps are due: a variable that is set only when that changes."""

    def __init__(self, steps: int, conditions: int) -> None:
        self._steps = steps
        self._known: list[list[bool]] | None = None
        self._flags: Any = None
        self._place: Any = None
        if not conditions:
            return
        with tf.init_scope():
            self._flags = tf.Variable(tf.zeros((steps, conditions), tf.bool), trainable=False)
            self._place = tf.Variable(0, trainable=False)

    def set(self, due: list[list[bool]]) -> None:
        """For the steps of the next execution."""
        if self._flags is None:
            return
        if due != self._known:
            self._known = due
            self._flags.assign(due)
        if self._steps > 1:
            self._place.assign(0)

    def in_step(self) -> Any:
        """The flags of the step that is traced, by the tap's place."""
        if self._flags is None:
            return ()
        row = self._flags[self._place] if self._steps > 1 else self._flags[0]
        return tf.unstack(row)

    def next(self) -> None:
        """Goes on to the next step of the execution."""
        if self._flags is not None:
            self._place.assign_add(1)


class _Queue:
    """Extras of the steps of one execution; a step's names and dtypes are known by the number of its trace."""

    def __init__(self, steps: int) -> None:
        self._traces: list[tuple[list[str], list[Any], list[int]]] = []
        with tf.init_scope():
            self._queue = tf.queue.FIFOQueue(max(steps, 1) + 1, [tf.int32, tf.string])

    def add(self, extras: dict[str, Any]) -> None:
        """From inside the step."""
        parts = [part for value in extras.values() for part in (value if isinstance(value, tuple) else (value,))]
        shards = [len(value) if isinstance(value, tuple) else 0 for value in extras.values()]
        trace = (list(extras), [part.dtype for part in parts], shards)
        if trace not in self._traces:
            self._traces.append(trace)
        texts = [tf.io.serialize_tensor(part) for part in parts]
        self._queue.enqueue((tf.constant(self._traces.index(trace), tf.int32), tf.stack(texts)))

    def take(self) -> list[dict[str, Any]]:
        """On the host, after an execution."""
        found = []
        for _ in range(int(self._queue.size())):
            number, parts = self._queue.dequeue()
            names, dtypes, shards = self._traces[int(number)]
            values = (tf.io.parse_tensor(part, dtype) for part, dtype in zip(parts, dtypes, strict=True))
            found.append(
                {
                    name: tuple(islice(values, count)) if count else next(values)
                    for name, count in zip(names, shards, strict=True)
                }
            )
        return found


def through(reached: dict[str, Any], key: str, value: Any) -> Any:
    """The same value, whose gradient is kept when the tape goes back through it."""

    @tf.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def identity(tensor: Any) -> Any:
        def gradient(upstream: Any) -> Any:
            reached.setdefault(key, upstream)
            return upstream

        return tf.identity(tensor), gradient

    if not value.dtype.is_floating:
        return value
    going_on = identity(value)
    for mark in ("_keras_mask", "_keras_logits"):  # what Keras hangs on a tensor goes along
        if hasattr(value, mark):
            setattr(going_on, mark, getattr(value, mark))
    return going_on


TRAINING = TensorFlowTraining()
