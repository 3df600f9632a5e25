"""JAX: a step is a pure function of the model's variables, jitted when the model is.

Non-trainable state that a step changes (seed generators, a user's counters) moves on from batch to
batch as in `model.predict`: it is put back on the model after each. Results are not waited for: the
next batch is prepared while a step runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import keras
import numpy as np

from truetap.backends.jax_in_step import JaxInStep
from truetap.backends.protocol import Array, Step


class JaxRunner:
    """The step as a function of state and batch."""

    def __init__(self, model: Any, step: Step) -> None:
        self._names: dict[frozenset[str], list[str]] = {}  # jit sorts the keys of a dict
        # One list for the mapping and for the values: what is trainable may change between two traces.
        self._variables = (list(model.trainable_variables), list(model.non_trainable_variables))
        variables = self._variables

        def stateless(trainable: list[Any], others: list[Any], batch: Any) -> tuple[dict[str, Any], dict[int, Any]]:
            state = variables[1]
            mapping = list(zip([*variables[0], *state], [*trainable, *others], strict=True))
            with keras.StatelessScope(state_mapping=mapping) as scope:
                before = [scope.get_current_value(variable) for variable in state]
                results = step(batch)
                self._names[frozenset(results)] = list(results)
                after = [scope.get_current_value(variable) for variable in state]
            pairs = enumerate(zip(before, after, strict=True))
            return results, {place: new for place, (old, new) in pairs if new is not old}

        jitted = not model.run_eagerly and model.jit_compile
        self._run = jax.jit(stateless) if jitted else stateless

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        # Values are read anew for each batch: the model may be trained between two batches of a stream.
        trainable, state = self._variables
        results, moved = self._run([each.value for each in trainable], [each.value for each in state], batch)
        for place, value in moved.items():
            state[place].assign(value)
        return {name: results[name] for name in self._names[frozenset(results)]}

    def close(self) -> None:
        """Nothing was changed but state, which is put back after every batch."""


class JaxBackend(JaxInStep):
    """See `truetap.backends.protocol.Backend`."""

    name = "jax"
    mutable = False
    compiles = True

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
