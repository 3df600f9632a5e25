"""One step that was run: its loss, what reached the optimizer, and where the model stands after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from truetap.agreement.batch import copied
from truetap.agreement.forward import forward_with_values
from truetap.agreement.state import State
from truetap.backends.comparing import Comparing, as_array
from truetap.errors import LossError
from truetap.observe import replaced

__all__ = ["Outcome", "Values", "run_fit", "run_keras", "run_loop"]

Array = npt.NDArray[Any]
Gradients = list[Array | None]


@dataclass(frozen=True, slots=True)
class Values:
    """Values of a model's variables, as float64.

    Attributes:
        trainable: Of `model.trainable_variables`.
        other: Of `model.non_trainable_variables`.
        optimizer: Of the optimizer's variables.
        iterations: How many updates the optimizer has made.
    """

    trainable: list[Array]
    other: list[Array]
    optimizer: list[Array]
    iterations: int

    @classmethod
    def of(cls, model: Any) -> Values:
        """The values that a model has now."""
        return cls(
            [as_array(each.value) for each in model.trainable_variables],
            [as_array(each.value) for each in model.non_trainable_variables],
            [as_array(each.value) for each in model.optimizer.variables],
            int(as_array(model.optimizer.iterations.value)),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step that was run.

    Attributes:
        loss: What it reported, or None.
        gradients: Of a loop: what reached the model's optimizer, by trainable variable, with the loss scale in
            it; or what it left on the variables. None if that can't be seen, as inside a compiled function.
        after: The model after it.
    """

    loss: float | None
    gradients: Gradients | None
    after: Values


def run_fit(model: Any, batch: tuple[Any, ...], before: State, steps: Comparing) -> Outcome:
    """A step as `fit` makes it, op by op; the state is put back.

    Raises:
        LossError: The step reports no finite loss.
    """
    try:
        logs = steps.fit_step(model, model.train_step, copied(batch))
        loss = logs.get("loss") if isinstance(logs, dict) else None
        return Outcome(_finite(None if loss is None else float(as_array(loss))), None, Values.of(model))
    finally:
        before.restore()


def run_keras(model: Any, batch: tuple[Any, ...], before: State, steps: Comparing) -> Outcome:
    """A step as `fit` makes it of a model without a `train_step` of its own; the state is put back.

    Its loss is that of a forward pass: Keras' step reports the metrics that the model names, which may hold only
    what the model's own step writes.

    Raises:
        LossError: The step doesn't run on this model, or has no finite loss.
    """
    try:
        loss = _forward_loss(model, batch, steps)
        before.restore()
        steps.fit_step(model, partial(keras.Model.train_step, model), copied(batch))
        return Outcome(_finite(loss), None, Values.of(model))
    except LossError:
        raise
    except Exception as error:
        raise LossError(
            "The loop is the model's own train_step, so it is compared with that of keras.Model, which doesn't run on "
            f"this model: {type(error).__name__}: {' '.join(str(error).split())[:200]} Expected: a model that fit "
            "could train without a train_step of its own, called on x and compiled with its loss."
        ) from error
    finally:
        before.restore()


def _forward_loss(model: Any, batch: tuple[Any, ...], steps: Comparing) -> float:
    found = forward_with_values(model, batch, steps, training=True)
    loss = float(as_array(found.total))
    if not (found.calls or found.extras or loss):  # on JAX; elsewhere Keras raises
        raise ValueError("No loss to compute.")
    return loss


def _finite(loss: float | None) -> float:
    if loss is None or not np.isfinite(loss):
        raise LossError(
            f"There is nothing to compare with: fit's own step reports the loss {loss} on this batch. Expected: "
            "a finite number; tt.check_loss says more."
        )
    return loss


def run_loop(
    model: Any, loop_step: Callable[..., Any], batch: tuple[Any, ...], before: State, steps: Comparing
) -> Outcome:
    """The loop's step; the state is put back, also when it raises."""
    try:
        with _gradients_seen(model, steps) as seen:
            loss = _reported(steps.loop_step(model, loop_step, copied(batch)))
        gradients = seen or None
        left = steps.left_gradients(model)
        if gradients is None and left is not None:
            gradients = _on_host(left)
        return Outcome(loss, gradients, Values.of(model))
    finally:
        before.restore()


@contextmanager
def _gradients_seen(model: Any, steps: Comparing) -> Iterator[Gradients]:
    """What reaches the model's optimizer first inside the block, if it can be looked at."""
    seen: Gradients = []
    optimizer = model.optimizer
    own_apply, own_stateless = optimizer.apply, optimizer.stateless_apply

    def keep(gradients: Any, variables: Any) -> None:
        gradients = list(gradients)
        if seen or not all(each is None or steps.concrete(each) for each in gradients):
            return
        given = model.trainable_variables if variables is None else variables
        by_variable = {id(variable): each for variable, each in zip(given, gradients, strict=True)}
        seen.extend(_on_host([by_variable.get(id(variable)) for variable in model.trainable_variables]))

    def apply(grads: Any, trainable_variables: Any = None) -> Any:
        grads = list(grads)
        keep(grads, trainable_variables)
        return own_apply(grads, trainable_variables)

    def stateless_apply(optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        keep(grads, None)
        return own_stateless(optimizer_variables, grads, trainable_variables)

    with replaced(optimizer, apply=apply, stateless_apply=stateless_apply):
        yield seen


def _on_host(gradients: list[Any]) -> Gradients:
    return [None if each is None else as_array(each) for each in gradients]


def _reported(returned: Any) -> float | None:
    """The loss that a step returned.

    Raises:
        LossError: It returned something else.
    """
    if returned is None:
        return None
    value = returned.get("loss") if isinstance(returned, dict) else returned
    shape = getattr(value, "shape", None)
    scalar = isinstance(value, int | float) or (shape is not None and int(np.prod(tuple(shape))) == 1)
    if not scalar:
        what = f"a dict with the keys {sorted(map(str, returned))}" if isinstance(returned, dict) else _said(value)
        raise LossError(
            f"The loop's step returned {what}. Expected: its loss, a scalar; or a dict that has it under 'loss'; or "
            "None."
        )
    return float(value) if isinstance(value, int | float) else float(as_array(value).reshape(()))


def _said(value: Any) -> str:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"values of shape {tuple(shape)}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, tuple | list) else "")
