"""A training step of each backend, written by hand: what the recorder's values are held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from tests.backends.models import BACKEND, host

Array = npt.NDArray[Any]
Loss = Callable[[Any, Any], Any]  # one value per sample
Step = Callable[[Any, Array], Any]  # outputs, losses of samples, gradients


class Seen(NamedTuple):
    """What one step computed before its weights changed."""

    y_pred: Array
    loss: Array
    layers: dict[str, Array]
    gradients: list[Array]


class ByHand:
    """Gradient descent on the mean of a loss, for a functional model; no `fit`, no optimizer of Keras.

    Args:
        model: The model, whose weights and seeds change as those of a real training.
        loss: The loss of each sample.
        layers: Names of the layers whose outputs are wanted.
        rate: The learning rate.
    """

    def __init__(self, model: Any, loss: Loss, layers: list[str], rate: float) -> None:
        outputs = [model.get_layer(name).output for name in layers] + [model.output]
        self._model = keras.Model(model.input, outputs)  # the same layers: one pass gives all
        self._names, self._rate = layers, rate
        self._step = _STEPS[BACKEND](self._model, loss)

    def step(self, x: Array, y: Array) -> Seen:
        """One step; the weights after it are those of the model."""
        outputs, loss, gradients = self._step(ops.convert_to_tensor(x), y)
        seen = [host(value) for value in outputs]
        found = Seen(seen[-1], host(loss), dict(zip(self._names, seen, strict=False)), [host(g) for g in gradients])
        for variable, gradient in zip(self._model.trainable_variables, found.gradients, strict=True):
            variable.assign(host(variable.value) - np.float32(self._rate) * gradient)
        return found


def _tensorflow(model: Any, loss: Loss) -> Step:
    import tensorflow as tf

    def step(x: Any, y: Array) -> Any:
        with tf.GradientTape() as tape:
            outputs = model(x, training=True)
            each = loss(y, outputs[-1])
            total = tf.reduce_mean(each)
        return outputs, each, tape.gradient(total, [variable.value for variable in model.trainable_variables])

    return step


def _jax(model: Any, loss: Loss) -> Step:
    import jax

    def total(trained: Any, others: Any, x: Any, y: Any) -> Any:
        outputs, after = model.stateless_call(trained, others, x, training=True)
        each = loss(y, outputs[-1])
        return each.mean(), (outputs, each, after)

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))

    def step(x: Any, y: Array) -> Any:
        groups = ([each.value for each in part] for part in (model.trainable_variables, model.non_trainable_variables))
        (_, (outputs, each, after)), gradients = compiled(*groups, x, y)
        for variable, value in zip(model.non_trainable_variables, after, strict=True):
            variable.assign(value)
        return outputs, each, gradients

    return step


def _torch(model: Any, loss: Loss) -> Step:
    import torch

    def step(x: Any, y: Array) -> Any:
        values = [variable.value for variable in model.trainable_variables]
        outputs = model(x, training=True)
        each = loss(y, outputs[-1])
        gradients = torch.autograd.grad(each.mean(), values)
        return [value.detach() for value in outputs], each.detach(), gradients

    return step


_STEPS: dict[str, Callable[[Any, Loss], Step]] = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
