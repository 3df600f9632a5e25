"""JAX: a step is a function of its state, in the form of Keras' guide to custom training loops.

The user's step may be jitted and may donate its arguments: it is given copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras

from truetap.backends.comparing import called_with, is_train_step
from truetap.backends.keras_private import shardings_known
from truetap.errors import LossError

_STATE = "(trainable_variables, non_trainable_variables, optimizer_variables[, metrics_variables])"


class JaxComparing:
    """See `truetap.backends.comparing.Comparing`."""

    other = None
    most_gradients = 40

    def fit_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        with shardings_known(model):
            logs, state = step(_values(_state(model)), batch)
        _assign(_state(model), state)
        return logs

    def loop_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        returned = _returned(model, step, batch)
        pair = isinstance(returned, tuple | list) and len(returned) == 2 and isinstance(returned[1], tuple | list)
        if not pair or not 2 <= len(returned[1]) <= 4:
            raise LossError(
                f"The loop's step returned {_said(returned)}. Expected: (loss, state), state being {_STATE}."
            )
        result, state = returned
        variables = _state(model)
        for name, own, given in zip(("trainable_variables", "non_trainable_variables"), variables, state, strict=False):
            _check(name, own, given)
        own_optimizer = len(state) > 2 and not _fits(variables[2], state[2])  # such as a state of optax
        kept = 2 if own_optimizer else len(state)
        _assign(variables[:kept], state[:kept])
        return result

    def forward(self, model: Any, compute: Callable[[], list[Any]]) -> list[Any]:
        with _scope(model, [variable.value for variable in model.trainable_variables]):
            return compute()

    def gradients(self, model: Any, compute: Callable[[], Any]) -> list[Any]:
        def of_values(values: list[Any]) -> Any:
            with _scope(model, values):
                return compute()

        return list(jax.grad(of_values)([variable.value for variable in model.trainable_variables]))

    def apply(self, model: Any, gradients: Sequence[Any]) -> None:
        trainable, _, optimizer, _ = _state(model)
        state = _values((optimizer, trainable))
        updated = model.optimizer.stateless_apply(state[0], list(gradients), state[1])
        _assign((trainable, optimizer), updated)

    def concrete(self, value: Any) -> bool:
        return not isinstance(value, jax.core.Tracer)

    def left_gradients(self, model: Any) -> list[Any] | None:
        return None

    def remember(self, model: Any) -> Callable[[], None]:
        return _nothing


def _nothing() -> None:
    """All that a step changes is its state."""


def _scope(model: Any, values: list[Any]) -> Any:
    """A forward pass with these trainable values; regularisers see only what is mapped."""
    return keras.StatelessScope(list(zip(model.trainable_variables, values, strict=True)), collect_losses=True)


def _returned(model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
    variables = _state(model)

    def call(parts: int) -> Any:
        state = tuple([jax.numpy.array(each.value, copy=True) for each in part] for part in variables[:parts])
        expected = f"loop_step(state, batch) or loop_step(state, *batch), state being {_STATE}"
        return step(*called_with(step, [(state, batch), (state, *batch), (state, *batch[:2])], expected))

    if is_train_step(model, step):
        with shardings_known(model):
            return call(4)
    try:
        return call(3)
    except ValueError as error:
        if str(error) != "not enough values to unpack (expected 4, got 3)":
            raise
        return call(4)  # the loop carries metrics too


def _state(model: Any) -> tuple[list[Any], ...]:
    parts = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    return tuple(map(list, (*parts, model.metrics_variables)))


def _values(parts: Sequence[list[Any]]) -> tuple[list[Any], ...]:
    return tuple([variable.value for variable in part] for part in parts)


def _assign(variables: Sequence[list[Any]], values: Sequence[Any]) -> None:
    for part, given in zip(variables, values, strict=True):
        for variable, value in zip(part, given, strict=True):
            variable.assign(value)


def _fits(variables: list[Any], values: Any) -> bool:
    if not isinstance(values, tuple | list) or len(values) != len(variables):
        return False
    shapes = [getattr(value, "shape", None) for value in values]
    return all(shape == tuple(variable.shape) for variable, shape in zip(variables, shapes, strict=True))


def _check(name: str, variables: list[Any], values: Any) -> None:
    if _fits(variables, values):
        return
    received = _said(values)
    if isinstance(values, tuple | list) and len(values) == len(variables):
        pairs = zip(variables, values, strict=True)
        at, variable, value = next((at, *pair) for at, pair in enumerate(pairs) if not _fits([pair[0]], [pair[1]]))
        received += f", of which number {at}, for {variable.path!r}, is {_said(value)}"
    raise LossError(
        f"The loop's step returned {received}, in the place of {name}. Expected: {len(variables)} arrays, in the order "
        f"and shapes of model.{name}."
    )


def _said(value: Any) -> str:
    if isinstance(value, tuple | list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" if shape is None else f"an array of shape {tuple(shape)}"


COMPARING = JaxComparing()
