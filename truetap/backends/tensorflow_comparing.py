"""TensorFlow: the state is the model's, gradients come from a tape.

Dropout under XLA draws other numbers than elsewhere. So the steps can run under XLA too, for a loop
that does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from truetap.backends.comparing import called_with


class TensorFlowComparing:
    """See `truetap.backends.comparing.Comparing`."""

    most_gradients = 40

    @property
    def other(self) -> TensorFlowComparing | None:
        return UnderXla()

    def fit_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        return step(batch)

    def loop_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        return step(*called_with(step, [batch, (batch,), batch[:2]], "loop_step(*batch) or loop_step(batch)"))

    def forward(self, model: Any, compute: Callable[[], list[Any]]) -> list[Any]:
        return compute()

    def gradients(self, model: Any, compute: Callable[[], Any]) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = compute()
        return list(tape.gradient(loss, [variable.value for variable in model.trainable_variables]))

    def apply(self, model: Any, gradients: Sequence[Any]) -> None:
        model.optimizer.apply(gradients, model.trainable_variables)

    def concrete(self, value: Any) -> bool:
        parts = (value.values,) if isinstance(value, tf.IndexedSlices) else (value,)
        return all(not tf.is_symbolic_tensor(part) for part in parts)

    def left_gradients(self, model: Any) -> list[Any] | None:
        return None

    def remember(self, model: Any) -> Callable[[], None]:
        return _nothing


class UnderXla(TensorFlowComparing):
    """The same, compiled by XLA; a loop runs as its author compiled it."""

    most_gradients = 4  # each is compiled

    @property
    def other(self) -> TensorFlowComparing | None:
        return None

    def fit_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        return tf.function(lambda: step(batch), jit_compile=True)()

    def forward(self, model: Any, compute: Callable[[], list[Any]]) -> list[Any]:
        return list(tf.function(compute, jit_compile=True)())

    def gradients(self, model: Any, compute: Callable[[], Any]) -> list[Any]:
        plain = super().gradients
        return list(tf.function(lambda: plain(model, compute), jit_compile=True)())


def _nothing() -> None:
    """What a step changes are variables; the random state that a TensorFlow kernel holds can't be put back."""


COMPARING = TensorFlowComparing()
