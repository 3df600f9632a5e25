"""JAX: a step is a pure function of the model's variables, jitted when the model is.

Non-trainable state (seed generators, a user's counters) moves on from batch to batch as in
`model.predict`, and is put back on the model when the pass ends. Results are not waited for: the
next batch is prepared while a step runs.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import jax
import keras
import numpy as np

from truetap.backends.protocol import Array, Step


class JaxRunner:
    """The step as a function of state and batch."""

    def __init__(self, model: Any, step: Step) -> None:
        ref: Callable[[], Any] = weakref.ref(model)
        self._model = ref
        self._state: tuple[list[Any], list[Any]] | None = None

        def stateless(trainable: list[Any], others: list[Any], batch: Any) -> tuple[dict[str, Any], list[Any]]:
            model = ref()
            variables = [*model.trainable_variables, *model.non_trainable_variables]
            mapping = list(zip(variables, [*trainable, *others], strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                results = step(batch)
            after = []
            for variable, before in zip(model.non_trainable_variables, others, strict=True):
                value = scope.get_current_value(variable)
                after.append(before if value is None else value)
            return results, after

        jitted = not model.run_eagerly and model.jit_compile
        self._run = jax.jit(stateless) if jitted else stateless

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._state is None:
            model = self._model()
            self._state = (
                [variable.value for variable in model.trainable_variables],
                [variable.value for variable in model.non_trainable_variables],
            )
        trainable, others = self._state
        results, others = self._run(trainable, others, batch)
        self._state = (trainable, others)
        return dict(results)

    def close(self) -> None:
        """Puts the state that moved on back on the model."""
        if self._state is not None:
            for variable, value in zip(self._model().non_trainable_variables, self._state[1], strict=True):
                variable.assign(value)
        self._state = None


class JaxBackend:
    """See `truetap.backends.protocol.Backend`."""

    name = "jax"

    def is_native(self, value: Any) -> bool:
        return isinstance(value, jax.Array)

    def compile(self, model: Any, step: Step) -> JaxRunner:
        return JaxRunner(model, step)

    def predict_step(self, model: Any, x: Any) -> Any:
        trainable = [variable.value for variable in model.trainable_variables]
        others = [variable.value for variable in model.non_trainable_variables]
        outputs, others_after = model.predict_step((trainable, others), (x,))
        for variable, value in zip(model.non_trainable_variables, others_after, strict=True):
            variable.assign(value)
        return outputs

    def dense(self, value: Any) -> tuple[Any, Any]:
        return value, None

    def fetch(self, results: Mapping[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(value) for name, value in results.items()}


BACKEND = JaxBackend()
