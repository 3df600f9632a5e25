"""TensorFlow: what recording does inside a step, in a `tf.function` with or without XLA."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from truetap.backends import in_step
from truetap.errors import TapError

_MANY_EDGES = 128  # from here on a binary search is the faster


class TensorFlowInStep:
    """See `truetap.backends.protocol.InStep`."""

    extremes_keep_nan = False

    def conditional(
        self, active: Any, compute: Callable[[], dict[str, Any]], *, jit_compile: bool = False
    ) -> dict[str, Any]:
        if tf.executing_eagerly():
            return compute() if bool(active) else {}
        probe = tf.__internal__.FuncGraph("truetap_shapes")  # traced for its shapes and thrown away
        with probe.as_default():
            shapes = {name: (each.shape, each.dtype) for name, each in compute().items()}
        known = all(shape.is_fully_defined() for shape, _ in shapes.values())

        def zeros() -> dict[str, Any]:
            if known or not jit_compile:
                return {name: tf.zeros([size or 0 for size in shape], dtype) for name, (shape, dtype) in shapes.items()}
            # XLA knows every shape when it compiles: it keeps the shapes of these and drops the values.
            return {name: tf.zeros(tf.shape(each), each.dtype) for name, each in compute().items()}

        # Not tf.cond: XLA turns that into a select (TF 2.21) and computes both branches.
        results: dict[str, Any] = tf.switch_case(tf.cast(active, tf.int32), [zeros, compute])
        return results

    def level(self) -> Any:
        return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()

    def taken(self, value: Any, level: Any) -> Any:
        if not tf.is_tensor(value):
            return value
        if self.level() is not level or getattr(value, "graph", level) is not level:
            raise TapError(in_step.inside("a loop, a branch or another tf.function of the step"))
        if level is not None and "loop_body" in level.get_name_scope():  # TensorFlow rewrites what is traced there
            raise TapError(in_step.inside("tf.vectorized_map or another parallel loop of the step"))
        return tf.stop_gradient(value)

    def replicated_loss(self, loss: Any) -> Any:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas == 1:
            return loss
        return tf.reduce_sum(loss) * tf.cast(replicas, loss.dtype)  # Keras reduces nothing of no samples

    def summed_gradient(self, gradient: Any) -> Any:
        replica = tf.distribute.get_replica_context()
        if replica is None or replica.num_replicas_in_sync == 1:
            return gradient
        return replica.all_reduce(tf.distribute.ReduceOp.SUM, gradient)

    def spread(self) -> bool:
        return False

    def bits(self, values: Any) -> Any:
        return tf.bitcast(values, tf.int32)

    def count(self, index: Any, size: int) -> Any:
        # keras.ops.bincount can't be compiled by XLA here, segment_sum takes 6 times as long without XLA
        return tf.raw_ops.DenseBincount(input=index, size=size, weights=tf.zeros([0], tf.int32))

    def bucket(self, values: Any, edges: np.ndarray[Any, Any]) -> Any:
        if len(edges) <= _MANY_EDGES:
            return in_step.unrolled_bucket(values, edges)
        return keras.ops.searchsorted(edges, values, side="right")

    def fingerprintable(self, x: Any) -> bool:
        return x is None or tf.as_dtype(x.dtype) in _DTYPES

    def fingerprinted_later(self, x: Any) -> Any:
        return None if self.fingerprintable(x) else x

    def fingerprint(self, x: Any, without: Collection[str] = ()) -> Any:
        return in_step.over_leaves(x, without, self.fingerprintable, _sums)


_DTYPES = frozenset(
    {tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128, tf.bool}
    | {tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64}
)


def _sums(x: Any, salt: int) -> Any:
    folded = _folded(_rows(x))
    size = folded.shape[1]
    if size is not None and size <= in_step.CONSTANT_LIMIT:
        first, second = in_step.constant_coefficients(size, salt)
    else:
        first, second = in_step.step_coefficients(tf.shape(folded)[1], salt)
    # Products of matrices: the fastest of six forms that is compiled by XLA and runs without it.
    columns = [tf.matmul(folded, tf.reshape(each, [-1, 1])) for each in (first, second)]
    return tf.concat(columns, axis=1)


def _rows(x: Any) -> Any:
    """The values as (n, size); the size is static wherever the trace knows it."""
    if isinstance(x, tf.RaggedTensor):
        x = x.to_tensor()
    elif isinstance(x, tf.SparseTensor):
        x = tf.sparse.to_dense(x)
    if x.dtype.is_complex:
        x = tf.stack([tf.math.real(x), tf.math.imag(x)], axis=-1)
    inner = x.shape[1:]
    size = inner.num_elements() if inner.rank is not None else None
    shape = tf.shape(x)
    return tf.reshape(x, [shape[0], tf.reduce_prod(shape[1:]) if size is None else size])


def _folded(x: Any) -> Any:
    """The canonical bits, folded, as int32; without arithmetic on floats: threads of TensorFlow flush denormals."""
    if x.dtype in (tf.bool, tf.uint8, tf.uint16):  # no bits that folding would move
        return tf.cast(x, tf.int32)
    bits = tf.bitcast(_bits(x), tf.uint32)  # unsigned, so that a shift fills with zeros
    folded = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, np.uint32(16)))
    folded = tf.bitwise.bitwise_xor(folded, tf.bitwise.right_shift(bits, np.uint32(23)))
    return tf.bitcast(folded, tf.int32)


def _bits(x: Any) -> Any:
    if x.dtype == tf.bfloat16:
        return tf.bitwise.left_shift(tf.cast(tf.bitcast(x, tf.uint16), tf.int32), 16)
    if x.dtype == tf.float16:
        return _from_half(x)
    if x.dtype == tf.float64:
        return _from_double(x)
    if x.dtype == tf.float32:
        return tf.bitcast(x, tf.int32)
    return tf.cast(x, tf.int32)


def _from_half(x: Any) -> Any:
    half = tf.cast(tf.bitcast(x, tf.int16), tf.int32)  # the sign is copied into the high bits
    widened = tf.bitcast(tf.cast(x, tf.float32), tf.int32)
    sign = tf.bitwise.bitwise_and(half, -(1 << 31))
    payload = tf.bitwise.left_shift(tf.bitwise.bitwise_and(half, 0x3FF), 13)
    broken = tf.bitwise.bitwise_or(tf.bitwise.bitwise_or(sign, payload), 0x7F800000)
    is_broken = tf.equal(tf.bitwise.bitwise_and(half, 0x7C00), 0x7C00)
    return tf.where(is_broken, broken, widened)  # a NaN keeps its payload


def _from_double(x: Any) -> Any:
    rounded = tf.bitcast(tf.cast(x, tf.float32), tf.int32)
    # What becomes a denormal float32 is its multiple of 2**-149: the conversion itself may flush it.
    tiny = tf.round(tf.abs(x) * 2.0**149)
    tiny = tf.cast(tf.where(tiny <= 2.0**23, tiny, tf.zeros_like(tiny)), tf.int32)
    small = tf.bitwise.bitwise_or(tf.bitwise.bitwise_and(rounded, -(1 << 31)), tiny)
    return tf.where(tf.abs(x) < 2.0**-126, small, rounded)
