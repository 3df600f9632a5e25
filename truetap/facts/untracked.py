"""Layers and weights that a model holds where Keras doesn't look for them.

Keras tracks layers and variables in attributes, and in lists, tuples and dicts that are attributes. Those inside
other objects, in functions (of `Lambda` layers too), in closures or in module globals that `call` reads, and those
that `call` makes anew, train with nobody: they are in no `trainable_variables`. Frozen ones are left out, since
nothing would train them anyway.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import keras

from truetap.backends.keras_private import inner_layers
from truetap.facts.reading_code import global_names, looked_up

__all__ = ["untracked"]

_DEEP = 3


def untracked(model: Any) -> tuple[str, ...]:
    """Names of what holds them, such as "MyModel.blocks[0].dense"; empty for a sound model."""
    known: set[int] = {id(variable) for variable in model.variables}
    layers = _all_layers(model)
    known |= {id(layer) for layer in layers}
    found: dict[int, str] = {}
    made: list[str] = []
    for holder in layers:
        own = not type(holder).__module__.startswith("keras.")
        if not own and not isinstance(holder, keras.layers.Lambda):
            continue
        name = type(holder).__name__ if own else str(holder.name)
        for attribute, value in _held(holder) if own else _read_by(holder.function):
            for where, thing in _things(value, attribute, _DEEP):
                if id(thing) not in known and _is_lost(thing, known):
                    found.setdefault(id(thing), f"{name}.{where}")
        function = getattr(type(holder), "call", None) if own else holder.function
        made += [f"{each} made in {name}.{'call' if own else 'function'}" for each in _made_in(function)]
    return (*found.values(), *made)


def _all_layers(model: Any) -> list[Any]:
    found: dict[int, Any] = {id(model): model}
    waiting = [model]
    while waiting:
        for layer in inner_layers(waiting.pop()):
            if id(layer) not in found:
                found[id(layer)] = layer
                waiting.append(layer)
    return list(found.values())


def _is_lost(thing: Any, known: set[int]) -> bool:
    """Whether something has weights to train that are not known; a layer that isn't built yet may have."""
    if not isinstance(thing, keras.Layer):
        return True
    if not thing.trainable:
        return False
    return not thing.built or any(id(variable) not in known for variable in thing.trainable_variables)


def _held(holder: Any) -> Iterator[tuple[str, Any]]:
    for name, value in list(vars(holder).items()):
        if name not in _OF_KERAS:
            yield name, value
    yield from _read_by(getattr(type(holder), "call", None))


def _read_by(function: Any) -> Iterator[tuple[str, Any]]:
    """What a function reads of closures, globals and defaults."""
    if not isinstance(function, FunctionType):
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # a cell that is still empty
            continue
    for name in global_names(function.__code__):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    for value in function.__defaults__ or ():
        yield "default", value


def _made_in(function: Any) -> list[str]:
    """The names of classes of layers with weights that a function calls: a new layer, and new weights, each time.

    A function that keeps what it makes (`self.dense = …`) or only asks for a class (`isinstance`) is let be.
    """
    if not isinstance(function, FunctionType) or "isinstance" in global_names(function.__code__):
        return []
    if any(each.opname == "STORE_ATTR" for each in dis.get_instructions(function)):
        return []
    classes = (value for value in looked_up(function) if isinstance(value, type) and issubclass(value, keras.Layer))
    return list(dict.fromkeys(each.__name__ for each in classes if each.__name__ in _WEIGHED))


_WEIGHED = frozenset(
    {
        "Dense",
        "EinsumDense",
        "Embedding",
        "Conv1D",
        "Conv2D",
        "Conv3D",
        "Conv2DTranspose",
        "DepthwiseConv2D",
        "SeparableConv2D",
        "LSTM",
        "GRU",
        "SimpleRNN",
        "BatchNormalization",
        "LayerNormalization",
        "MultiHeadAttention",
    }
)
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
    elif isinstance(value, keras.optimizers.Optimizer | keras.Loss | keras.Metric | type | ModuleType | str):
        return
    elif isinstance(value, MethodType):
        yield from _things(value.__self__, where, deep)
    elif isinstance(value, FunctionType):
        if deep and not str(value.__module__).startswith("keras."):
            for name, each in _read_by(value):
                yield from _things(each, f"{where}.{name}", deep - 1)
    elif isinstance(value, partial):
        for each in (value.func, *value.args, *value.keywords.values()):
            yield from _things(each, where, deep)
    elif deep and isinstance(value, dict):
        for key, each in list(value.items()):
            yield from _things(each, f"{where}[{key!r}]", deep - 1)
    elif deep and isinstance(value, list | tuple | set):
        for number, each in enumerate(list(value)):
            yield from _things(each, f"{where}[{number}]", deep - 1)
    elif deep and hasattr(value, "__dict__") and not type(value).__module__.startswith(("keras.", "numpy", "builtins")):
        for name, each in list(vars(value).items()):
            yield from _things(each, f"{where}.{name}", deep - 1)
