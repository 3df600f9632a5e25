"""JAX: a loop holds the state, runs op by op or under the user's own `jax.jit`, which then calls the host.

The calls are ordered (`jax.debug.callback(ordered=True)`), so that steps arrive in the order in which they ran.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax._src import core
from jax.experimental import io_callback

from truetap.backends.jax_training import through, watched_apply
from truetap.backends.loops import Variables
from truetap.observe import replaced

__all__ = ["JaxLoops"]


class JaxLoops:
    """See `truetap.backends.loops.Loops`."""

    stateless = True
    through = staticmethod(through)

    def compiled(self) -> bool:
        return not isinstance(core.trace_ctx.trace, core.EvalTrace)

    def replica(self) -> tuple[int, int]:
        return 0, 1

    def ask(self, host: Callable[[Any], Sequence[bool]], argument: Any, count: int) -> Sequence[Any]:
        given = [] if argument is None else [argument]
        shape = jax.ShapeDtypeStruct((count,), bool)
        flags = io_callback(lambda *said: np.asarray(host(*said or [None]), bool), shape, *given, ordered=True)
        return [flags[place] for place in range(count)]

    def deliver(self, host: Callable[[Mapping[str, Any]], None], values: Mapping[str, Any]) -> None:
        names = list(values)

        def arrived(*arrays: Any) -> None:
            host(dict(zip(names, map(np.asarray, arrays), strict=True)))

        jax.debug.callback(arrived, *values.values(), ordered=True)

    def settle(self) -> None:
        jax.effects_barrier()

    @contextmanager
    def watched(
        self,
        model: Any,
        optimizer: Any,
        given: Callable[[Sequence[Any], Sequence[Any]], None],
        before: Variables,
        after: Variables,
    ) -> Iterator[None]:
        call = model.stateless_call

        def stateless_call(trainable: Any, others: Any, *args: Any, **kwargs: Any) -> Any:
            outputs, new, *losses = call(trainable, others, *args, **kwargs)
            before.update(_by_variable(model.trainable_variables, trainable))
            after.update(_by_variable(model.non_trainable_variables, new))
            return (outputs, new, *losses)

        with replaced(model, stateless_call=stateless_call):
            if optimizer is None:
                yield
                return
            apply = watched_apply(model, optimizer, given)

            def stateless_apply(state: Any, gradients: Any, trainable: Any) -> Any:
                values, new = apply(state, gradients, trainable)
                before.update(_by_variable(model.trainable_variables, trainable))
                after.update(_by_variable(model.trainable_variables, values))
                after.update(_by_variable(optimizer.variables, new))
                return values, new

            with replaced(optimizer, stateless_apply=stateless_apply):
                yield

    def read(self, variable: Any) -> Any:
        return np.array(variable.value)

    def gradient_left(self, variable: Any) -> Any:
        return None


def _by_variable(variables: Sequence[Any], values: Sequence[Any]) -> Variables:
    return {id(variable): value for variable, value in zip(variables, values, strict=False)}


LOOPS = JaxLoops()
