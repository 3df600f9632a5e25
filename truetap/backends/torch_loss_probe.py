"""torch: a loss is watched while it runs; its operations are those that reach the dispatcher."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import keras
import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from truetap.backends.loss_probe import Array, OpGraph, OpNode

_WORDS = {
    "round": "round",
    "floor": "floor",
    "floor_divide": "floor",
    "ceil": "ceil",
    "trunc": "trunc",
    "sign": "sign",
    "sgn": "sign",
    "detach": "stop_gradient",
    "argmax": "argmax",
    "argmin": "argmin",
    "sort": "argsort",
    "topk": "argsort",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "masked_select": "nonzero",
}
_ASK_FOR_VALUES = {
    "__bool__": "bool()",
    "__float__": "float()",
    "__int__": "int()",
    "__index__": "int()",
    "__array__": "NumPy",
    "numpy": "NumPy",
    "item": "item()",
    "tolist": "tolist()",
}


class TorchLossProbe:
    """See `truetap.backends.loss_probe.LossProbe`."""

    def fast(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def differentiated(
        self, function: Callable[[Any, Any], Any]
    ) -> Callable[[Array, Array], tuple[float, Array | None]]:
        def both(y_true: Array, y_pred: Array) -> tuple[float, Array | None]:
            outputs = _leaf(y_pred)
            with torch.enable_grad():
                value = function(y_true, outputs)
                if not value.requires_grad:
                    return float(value), None
                (slope,) = torch.autograd.grad(value, outputs, allow_unused=True)
            return float(value.detach()), None if slope is None else slope.cpu().numpy()

        return both

    def graph(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> OpGraph:
        first, second = _leaf(y_true), _leaf(y_pred)
        operations = _Operations(first, second)
        asked = _Asked(operations)
        with torch.enable_grad(), asked, operations:
            result = function(first, second)
        place = operations.numbers.get(id(result)) if isinstance(result, torch.Tensor) else None
        floating = frozenset(operations.numbers[id(each)] for each in operations.alive if each.is_floating_point())
        return OpGraph(tuple(operations.nodes), 0, 1, place, floating, asked.words())

    def traced_with_unknown_batch(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> bool:
        return False

    def took_value(self, error: Exception) -> bool:
        return isinstance(error, RuntimeError) and "call numpy() on Tensor that requires grad" in str(error)

    def wanted_values_for_shape(self, error: Exception) -> bool:
        return False  # shapes are those of the values


class _Operations(TorchDispatchMode):  # type: ignore[misc]
    """Numbers the tensors, and notes which operation makes which of which."""

    def __init__(self, y_true: Any, y_pred: Any) -> None:
        super().__init__()
        self.alive: list[Any] = []  # a tensor that is gone would leave its id to another
        self.numbers: dict[int, int] = {}
        self.nodes: list[OpNode] = []
        for each in (y_true, y_pred):
            self._number(each)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs, outputs = _tensors((args, kwargs)), _tensors(result)
        numbered = tuple(map(self._number, inputs))
        self.nodes.append(OpNode(_word(func, inputs, outputs), numbered, tuple(map(self._number, outputs))))
        return result

    def _number(self, tensor: Any) -> int:
        if id(tensor) not in self.numbers:
            self.numbers[id(tensor)] = len(self.alive)
            self.alive.append(tensor)
        return self.numbers[id(tensor)]


class _Asked(TorchFunctionMode):  # type: ignore[misc]
    """Notes where the loss asks for the value of a tensor that is computed from its arguments."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations
        self._found: list[tuple[str, int]] = []

    def words(self) -> tuple[str, ...]:
        computed = {0, 1}
        for node in self._operations.nodes:
            if computed.intersection(node.inputs):
                computed.update(node.outputs)
        return tuple(dict.fromkeys(word for word, number in self._found if number in computed))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        word = _ASK_FOR_VALUES.get(getattr(func, "__name__", ""))
        if word is not None and not _keras_asks():
            numbers = self._operations.numbers
            self._found += [(word, numbers[id(each)]) for each in _tensors(args) if id(each) in numbers]
        return func(*args, **(kwargs or {}))


def _keras_asks() -> bool:
    """Whether Keras asks on its own account: it reads conditions (`ops.cond`) op by op.

    What it does for `ops.convert_to_numpy` is asked by whoever called that.
    """
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _package(frame) in ("torch", "numpy"):
        frame = frame.f_back
    keras_frames = []
    while frame is not None and _package(frame) == "keras":
        keras_frames.append(frame.f_code.co_name)
        frame = frame.f_back
    return bool(keras_frames) and "convert_to_numpy" not in keras_frames


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).split(".")[0]


def _tensors(nested: Any) -> list[Any]:
    return [each for each in torch.utils._pytree.tree_leaves(nested) if isinstance(each, torch.Tensor)]


def _leaf(array: Array) -> Any:
    tensor = keras.ops.convert_to_tensor(np.array(array))
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def _word(function: Any, inputs: list[Any], outputs: list[Any]) -> str:
    name = function._schema.name.split("::")[-1].rstrip("_")
    if name == "index" and any(each.dtype == torch.bool for each in inputs[1:]):
        return "nonzero"
    if name == "_to_copy":
        return f"cast to {str(outputs[0].dtype).removeprefix('torch.')}"
    return _WORDS.get(str(name), str(name))


PROBE = TorchLossProbe()
