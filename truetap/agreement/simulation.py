"""Steps of `fit` with mistakes made on purpose: their losses, gradients and updates.

Losses of all variants come from one forward pass per mode; gradients are computed only for the
variants that are asked for, and kept.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.agreement.forward import Forward, forward, forward_with_values, takes_training
from truetap.agreement.outcome import Values
from truetap.agreement.state import State
from truetap.agreement.variant import Variant, data_loss, facts_of, weights_sum
from truetap.backends.comparing import Comparing, as_array
from truetap.observe import replaced

__all__ = ["Gradients", "Simulation", "optimizers"]

Array = npt.NDArray[Any]
Gradients = list[Array]


class Simulation:
    """A model's step on one batch, to be varied.

    Args:
        model: The compiled model.
        batch: As tensors.
        before: The state that every step starts from.
        steps: The backend's steps.

    Attributes:
        takes_training: Whether the model's call has a mode.
        loss_scale: What the optimizer multiplies losses with, under mixed precision; else 1.
        extras: How many losses `model.losses` has.
        calls: What is known of each call of a compiled loss; empty if the loss isn't the sum of its parts, as where
            `compute_loss` is the model's own.
        weights_sums: The sums of the sample weights over each.
    """

    def __init__(self, model: Any, batch: tuple[Any, ...], before: State, steps: Comparing) -> None:
        self._model = model
        self._batch = batch
        self._before = before
        self._steps = steps
        self._passes: dict[bool, Forward] = {}
        self._losses: dict[Variant, float] = {}
        self._data: dict[Variant, Gradients] = {}
        self._extra: dict[bool, Gradients] = {}
        self.takes_training = takes_training(model)
        self.loss_scale = float(as_array(model.optimizer.scale_loss(ops.ones(()))))
        self.extras = self._pass(True).extras
        self._whole = self._is_whole()
        calls = (self._pass(True).calls or []) if self._whole else []
        self.calls = [facts_of(call) for call in calls]
        self.weights_sums = {float(as_array(weights_sum(call))) for call in calls} - {0.0}

    @property
    def mode_matters(self) -> bool:
        """Whether the loss in training mode is another than in inference mode."""
        return self.takes_training and self.loss(Variant()) != self.loss(Variant(training=False))

    def loss(self, variant: Variant) -> float:
        """The loss of a step."""
        return sum(self.parts(variant))

    def parts(self, variant: Variant) -> tuple[float, float]:
        """The loss of a step on the data, and the sum of `model.losses` in it."""
        found = self._pass(variant.training)
        if variant not in self._losses:
            self._losses[variant] = float(as_array(self._of_data(found, variant)))
        return self._losses[variant], float(as_array(found.extra)) if variant.extra else 0.0

    def gradients(self, variant: Variant, scale: float = 1.0) -> Gradients:
        """Gradients of `scale` times the loss on the data, plus `model.losses`; zeros where there are none."""
        if variant not in self._data:
            self._data[variant] = self._gradients(lambda: self._of_data(self._forward(variant.training), variant))
        data = self._data[variant]
        if not variant.extra or not self.extras:
            return [scale * each for each in data]
        if variant.training not in self._extra:
            self._extra[variant.training] = self._gradients(lambda: self._forward(variant.training).extra)
        return [scale * one + other for one, other in zip(data, self._extra[variant.training], strict=True)]

    def affords(self, variant: Variant) -> bool:
        """Whether the gradients of a step may be computed: they are known, or not too many are."""
        return variant in self._data or len(self._data) < self._steps.most_gradients

    def after(self, gradients: Gradients, without: tuple[str, ...] = ()) -> Values:
        """The model after an update with these gradients.

        Args:
            gradients: By trainable variable, without the loss scale.
            without: Attributes of the optimizer to be None meanwhile, such as "clipnorm".
        """
        model = self._model
        scaled = [
            ops.convert_to_tensor((each * self.loss_scale).astype("float32"), dtype=variable.dtype)
            for each, variable in zip(gradients, model.trainable_variables, strict=True)
        ]
        try:
            with ExitStack() as stack:
                for optimizer in optimizers(model):
                    stack.enter_context(replaced(optimizer, **dict.fromkeys(without)))
                self._steps.apply(model, scaled)
            return Values.of(model)
        finally:
            self._before.restore()

    def _is_whole(self) -> bool:
        """Whether the parts of the loss make up the loss."""
        found = self._pass(True)
        if not found.calls:
            return False
        try:
            parts = float(as_array(data_loss(found.calls, Variant()))) + float(as_array(found.extra))
        except ValueError:  # weights that don't lie over the values
            return False
        return bool(np.isclose(parts, float(as_array(found.total)), rtol=1e-4, atol=1e-9))

    def _of_data(self, found: Forward, variant: Variant) -> Any:
        return data_loss(found.calls, variant) if self._whole and found.calls else found.total - found.extra

    def _forward(self, training: bool) -> Forward:
        return forward(self._model, self._batch, training=training)

    def _pass(self, training: bool) -> Forward:
        """The forward pass in a mode, made once."""
        if training not in self._passes:
            try:
                made = forward_with_values(self._model, self._batch, self._steps, training=training)
            finally:
                self._before.restore()
            self._passes[training] = made
        return self._passes[training]

    def _gradients(self, compute: Callable[[], Any]) -> Gradients:
        model = self._model
        try:
            found = self._steps.gradients(model, lambda: model.optimizer.scale_loss(compute()))
        finally:
            self._before.restore()
        return [
            np.zeros(tuple(variable.shape)) if each is None else as_array(each) / self.loss_scale
            for each, variable in zip(found, model.trainable_variables, strict=True)
        ]


def optimizers(model: Any) -> list[Any]:
    """The model's optimizer, and the one inside it under mixed precision."""
    inner = getattr(model.optimizer, "inner_optimizer", None)
    return [model.optimizer] if inner is None else [model.optimizer, inner]
