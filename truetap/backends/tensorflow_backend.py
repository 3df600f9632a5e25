"""TensorFlow: a step is a `tf.function`, compiled by XLA when the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from truetap.backends.protocol import Array, Step
from truetap.backends.tensorflow_in_step import TensorFlowInStep
from truetap.structure import flatten, map_leaves, skeleton, unflatten


class TensorFlowRunner:
    """A `tf.function` over the step; models that run eagerly run it as it is.

    The function takes flat tensors, and the concrete function of each shape is called directly: for a
    small model, working out the type of a nested argument costs more than the step.
    """

    def __init__(self, model: Any, step: Step) -> None:
        self._step = step
        self._eager = bool(model.run_eagerly)
        self._jit = bool(model.jit_compile)
        self._function: Any = None
        self._concrete: dict[tuple[Any, ...], Any] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._eager:
            return self._step(map_leaves(_to_tensor, batch))
        flat = {path: _to_tensor(leaf) for path, leaf in flatten(batch).items() if leaf is not None}
        tensors = tuple(flat.values())
        if self._function is None:
            self._function = self._over(skeleton(batch), tuple(flat))
        if any(isinstance(tensor, tf.RaggedTensor | tf.SparseTensor) for tensor in tensors):
            return dict(self._function(*tensors))
        key = tuple((tuple(tensor.shape), tensor.dtype) for tensor in tensors)
        concrete = self._concrete.get(key)
        if concrete is None:
            concrete = self._concrete[key] = self._function.get_concrete_function(*tensors)
        return dict(concrete(*tensors))

    def _over(self, shape: Any, paths: tuple[str, ...]) -> Any:
        """The step as a function of flat tensors; a runner sees batches of one structure only."""

        def of_tensors(*tensors: Any) -> dict[str, Any]:
            return self._step(unflatten(shape, dict(zip(paths, tensors, strict=True))))

        plain = tf.autograph.experimental.do_not_convert(of_tensors)
        return tf.function(plain, reduce_retracing=True, jit_compile=self._jit)

    def close(self) -> None:
        """Nothing was changed."""


def _to_tensor(leaf: Any) -> Any:
    return leaf if leaf is None or _is_native(leaf) else tf.convert_to_tensor(leaf)


def _is_native(value: Any) -> bool:
    kind = type(value)
    known = _NATIVE.get(kind)
    if known is None:  # remembered by type: TensorFlow makes asking expensive
        known = _NATIVE[kind] = issubclass(kind, tf.Tensor | tf.RaggedTensor | tf.SparseTensor)
    return known


_NATIVE: dict[type[Any], bool] = {}


class TensorFlowBackend(TensorFlowInStep):
    """See `truetap.backends.protocol.Backend`."""

    name = "tensorflow"
    mutable = False
    compiles = True

    def is_native(self, value: Any) -> bool:
        return _is_native(value)

    def compile(self, model: Any, step: Step) -> TensorFlowRunner:
        return TensorFlowRunner(model, step)

    def predict_step(self, model: Any, x: Any) -> Any:
        return model.predict_step((x,))

    def dense(self, value: Any) -> tuple[Any, Any]:
        if isinstance(value, tf.IndexedSlices):
            return tf.convert_to_tensor(value), None
        if not isinstance(value, tf.RaggedTensor):
            return value, None
        padded = value.to_tensor()
        return padded, tf.sequence_mask(value.row_lengths(), tf.shape(padded)[1])

    def escaped(self, error: Exception) -> bool:
        return type(error).__name__ == "InaccessibleTensorError"  # not public by name; TF 2.21

    def fetch(self, results: Mapping[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(value) for name, value in results.items()}


BACKEND = TensorFlowBackend()
