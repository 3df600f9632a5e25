"""JAX: a loss is traced to a jaxpr; the functions that it calls are unfolded into one list."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from truetap.backends.loss_probe import Array, OpGraph, OpNode

_WORDS = {
    "argmax": "argmax",
    "argmin": "argmin",
    "sort": "argsort",
    "top_k": "argsort",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
    "lt": "less",
    "le": "less_equal",
    "is_finite": "isfinite",
}
# Without the pass that makes 0 * NaN a 0, so that NaN is what it is on the other backends; a batch is small, so that
# compiling takes longer than running.
_AS_WRITTEN = {"xla_disable_hlo_passes": "algsimp", "xla_backend_optimization_level": 0}
_VALUE_TAKEN = (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError)


class JaxLossProbe:
    """See `truetap.backends.loss_probe.LossProbe`."""

    def fast(self, function: Callable[..., Any]) -> Callable[..., Any]:
        jitted = jax.jit(_stateless(function), compiler_options=_AS_WRITTEN)

        def run(*arrays: Any) -> Any:
            try:
                return jitted(*arrays)
            except (*_VALUE_TAKEN, jax.errors.NonConcreteBooleanIndexError):
                return function(*arrays)

        return run

    def differentiated(
        self, function: Callable[[Any, Any], Any]
    ) -> Callable[[Array, Array], tuple[float, Array | None]]:
        both = jax.value_and_grad(lambda y_true, y_pred: jnp.asarray(function(y_true, y_pred), "float32"), argnums=1)
        run = self.fast(both)

        def on_host(y_true: Array, y_pred: Array) -> tuple[float, Array | None]:
            value, slope = run(y_true, y_pred)
            return float(value), np.asarray(slope)

        return on_host

    def graph(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> OpGraph:
        closed = jax.make_jaxpr(_stateless(function))(y_true, y_pred)
        numbers: dict[Any, int] = {}
        floating = set()

        def number(variable: Any, scope: int) -> int:
            place = numbers.setdefault((scope, variable), len(numbers))
            if jnp.issubdtype(variable.aval.dtype, jnp.floating):
                floating.add(place)
            return place

        jaxpr = closed.jaxpr
        first, second = (number(variable, 0) for variable in jaxpr.invars)
        nodes = tuple(_nodes(jaxpr, number, iter(range(1, 1 << 30)), 0))
        outputs = [number(variable, 0) for variable in jaxpr.outvars if not _literal(variable)]
        return OpGraph(nodes, first, second, outputs[0] if outputs else None, frozenset(floating))

    def traced_with_unknown_batch(self, function: Callable[[Any, Any], Any], y_true: Array, y_pred: Array) -> bool:
        return False

    def took_value(self, error: Exception) -> bool:
        return isinstance(error, _VALUE_TAKEN) and not self.wanted_values_for_shape(error)

    def wanted_values_for_shape(self, error: Exception) -> bool:
        if isinstance(error, jax.errors.NonConcreteBooleanIndexError):
            return True
        return isinstance(error, jax.errors.ConcretizationTypeError) and "jnp.nonzero" in str(error)


def _stateless(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that leaves variables (of a seed generator) as they are, as a trace has to."""

    def inside(*arrays: Any) -> Any:
        with keras.StatelessScope():
            return function(*arrays)

    return inside


def _nodes(jaxpr: Any, number: Callable[[Any, int], int], scopes: Iterator[int], scope: int) -> Iterator[OpNode]:
    """The equations of a jaxpr; a call becomes what is called, tied to the caller's variables.

    Functions with a gradient of their own, loops and branches stay one operation, which passes it on.
    """
    for equation in jaxpr.eqns:
        inputs = tuple(number(variable, scope) for variable in equation.invars if not _literal(variable))
        called = equation.params.get("jaxpr") if equation.primitive.name in ("jit", "pjit", "closed_call") else None
        if called is None:
            outputs = tuple(number(variable, scope) for variable in equation.outvars)
            yield OpNode(_word(equation), inputs, outputs)
            continue
        inside, inner = next(scopes), called.jaxpr
        for outer, variable in zip(equation.invars, inner.invars, strict=True):
            if not _literal(outer):
                yield OpNode("call", (number(outer, scope),), (number(variable, inside),))
        yield from _nodes(inner, number, scopes, inside)
        for variable, outer in zip(inner.outvars, equation.outvars, strict=True):
            if not _literal(variable):
                yield OpNode("call", (number(variable, inside),), (number(outer, scope),))


def _literal(variable: Any) -> bool:
    return hasattr(variable, "val")


def _word(equation: Any) -> str:
    name = equation.primitive.name
    if name == "convert_element_type":
        return f"cast to {jnp.dtype(equation.params['new_dtype']).name}"
    return _WORDS.get(str(name), str(name))


PROBE = JaxLossProbe()
