"""The number of samples, where it isn't known yet: Keras traces for batches of any size on TensorFlow.

On the other backends shapes are always known, so the loss is run there on `KerasTensor`s of known shape that
tell code outside of Keras that the batch axis is None, as TensorFlow does. A loss written with other than keras.ops
can't be told that way and isn't reported: it runs on one backend only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

from truetap.loss_checks.evidence import Evidence, attempt
from truetap.rules.finding import Finding, Severity

__all__ = ["UnknownBatch"]

_BATCH = 7919  # a size that no other axis has
_HIDDEN: ContextVar[bool] = ContextVar("the batch axis is hidden", default=False)


class UnknownBatch:
    """The loss reads the number of samples from a static shape: `y_pred.shape[0]` is None where TensorFlow traces.

    Exact: it is traced with a batch axis of unknown size, or on symbols that hide theirs, and raises.
    """

    name = "unknown_batch"
    needs: tuple[str, ...] = ("values", "graph")
    after = ("implicit_broadcast", "value_in_python", "partial_batch")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        error = _in_a_graph(evidence) or _on_symbols(evidence)
        if error is not None:
            yield Finding(
                self.name,
                Severity.ERROR,
                f"With a batch axis of unknown size (None) it raises {type(error).__name__}: "
                f"{' '.join(str(error).split())[:200]}",
                "TensorFlow traces the step for batches of any size: y_pred.shape[0] is None then.",
                "Take sizes from ops.shape(y_pred), use -1 in ops.reshape, or reduce with ops.mean.",
                reference="keras-team/keras#19732",
            )


def _in_a_graph(evidence: Evidence) -> Exception | None:
    y_true, y_pred = evidence.y_true, evidence.y_pred
    return attempt(lambda: evidence.probe.traced_with_unknown_batch(evidence.mean, y_true, y_pred)).error


def _on_symbols(evidence: Evidence) -> Exception | None:
    """What symbols raise that hide their batch axis, and symbols that show it don't."""
    loss = evidence.subject.loss
    shapes = [(_BATCH, *each.shape[1:]) for each in (evidence.y_true, evidence.y_pred)]

    def on_symbols() -> Any:
        return loss.call(*(keras.KerasTensor(shape, dtype=loss.dtype) for shape in shapes))

    if attempt(on_symbols).error is not None:
        return None
    with _batch_hidden():
        return attempt(on_symbols).error


@contextmanager
def _batch_hidden() -> Iterator[None]:
    """Symbolic tensors say None for their batch axis to whoever isn't Keras, in this context only."""
    known = keras.KerasTensor.shape

    def shape(self: Any) -> Any:
        extents = known.fget(self)
        asks = str(sys._getframe(1).f_globals.get("__name__", ""))
        if not _HIDDEN.get() or asks.startswith("keras.") or extents[:1] != (_BATCH,):
            return extents
        return (None, *extents[1:])

    token = _HIDDEN.set(True)
    keras.KerasTensor.shape = property(shape, known.fset)
    try:
        yield
    finally:
        keras.KerasTensor.shape = known
        _HIDDEN.reset(token)
