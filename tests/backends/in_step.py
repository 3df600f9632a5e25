"""Functions compiled as the backend at hand compiles a step, for tests of what runs inside one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

BACKEND = keras.backend.backend()


def _jax(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    jitted: Callable[..., Any] = jax.jit(function)
    return jitted


def _tensorflow(jit_compile: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    import tensorflow as tf

    return lambda function: tf.function(function, jit_compile=jit_compile, autograph=False)


def _unknown_batch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Traced with an unknown first axis, as Keras' `fit` does for arrays."""
    import tensorflow as tf

    traced: dict[Any, Callable[..., Any]] = {}

    def call(*tensors: Any) -> Any:
        signature = [tf.TensorSpec([None, *each.shape[1:]] if each.shape.rank else [], each.dtype) for each in tensors]
        key = str(signature)
        if key not in traced:
            traced[key] = tf.function(function, input_signature=signature, autograph=False)
        return traced[key](*tensors)

    return call


def _eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


WAYS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {"eager": _eager}
if BACKEND == "jax":
    WAYS["jit"] = _jax
if BACKEND == "tensorflow":
    WAYS |= {"xla": _tensorflow(True), "graph": _tensorflow(False), "unknown batch": _unknown_batch}


def tensor(values: np.ndarray[Any, Any]) -> Any:
    """The values as a tensor of their own dtype: `keras.ops.convert_to_tensor` may change it."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.constant(values)
    if BACKEND == "jax":
        import jax.numpy as jnp

        return jnp.asarray(values)
    import torch

    if values.dtype.name == "bfloat16":
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def fetched(results: dict[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Results of a step on the host."""
    return {name: keras.ops.convert_to_numpy(value) for name, value in results.items()}
