"""TensorFlow: a loss is traced by `tf.function`; its operations are those of the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from truetap.backends.loss_probe import Array, OpGraph, OpNode

_WORDS = {
    "Round": "round",
    "Rint": "round",
    "Floor": "floor",
    "FloorDiv": "floor",
    "Ceil": "ceil",
    "Sign": "sign",
    "StopGradient": "stop_gradient",
    "PreventGradient": "stop_gradient",
    "ArgMax": "argmax",
    "ArgMin": "argmin",
    "TopKV2": "argsort",
    "Equal": "equal",
    "NotEqual": "not_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "IsNan": "isnan",
}


class TensorFlowLossProbe:
    """See `truetap.backends.loss_probe.LossProbe`."""

    def fast(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def differentiated(
        self, function: Callable[[Any, Any], Any]
    ) -> Callable[[Array, Array], tuple[float, Array | None]]:
        def both(y_true: Array, y_pred: Array) -> tuple[float, Array | None]:
            outputs = tf.convert_to_tensor(y_pred)
            with tf.GradientTape() as tape:
                tape.watch(outputs)
                value = function(y_true, outputs)
            slope = tape.gradient(value, outputs)
            return float(value), None if slope is None else np.asarray(tf.convert_to_tensor(slope))

        return both

    def graph(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> OpGraph:
        concrete = _traced(function, _spec(y_true), _spec(y_pred))
        numbers: dict[Any, int] = {}
        floating = set()

        def number(tensor: Any) -> int:
            place = numbers.setdefault(tensor.ref(), len(numbers))
            if tensor.dtype.is_floating:
                floating.add(place)
            return place

        first, second = (number(tensor) for tensor in concrete.inputs[:2])
        nodes = tuple(
            OpNode(_word(each), tuple(map(number, each.inputs)), tuple(map(number, each.outputs)))
            for each in concrete.graph.get_operations()
            if each.inputs
        )
        result = number(concrete.outputs[0]) if concrete.outputs else None
        return OpGraph(nodes, first, second, result, frozenset(floating))

    def traced_with_unknown_batch(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> bool:
        _traced(function, *(tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in (y_true, y_pred)))
        return True

    def took_value(self, error: Exception) -> bool:
        if isinstance(error, NotImplementedError):
            return "numpy array" in str(error)
        names = ("SymbolicTensor", "symbolic `tf.Tensor`", "symbolic tf.Tensor")
        return isinstance(error, TypeError | AttributeError) and any(name in str(error) for name in names)

    def wanted_values_for_shape(self, error: Exception) -> bool:
        return False  # shapes may be unknown in a graph


def _spec(array: Array) -> Any:
    return tf.TensorSpec(array.shape, array.dtype)


def _traced(function: Callable[[Any, Any], Any], *specs: Any) -> Any:
    plain = tf.autograph.experimental.do_not_convert(lambda y_true, y_pred: function(y_true, y_pred))
    return tf.function(plain).get_concrete_function(*specs)  # autograph doesn't reach a loss in Keras' step either


def _word(operation: Any) -> str:
    if operation.type == "Cast":
        return f"cast to {operation.outputs[0].dtype.name}"
    if operation.type == "Where":  # of one argument: where it is true
        return "nonzero"
    return _WORDS.get(str(operation.type), str(operation.type))


PROBE = TensorFlowLossProbe()
