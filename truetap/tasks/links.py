"""From logits to probabilities, without overflow: the inverse links of the scores."""

from __future__ import annotations

import numpy as np

from truetap.tasks.task import Array


def floating(array: Array) -> Array:
    """The array as float32 or float64: halves, bfloat16 and integers become float32."""
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def sigmoid(logits: Array) -> Array:
    """`1 / (1 + exp(-x))` element by element.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
    """
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1, small) / (1 + small))


def log_softmax(logits: Array) -> Array:
    """Logarithm of the softmax over the last axis; -inf logits stay -inf, NaN rows stay NaN."""
    with np.errstate(invalid="ignore"):  # inf - inf is NaN, as it is in Keras
        shifted = logits - logits.max(axis=-1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def softmax(logits: Array) -> Array:
    """`exp(x) / sum(exp(x))` over the last axis.

    Example:
        >>> softmax(np.array([[1000.0, 1000.0]]))
        array([[0.5, 0.5]])
    """
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
