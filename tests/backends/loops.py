"""Training loops written by hand, as a user writes them on each backend: eager, and in a compiled function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

import truetap as tt
from tests.backends.models import BACKEND, host

Array = npt.NDArray[Any]
Batch = tuple[Array, Array, Array]  # x, y of shape (n, 1), weights of shape (n,)
Loss = Callable[[Any, Any], Any]  # one value per sample

# torch has no compiled function of the user's own here: torch.compile needs a C compiler
WAYS = {"tensorflow": ["eager", "compiled"], "jax": ["eager", "compiled"], "torch": ["eager"]}[BACKEND]


def squared(y: Any, y_pred: Any) -> Any:
    """The squared error of each sample."""
    return ops.mean(ops.square(ops.subtract(y, y_pred)), axis=-1)


class HandWritten:
    """A loop over batches; the model's variables hold the values when `train` returns.

    Args:
        model: A built model, compiled with a Keras optimizer that is built.
        recorder: Records it.
        way: "eager" or "compiled".
        loss: The loss of each sample.
        epochs: Whether each step is told its epoch; else `recorder.begin_epoch()` tells it.
    """

    def __init__(
        self, model: Any, recorder: tt.Recorder, way: str = "eager", loss: Loss = squared, *, epochs: bool = True
    ) -> None:
        self.model, self.recorder, self.loss = model, recorder, loss
        self.traces = 0
        self._told = epochs
        self._train = _LOOPS[BACKEND](self, way == "compiled")

    def train(self, batches: Callable[[], Iterable[Batch]], epochs: int) -> None:
        """Trains for some epochs."""
        for epoch in range(epochs):
            if epoch and not self._told:
                self.recorder.begin_epoch()
            self._train(epoch if self._told else None, batches())

    def log(self, step: Any, y: Any, losses: Any, weights: Any, total: Any) -> None:
        """What the loop says of a step."""
        step.log(y_true=y, loss=losses, sample_weight=weights, total_loss=total)

    def total(self, losses: Any, weights: Any, others: Any) -> Any:
        """What is minimised."""
        return ops.mean(losses * weights) + sum(others)


Train = Callable[[Any, Iterable[Batch]], None]


def _tensorflow(loop: HandWritten, compiled: bool) -> Train:
    import tensorflow as tf

    def step(epoch: Any, x: Any, y: Any, weights: Any) -> None:
        loop.traces += 1
        model = loop.model
        with loop.recorder.step(model, epoch=epoch) as said:
            with tf.GradientTape() as tape:
                losses = loop.loss(y, model(x, training=True))
                total = loop.total(losses, weights, model.losses)
            variables = model.trainable_variables
            model.optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
            loop.log(said, y, losses, weights, total)

    function = tf.function(step, reduce_retracing=True) if compiled else step

    def train(epoch: Any, batches: Iterable[Batch]) -> None:
        number = tf.constant(epoch) if compiled and epoch is not None else epoch
        for batch in batches:
            function(number, *map(tf.constant, batch))

    return train


def _torch(loop: HandWritten, compiled: bool) -> Train:
    import torch

    def train(epoch: Any, batches: Iterable[Batch]) -> None:
        model = loop.model
        for batch in batches:
            x, y, weights = map(torch.as_tensor, batch)
            loop.traces += 1
            with loop.recorder.step(model, epoch=epoch) as said:
                model.zero_grad()
                losses = loop.loss(y, model(x, training=True))
                total = loop.total(losses, weights, model.losses)
                total.backward()
                variables = model.trainable_variables
                with torch.no_grad():
                    model.optimizer.apply([variable.value.grad for variable in variables], variables)
                loop.log(said, y, losses, weights, total)

    return train


def _jax(loop: HandWritten, compiled: bool) -> Train:
    import jax

    def step(state: Any, epoch: Any, x: Any, y: Any, weights: Any) -> Any:
        loop.traces += 1
        model = loop.model
        with loop.recorder.step(model, epoch=epoch) as said:
            trainable, others, optimizer = state

            def loss(trainable: Any) -> Any:
                y_pred, new, extra = model.stateless_call(trainable, others, x, training=True, return_losses=True)
                losses = loop.loss(y, y_pred)
                return loop.total(losses, weights, extra), (losses, new)

            (total, (losses, others)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
            trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
            loop.log(said, y, losses, weights, total)
        return trainable, others, optimizer

    function = jax.jit(step) if compiled else step

    def train(epoch: Any, batches: Iterable[Batch]) -> None:
        model = loop.model
        groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
        state: Any = tuple([variable.value for variable in group] for group in groups)
        for batch in batches:
            state = function(state, epoch, *map(jax.numpy.asarray, batch))
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

    return train


_LOOPS = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def weights_of(model: Any) -> list[Array]:
    """Copies of all variables."""
    return [np.array(host(variable.value)) for variable in [*model.variables, *model.optimizer.variables]]
