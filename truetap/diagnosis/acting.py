"""The values of a model's loss on recorded rows, run on plain arrays.

Plain arrays carry no activation behind which TensorFlow could find logits, so the values are the same on every
backend. Needs the model, and with it Keras.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.backends.keras_private import compiled_losses
from truetap.backends.tensors import to_host
from truetap.loss_checks.evidence import attempt

if TYPE_CHECKING:
    from truetap.diagnosis.output import OutputEvidence

__all__ = ["loss_values"]

Array = npt.NDArray[Any]


def loss_values(output: OutputEvidence, model: Any, y_true: Array, y_pred: Array) -> Array | None:
    """What the loss of an output gives before weights and reduction; None where it can't be run.

    Args:
        output: The output.
        model: Its model, compiled.
        y_true: Labels as the loss gets them, shape (n, …).
        y_pred: Outputs, shape (n, …).
    """
    losses = [each for each in compiled_losses(model) if output.owns(each.path)]
    if len(losses) != 1:
        return None
    loss = losses[0].loss

    def values() -> Array:
        tensors = (ops.convert_to_tensor(each, dtype=loss.dtype) for each in (y_true, y_pred))
        return np.asarray(to_host(loss.call(*tensors)), np.float64)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the loss' own, said already where it was recorded
        return attempt(values).value
