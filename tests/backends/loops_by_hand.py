"""Training loops as users write them, one per backend, with the places in which they go wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

BACKEND = keras.backend.backend()

# (model, x, y, sample_weight) to the loss; runs the model itself.
LossOf = Callable[[Any, Any, Any, Any], Any]


@dataclass
class Hand:
    """A loop by hand.

    Attributes:
        model: The model.
        loss_of: Computes what is differentiated.
        reports: Makes what the step returns of the loss; on JAX beside the state.
        gradients: Changes the gradients before they are applied.
        times: How often they are applied.
        optimizer: In the place of the model's own.
        only: Which trainable variables are trained: all, or those for which it is true.
        keeps_state: Whether the state other than weights is carried on (JAX).
        compiled: Whether the step is compiled: "", "graph" or "xla" (TensorFlow; both mean jit on JAX).
    """

    model: Any
    loss_of: LossOf
    reports: Callable[[Any, Any, Any, Any, Any], Any] = lambda loss, model, x, y, w: loss
    gradients: Callable[[list[Any]], list[Any]] = list
    times: int = 1
    optimizer: Any = None
    only: Callable[[Any], bool] = lambda variable: True
    keeps_state: bool = True
    compiled: str = ""

    def step(self) -> Callable[..., Any]:
        """The loop's step in the form of this backend."""
        if self.optimizer is not None:
            self.optimizer.build(self.model.trainable_variables)
        return {"tensorflow": self._tensorflow, "torch": self._torch, "jax": self._jax}[BACKEND]()

    def _apply(self, gradients: list[Any], variables: list[Any]) -> None:
        optimizer = self.model.optimizer if self.optimizer is None else self.optimizer
        for _ in range(self.times):
            optimizer.apply(gradients, variables)

    def _tensorflow(self) -> Callable[..., Any]:
        import tensorflow as tf

        def step(x: Any, y: Any, w: Any = None) -> Any:
            variables = [each for each in self.model.trainable_variables if self.only(each)]
            with tf.GradientTape() as tape:
                loss = self.loss_of(self.model, x, y, w)
                reported = self.reports(loss, self.model, x, y, w)
                scaled = self.model.optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, [each.value for each in variables])
            self._apply(self.gradients(gradients), variables)
            return reported

        return tf.function(step, jit_compile=self.compiled == "xla") if self.compiled else step

    def _torch(self) -> Callable[..., Any]:
        import torch

        def step(x: Any, y: Any, w: Any = None) -> Any:
            variables = [each for each in self.model.trainable_variables if self.only(each)]
            self.model.zero_grad()
            loss = self.loss_of(self.model, x, y, w)
            reported = self.reports(loss, self.model, x, y, w)
            self.model.optimizer.scale_loss(loss).backward()
            with torch.no_grad():
                self._apply(self.gradients([each.value.grad for each in variables]), variables)
            return reported

        return step

    def _jax(self) -> Callable[..., Any]:
        import jax

        model = self.model
        optimizer = model.optimizer if self.optimizer is None else self.optimizer

        def step(state: Any, batch: Any) -> Any:
            trainable, others, slots = state
            x, y, w = batch if len(batch) == 3 else (*batch, None)

            def loss_and_state(values: Any) -> Any:
                mapping = [*zip(model.trainable_variables, values, strict=True)]
                mapping += zip(model.non_trainable_variables, others, strict=True)
                mapping += zip(model.optimizer.variables, slots, strict=True)
                with keras.StatelessScope(mapping, collect_losses=True) as scope:
                    loss = self.loss_of(model, x, y, w)
                    reported = self.reports(loss, model, x, y, w)
                    scaled = model.optimizer.scale_loss(loss)
                after = [scope.get_current_value(each) for each in model.non_trainable_variables]
                return scaled, (reported, after)

            (_, (reported, after)), gradients = jax.value_and_grad(loss_and_state, has_aux=True)(trainable)
            gradients = self.gradients(gradients)
            own = slots if self.optimizer is None else [each.value for each in optimizer.variables]
            new = trainable
            for _ in range(self.times):
                new, own = optimizer.stateless_apply(own, gradients, new)
            kept = zip(model.trainable_variables, trainable, new, strict=True)
            new = [after_ if self.only(variable) else before for variable, before, after_ in kept]
            return reported, (new, after if self.keeps_state else others, own if self.optimizer is None else slots)

        return jax.jit(step) if self.compiled else step


def squared(y: Any, y_pred: Any) -> Any:
    """Squared errors of (n,) labels and (n, 1) outputs."""
    return ops.square(ops.reshape(y_pred, (-1,)) - ops.reshape(y, (-1,)))


def weighted(w: Any) -> Any:
    return 1.0 if w is None else w


def right(model: Any, x: Any, y: Any, w: Any) -> Any:
    """What `fit` minimises with a mean squared error."""
    return ops.mean(squared(y, model(x, training=True)) * weighted(w)) + sum(model.losses)
