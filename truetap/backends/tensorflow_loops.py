"""TensorFlow: a loop runs eagerly, or in the user's own `tf.function`, which then calls the host.

`tf.numpy_function` can't be compiled by XLA: inside a function with `jit_compile=True` nothing can leave before it
returns, and a step there is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from truetap.backends.loops import StatefulLoops
from truetap.backends.tensorflow_training import TRAINING, through
from truetap.errors import TapError

__all__ = ["TensorFlowLoops"]


class TensorFlowLoops(StatefulLoops):
    """See `truetap.backends.loops.Loops`."""

    through = staticmethod(through)

    def compiled(self) -> bool:
        if tf.executing_eagerly():
            return False
        # TensorFlow (checked on 2.21) has no public name for it
        if control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph()):
            raise TapError(
                "recorder.step stands inside a tf.function with jit_compile=True, from which the host can't be called. "
                "Expected: jit_compile=False; or recorder.step around the call of the function, and step.log(…) with "
                "what it returns."
            )
        return True

    def replica(self) -> tuple[int, int]:
        context = tf.distribute.get_replica_context()
        if context is None:
            raise TapError(
                "recorder.step stands in the cross-replica context of a tf.distribute strategy. Expected: inside the "
                "function that strategy.run is given."
            )
        number = context.replica_id_in_sync_group
        return int(
            number if isinstance(number, int) else tf.get_static_value(number) or 0
        ), context.num_replicas_in_sync

    def ask(self, host: Callable[[Any], Sequence[bool]], argument: Any, count: int) -> Sequence[Any]:
        given = [] if argument is None else [tf.convert_to_tensor(argument)]
        flags = tf.numpy_function(lambda *said: np.asarray(host(*said or [None]), bool), given, tf.bool)
        return tf.unstack(tf.ensure_shape(flags, [count]))  # type: ignore[no-any-return, unused-ignore]

    def deliver(self, host: Callable[[Mapping[str, Any]], None], values: Mapping[str, Any]) -> None:
        names = list(values)

        def arrived(*arrays: Any) -> None:
            host(dict(zip(names, arrays, strict=True)))

        tf.numpy_function(arrived, [tf.convert_to_tensor(value) for value in values.values()], [])

    def read(self, variable: Any) -> Any:
        return TRAINING.snapshot(variable) if tf.executing_eagerly() else tf.identity(variable.value)


LOOPS = TensorFlowLoops()
