"""What leaves the step beside Keras' own results: a flat dict of tensors, small and few.

Each result of a compiled function costs microseconds of its caller, and of whoever fetches it: so columns
of one dtype leave as one matrix, scalars and statistics as one vector each. The names:

    y_true, y_pred, loss, … (/output)      columns of samples
    fingerprint, print:<path>              identity; inputs whose fingerprint is left to the writer's thread
    x:<path>                               inputs that are wanted
    total_loss, learning_rate, …           scalars; running/<metric> is what Keras logs
    raw:<tap>:<key>                        values of a layer or gradient
    columns:<layout>, scalars:<layout>     several of the above, laid out as `Packing` says
    states:<layout>:<tap>                  states of reducers, float32
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.backends import current
from truetap.capture.plan import Chosen, Plan
from truetap.capture.watch import Watch, inputs_of
from truetap.observe import owner
from truetap.reducers import State
from truetap.reducers.step import SEPARATOR, reduce_all
from truetap.structure import flatten
from truetap.taps import Outputs, Tapped

__all__ = ["Packing", "extras"]

Array = npt.NDArray[Any]
Layout = tuple[tuple[str, tuple[int, ...]], ...]

_WIDE = 64  # values of a sample above which a column leaves by itself


@dataclass
class Packing:
    """What lies where in packed tensors; found while tracing, one layout for each set of shapes.

    Attributes:
        layouts: Names and shapes of the parts, by the layout's number; without the rows of columns.
    """

    layouts: list[Layout] = field(default_factory=list)

    def number(self, layout: Layout) -> int:
        """The number of a layout."""
        if layout not in self.layouts:
            self.layouts.append(layout)
        return self.layouts.index(layout)

    def columns(self, columns: Mapping[str, Any]) -> dict[str, Any]:
        """Columns with those that are narrow put side by side, by dtype.

        Only where their number of rows is known while tracing: a step must not fail for a column that
        has not the rows of the others.
        """
        rows = columns["fingerprint"].shape[0] if "fingerprint" in columns else None
        narrow: dict[str, dict[str, Any]] = {}
        for name, value in columns.items():
            shape = tuple(value.shape)
            known = rows is not None and shape and shape[0] == rows and None not in shape
            width = math.prod(shape[1:]) if known else _WIDE + 1
            if width <= _WIDE and str(value.dtype) not in ("bool", "string"):
                narrow.setdefault(str(value.dtype), {})[name] = value
        found = dict(columns)
        for parts in narrow.values():
            if len(parts) > 1:
                number = self.number(tuple((name, tuple(value.shape[1:])) for name, value in parts.items()))
                flat = [
                    ops.expand_dims(value, 1)
                    if len(value.shape) == 1
                    else value
                    if len(value.shape) == 2
                    else ops.reshape(value, (-1, math.prod(value.shape[1:])))
                    for value in parts.values()
                ]
                found = {name: value for name, value in found.items() if name not in parts}
                found[f"columns:{number}"] = ops.concatenate(flat, axis=1)
        return found

    def scalars(self, scalars: Mapping[str, Any]) -> dict[str, Any]:
        """Scalars as one float32 vector; those that float32 doesn't hold are left as they are."""
        chosen = {name: value for name, value in scalars.items() if _plain_scalar(value)}
        if len(chosen) < 2:
            return dict(scalars)
        number = self.number(tuple((name, ()) for name in chosen))
        left = {name: value for name, value in scalars.items() if name not in chosen}
        return left | {f"scalars:{number}": ops.stack([ops.cast(value, "float32") for value in chosen.values()])}

    def states(self, states: Mapping[str, Any], place: int) -> dict[str, Any]:
        """States of reducers as one float32 vector."""
        number = self.number(tuple((name, tuple(map(int, value.shape))) for name, value in states.items()))
        flat = [ops.reshape(ops.cast(value, "float32"), (-1,)) for value in states.values()]
        return {f"states:{number}:{place}": ops.concatenate(flat) if len(flat) > 1 else flat[0]}

    def unpack_columns(self, number: int, matrix: Array) -> dict[str, Array]:
        """The inverse, on the host: views."""
        found, start = {}, 0
        for name, shape in self.layouts[number]:
            size = math.prod(shape)
            found[name] = matrix[:, start : start + size].reshape(len(matrix), *shape)
            start += size
        return found

    def unpack_scalars(self, number: int, vector: Array) -> dict[str, float]:
        """The inverse, on the host."""
        names = [name for name, _ in self.layouts[number]]
        return dict(zip(names, vector.tolist(), strict=True))

    def unpack_states(self, number: int, vector: Array) -> dict[tuple[str, str], State]:
        """The inverse, on the host: states by path and reducer, as float64."""
        found: dict[tuple[str, str], State] = {}
        whole = vector.astype(np.float64)
        start = 0
        for name, shape in self.layouts[number]:
            path, reducer, key = name.split(SEPARATOR)
            size = math.prod(shape)
            found.setdefault((path, reducer), {})[key] = whole[start : start + size].reshape(shape)
            start += size
        return found


