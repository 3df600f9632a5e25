"""TensorFlow: a step is a `tf.function`, compiled by XLA when the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from truetap.backends.protocol import Array, Step
from truetap.structure import map_leaves


class TensorFlowRunner:
    """A `tf.function` over the step; `run_eagerly` models run it as it is."""

    def __init__(self, model: Any, step: Step) -> None:
        self._run = step
        if not model.run_eagerly:
            plain = tf.autograph.experimental.do_not_convert(step)
            self._run = tf.function(plain, reduce_retracing=True, jit_compile=bool(model.jit_compile))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return dict(self._run(map_leaves(_to_tensor, batch)))

    def close(self) -> None:
        """Nothing was changed."""


def _to_tensor(leaf: Any) -> Any:
    if leaf is None or isinstance(leaf, tf.Tensor | tf.RaggedTensor | tf.SparseTensor):
        return leaf
    return tf.convert_to_tensor(leaf)


class TensorFlowBackend:
    """See `truetap.backends.protocol.Backend`."""

    name = "tensorflow"

    def is_native(self, value: Any) -> bool:
        return isinstance(value, tf.Tensor | tf.RaggedTensor | tf.SparseTensor)

    def compile(self, model: Any, step: Step) -> TensorFlowRunner:
        return TensorFlowRunner(model, step)

    def predict_step(self, model: Any, x: Any) -> Any:
        return model.predict_step((x,))

    def dense(self, value: Any) -> tuple[Any, Any]:
        if not isinstance(value, tf.RaggedTensor):
            return value, None
        padded = value.to_tensor()
        return padded, tf.sequence_mask(value.row_lengths(), tf.shape(padded)[1])

    def fetch(self, results: Mapping[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(value) for name, value in results.items()}


BACKEND = TensorFlowBackend()
