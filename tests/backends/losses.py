"""Losses called alone, with their gradient; what NumPy says they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from keras import ops

from tests.backends.models import BACKEND, host

Array = npt.NDArray[Any]


def close(expected: Any) -> Any:
    """Equal to float32's tolerance."""
    return pytest.approx(expected, rel=2e-5, abs=1e-6)


def value(loss: Any, *args: Any) -> float:
    """The reduced loss."""
    return float(host(loss(*(None if each is None else ops.convert_to_tensor(each) for each in args))))


def gradient(function: Callable[[Any], Any], at: Array) -> Array:
    """The gradient of a scalar function, by the backend."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        variable = tf.Variable(at)
        with tf.GradientTape() as tape:
            result = function(tf.convert_to_tensor(variable))
        return host(tape.gradient(result, variable))
    if BACKEND == "jax":
        import jax

        return host(jax.grad(function)(at))
    import torch

    leaf = torch.tensor(at, requires_grad=True)
    function(leaf).backward()
    assert leaf.grad is not None
    return host(leaf.grad)


def compiled(function: Callable[..., Any], jit: bool = True) -> Callable[..., Any]:
    """A function as the backend compiles it; op by op on torch."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        made: Callable[..., Any] = tf.function(function, jit_compile=jit)
        return made
    if BACKEND == "jax":
        import jax

        traced: Callable[..., Any] = jax.jit(function)
        return traced
    return function


def slope(function: Callable[[Array], float], at: Array, step: float = 1e-6) -> Array:
    """The gradient of a NumPy function by central differences, in float64."""
    found = np.zeros(at.shape)
    for index in np.ndindex(at.shape):
        shift = np.zeros(at.shape)
        shift[index] = step
        found[index] = (function(at + shift) - function(at - shift)) / (2 * step)
    return found