def _plain_scalar(value: Any) -> bool:
    return tuple(getattr(value, "shape", (1,))) == () and keras.backend.standardize_dtype(value.dtype) in (
        "float32",
        "float16",
        "bfloat16",
        "bool",
    )


def extras(
    watch: Watch,
    data: Any,
    result: Any,
    flags: Sequence[Any],
    plan: Plan,
    packing: Packing,
    reached: Mapping[str, Any],
    *,
    jit_compile: bool = False,
) -> dict[str, Any]:
    """Tensors by name, made inside the step.

    Args:
        watch: What was seen, on a level at which it can leave the step.
        data: The batch as Keras gave it to the step.
        result: What the model's step returned: logs, or predictions.
        flags: For each of `plan.in_step`, whether it is due: bool scalars, tensors under a trace.
        plan: The taps.
        packing: Learns the layout of vectors.
        reached: Gradients of layer outputs by key, with the loss scale still in them.
        jit_compile: Whether XLA compiles the step; matters on TensorFlow.
    """
    backend = current()
    scalars = {name: watch.seen[name] for name in ("total_loss",) if name in watch.seen} | watch.around
    if plan.phase != "predict" and isinstance(result, Mapping):
        scalars |= {f"running/{name}": value for name, value in result.items() if hasattr(value, "shape")}
    columns = {name: value for name, value in watch.seen.items() if name != "total_loss"}
    columns = columns if plan.of_kind(Outputs) else {}
    out: dict[str, Any] = {}
    if plan.identity or (watch.tapped and any(not each.reducers for each in plan.of_kind(Tapped))):
        x = {path: leaf for path, leaf in flatten(inputs_of(data)).items() if leaf is not None}
        watch.learned.x_paths = tuple(x)
        for path, leaf in x.items():
            watch.learned.keep_shape(f"x/{path}", leaf)
        later = {path: copy for path, leaf in x.items() if (copy := backend.fingerprinted_later(leaf)) is not None}
        if len(later) < len(x):
            columns["fingerprint"] = backend.fingerprint(x, without=later)
        out |= {f"print:{path}": copy for path, copy in later.items()}
        if plan.inputs:
            # copies: a generator may fill its arrays again before the writer comes to them
            out |= {f"x:{path}": ops.copy(backend.dense(leaf)[0]) for path, leaf in x.items()}
    if backend.compiles:
        columns, scalars = packing.columns(columns), packing.scalars(scalars)
    out |= columns | scalars
    scale = watch.around.get("loss_scale")
    for number, each in enumerate(plan.in_step):
        values = _values(each, watch, reached, scale, plan)
        if each.tap.kind == "activation_gradients" and not values:
            watch.learned.say(
                f"No gradient reaches the outputs of {', '.join(each.members)}: no trainable weight lies before them, "
                "or the loss does not depend on them."
            )
        if not values:
            continue
        if not each.reducers:
            cap = None if backend.spread() else each.tap.samples  # each process has other rows: the host counts them
            out |= {f"raw:{each.place}:{key}": value if cap is None else value[:cap] for key, value in values.items()}
            continue
        out |= _reduced(each, values, flags[number], packing, jit_compile)
    return out


def _values(each: Chosen, watch: Watch, reached: Mapping[str, Any], scale: Any, plan: Plan) -> dict[str, Any]:
    kind = each.tap.kind
    if kind == "gradients":
        return {path: watch.gradients[path] for path in each.members if path in watch.gradients}
    if kind == "tapped":
        return {key: value for key, value in watch.tapped.items() if each.tap.takes(key)}
    source = watch.layers if kind == "activations" else reached
    found = {key: value for key, value in source.items() if owner(key, plan.layers) in each.members}
    if kind == "activation_gradients" and scale is not None:
        found = {key: value / ops.cast(scale, value.dtype) for key, value in found.items()}
    backend = current()
    dense = {key: backend.dense(value)[0] for key, value in found.items()}
    return {key: ops.stop_gradient(value) for key, value in dense.items()}


def _reduced(each: Chosen, values: Mapping[str, Any], flag: Any, packing: Packing, jit_compile: bool) -> dict[str, Any]:
    numeric = {key: value for key, value in values.items() if "string" not in str(value.dtype)}

    def compute() -> dict[str, Any]:
        return packing.states(reduce_all(numeric, each.reducers, each.tap.axis), each.place)

    if each.tap.always:
        return compute()
    return current().conditional(flag, compute, jit_compile=jit_compile)
