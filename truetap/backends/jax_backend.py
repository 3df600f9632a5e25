"""JAX: a step is a pure function of the model's variables, jitted when the model is.

Non-trainable state that a step changes (seed generators, a user's counters) moves on from batch to
batch as in `model.predict`: it is put back on the model after each. Results are not waited for: the
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
        self._names: list[str] = []  # jit sorts the keys of a dict
        self._variables: tuple[list[Any], list[Any]] | None = None

        def stateless(trainable: list[Any], others: list[Any], batch: Any) -> tuple[dict[str, Any], dict[int, Any]]:
            model = ref()
            state = model.non_trainable_variables
            mapping = list(zip([*model.trainable_variables, *state], [*trainable, *others], strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                before = [scope.get_current_value(variable) for variable in state]
                results = step(batch)
                self._names = list(results)
                after = [scope.get_current_value(variable) for variable in state]
            pairs = enumerate(zip(before, after, strict=True))
            return results, {place: new for place, (old, new) in pairs if new is not old}

        jitted = not model.run_eagerly and model.jit_compile
        self._run = jax.jit(stateless) if jitted else stateless

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._variables is None:
            model = self._model()
            self._variables = (list(model.trainable_variables), list(model.non_trainable_variables))
        # Values are read anew for each batch: the model may be trained between two batches of a stream.
        trainable, state = self._variables
        results, moved = self._run([each.value for each in trainable], [each.value for each in state], batch)
        for place, value in moved.items():
            state[place].assign(value)
        return {name: results[name] for name in self._names}

    def close(self) -> None:
        """Forgets the model's variables: the next pass looks for them again."""
        self._variables = None


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

    def escaped(self, error: Exception) -> bool:
        return isinstance(error, jax.errors.UnexpectedTracerError)

    def fetch(self, results: Mapping[str, Any]) -> dict[str, Array]:
        return {name: np.asarray(value) for name, value in results.items()}


BACKEND = JaxBackend()
