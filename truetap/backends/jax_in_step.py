"""JAX: what recording does inside a step. All of it is traced into the user's own `jax.jit`.

A value inside the function that `jax.grad` differentiates is taken out as the primal of its tracer. JAX has
no public name for that; `jax._src.core.trace_ctx`, `Tracer._trace`, `.primal`, and `parent_trace` of `JVPTrace` and
`LinearizeTrace` in `jax._src.interpreters.ad` were checked on JAX 0.10.2.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import jax
import keras
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax._src import core
from jax._src.interpreters import ad

from truetap.backends import in_step
from truetap.errors import TapError

_DIFFERENTIATING = (ad.JVPTrace, ad.LinearizeTrace)
_KINDS = frozenset({"float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool"})
_MANY_EDGES = 128  # from here on a binary search is the faster


def spread() -> bool:
    """Whether the arrays of a step are spread over several processes."""
    return jax.process_count() > 1 and keras.distribution.distribution() is not None


class JaxInStep(in_step.WholeBatch):
    """See `truetap.backends.protocol.InStep`."""

    extremes_keep_nan = True

    def conditional(
        self, active: Any, compute: Callable[[], dict[str, Any]], *, jit_compile: bool = False
    ) -> dict[str, Any]:
        if not isinstance(active, jax.core.Tracer):  # known: in a model that runs eagerly
            return compute() if bool(active) else {}
        shapes = jax.eval_shape(compute)
        results: dict[str, Any] = lax.cond(
            active, compute, lambda: {name: jnp.zeros(each.shape, each.dtype) for name, each in shapes.items()}
        )
        return results

    def spread(self) -> bool:
        return spread()

    def level(self) -> Any:
        return core.trace_ctx.trace

    def taken(self, value: Any, level: Any) -> Any:
        where = core.trace_ctx.trace
        while where is not level and isinstance(where, _DIFFERENTIATING):
            where = where.parent_trace
        while isinstance(value, core.Tracer) and value._trace is not level and hasattr(value, "primal"):
            value = value.primal  # the value itself, beside the tangent that differentiation carries along
        if where is not level or (isinstance(value, core.Tracer) and value._trace is not level):
            raise TapError(in_step.inside("a loop, a branch, jax.vmap, jax.checkpoint or another jax.jit of the step"))
        return value

    def bits(self, values: Any) -> Any:
        return lax.bitcast_convert_type(values, jnp.int32)

    def count(self, index: Any, size: int) -> Any:
        return jnp.zeros(size, jnp.int32).at[index].add(1, mode="drop")

    def bucket(self, values: Any, edges: np.ndarray[Any, Any]) -> Any:
        if len(edges) <= _MANY_EDGES:
            return in_step.unrolled_bucket(values, edges)
        return keras.ops.searchsorted(edges, values, side="right")

    def fingerprintable(self, x: Any) -> bool:
        if x is None:
            return True
        name = str(getattr(x, "dtype", ""))
        return name in _KINDS or name in {f"{sign}int{size}" for sign in ("", "u") for size in (8, 16, 32, 64)}

    def fingerprinted_later(self, x: Any) -> Any:
        return None if self.fingerprintable(x) else x

    def fingerprint(self, x: Any, without: Collection[str] = ()) -> Any:
        return in_step.over_leaves(x, without, self.fingerprintable, _sums)


def _sums(x: Any, salt: int) -> Any:
    x = x.todense() if hasattr(x, "todense") else jnp.asarray(x)
    bits = _bits(x.reshape(x.shape[0], int(np.prod(x.shape[1:]))))
    folded = bits ^ (bits >> 16) ^ (bits >> 23)
    size = folded.shape[1]
    if size <= in_step.CONSTANT_LIMIT:
        first, second = in_step.constant_coefficients(size, salt)
    else:
        first, second = in_step.step_coefficients(size, salt)
    odd = [lax.bitcast_convert_type(jnp.asarray(each), jnp.uint32) for each in (first, second)]
    # Both sums in one variadic reduction: XLA runs over x once, 30 times as fast as for two of them.
    zero = jnp.uint32(0)
    pair = lax.reduce((folded * odd[0], folded * odd[1]), (zero, zero), _add, (1,))
    return lax.bitcast_convert_type(jnp.stack(pair, axis=1), jnp.int32)


def _add(one: Any, other: Any) -> Any:
    return one[0] + other[0], one[1] + other[1]


def _bits(x: Any) -> Any:
    """The canonical 32 bits as uint32 (n, size), without arithmetic on floats: XLA flushes denormals."""
    if x.dtype == jnp.bfloat16:
        return lax.bitcast_convert_type(x, jnp.uint16).astype(jnp.uint32) << 16
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        parts = jnp.stack([x.real, x.imag], axis=-1)
        return _bits(parts.reshape(x.shape[0], 2 * x.shape[1]))
    if x.dtype == jnp.float16:
        return _from_half(x)
    if x.dtype == jnp.float64:
        return _from_double(x)
    if x.dtype == jnp.float32:
        return lax.bitcast_convert_type(x, jnp.uint32)
    return x.astype(jnp.uint32)


def _from_half(x: Any) -> Any:
    half = lax.bitcast_convert_type(x, jnp.uint16).astype(jnp.uint32)
    widened = lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    broken = ((half & 0x8000) << 16) | jnp.uint32(0x7F800000) | ((half & 0x3FF) << 13)
    return jnp.where((half & 0x7C00) == 0x7C00, broken, widened)  # a NaN keeps its payload


def _from_double(x: Any) -> Any:
    rounded = lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    # What becomes a denormal float32 is its multiple of 2**-149: the conversion itself may flush it.
    tiny = lax.round(jnp.abs(x) * 2.0**149, lax.RoundingMethod.TO_NEAREST_EVEN)
    small = (rounded & jnp.uint32(0x80000000)) | jnp.where(tiny <= 2.0**23, tiny, 0).astype(jnp.uint32)
    return jnp.where(jnp.abs(x) < 2.0**-126, small, rounded)
