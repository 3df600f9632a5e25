"""Layers and weights that a model holds where Keras doesn't look for them.

Keras tracks layers and variables in attributes, and in lists, tuples and dicts that are attributes. Those inside
other objects, in closures or in module globals that `call` reads, train with nobody: they are in no
`trainable_variables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any

import keras

from truetap.backends.keras_private import inner_layers

__all__ = ["untracked"]

_DEEP = 3


def untracked(model: Any) -> tuple[str, ...]:
    """Names of what holds them, such as "MyModel.blocks[0].dense"; empty for a sound model."""
    known: set[int] = {id(variable) for variable in model.variables}
    layers = _all_layers(model)
    known |= {id(layer) for layer in layers}
    found: dict[int, str] = {}
    for holder in layers:
        if type(holder).__module__.startswith("keras."):
            continue
        for name, value in _held(holder):
            for where, thing in _things(value, name, _DEEP):
                if id(thing) not in known and not _is_known_layer(thing, known):
                    found.setdefault(id(thing), f"{type(holder).__name__}.{where}")
    return tuple(found.values())


def _all_layers(model: Any) -> list[Any]:
    found: dict[int, Any] = {id(model): model}
    waiting = [model]
    while waiting:
        for layer in inner_layers(waiting.pop()):
            if id(layer) not in found:
                found[id(layer)] = layer
                waiting.append(layer)
    return list(found.values())


def _is_known_layer(thing: Any, known: set[int]) -> bool:
    """A layer whose variables are all known, or that has none, loses nothing."""
    if isinstance(thing, keras.Layer):
        return bool(thing.built) and all(id(variable) in known for variable in thing.trainable_variables)
    return False


def _held(holder: Any) -> Iterator[tuple[str, Any]]:
    for name, value in vars(holder).items():
        if name not in _OF_KERAS:
            yield name, value
    call = getattr(type(holder), "call", None)
    if isinstance(call, FunctionType):
        for name, cell in zip(call.__code__.co_freevars, call.__closure__ or (), strict=False):
            try:
                yield name, cell.cell_contents
            except ValueError:  # a cell that is still empty
                continue
        for name in call.__code__.co_names:
            if name in call.__globals__:
                yield name, call.__globals__[name]


# what Keras itself keeps on a layer or model
_OF_KERAS = frozenset(
    {
        "optimizer",
        "built",
        "dtype_policy",
        "_tracker",
        "_layers",
        "_metrics",
        "_trainable_variables",
        "_non_trainable_variables",
        "_seed_generators",
        "_losses",
        "_loss_ids",
        "_losses_override",
        "_optimizer",
        "_compile_loss",
        "_compile_metrics",
        "_loss_tracker",
        "_functional",
        "_nested_inputs",
        "_nested_outputs",
        "_inbound_nodes",
        "_outbound_nodes",
        "_operations",
        "_nodes",
        "_operations_by_depth",
        "_nodes_by_depth",
        "_parent_path",
        "_auto_config",
        "_lock",
        "_build_shapes_dict",
        "_call_signature",
        "_path",
        "_inputs",
        "_outputs",
        "_inputs_struct",
        "_outputs_struct",
        "_saved_model_inputs_spec",
        "_parameters",
        "_buffers",
        "_modules",
        "_torch_params",
    }
)


def _things(value: Any, where: str, deep: int) -> Iterator[tuple[str, Any]]:
    """The layers and trainable variables in a value, by where they are."""
    if isinstance(value, keras.Layer):
        if not isinstance(value, keras.Model) or value.built:
            yield where, value
    elif isinstance(value, keras.Variable):
        if value.trainable:
            yield where, value
    elif isinstance(value, keras.optimizers.Optimizer | keras.Loss | keras.Metric | type | FunctionType | str):
        return
    elif deep and isinstance(value, dict):
        for key, each in value.items():
            yield from _things(each, f"{where}[{key!r}]", deep - 1)
    elif deep and isinstance(value, list | tuple | set):
        for number, each in enumerate(value):
            yield from _things(each, f"{where}[{number}]", deep - 1)
    elif deep and hasattr(value, "__dict__") and not type(value).__module__.startswith(("keras.", "numpy", "builtins")):
        for name, each in list(vars(value).items()):
            yield from _things(each, f"{where}.{name}", deep - 1)
