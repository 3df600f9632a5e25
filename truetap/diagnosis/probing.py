"""What only the model itself can say where its own `call` hides what is between layers.

Whether it is one affine map: f((a + b) / 2) = (f(a) + f(b)) / 2 holds for all rows a, b if f is, and next to never
else. And whether it predicts by chance. Costs two or three forward passes on a few rows, in inference mode, after which
its seeds are as they were. Needs the model, and with it Keras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from keras import ops

from truetap.agreement.state import State
from truetap.backends.comparing import comparing
from truetap.backends.tensors import to_host
from truetap.loss_checks.evidence import attempt

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["chance", "is_affine"]

Array = npt.NDArray[Any]

_PAIRS = 32
_CLOSE = 1e-4  # of the spread of the values, and the least spread; float32 is good to 1e-6
_SURE = 12.0  # logits beyond which a float32 probability is 0 or 1


def is_affine(evidence: Evidence) -> bool | None:
    """Whether a model's outputs, before a sigmoid or softmax, are an affine map of its input.

    None where that can't be told: without the model, of several inputs or outputs, of whole numbers.
    """
    inputs, outputs = evidence.inputs, evidence.outputs
    if evidence.model is None or inputs is None or outputs is None or len(inputs) != 1 or len(outputs) != 1:
        return None
    (x,) = inputs.values()
    if len(x) < 4 or not np.isfinite(x).all() or (x == np.round(x)).all():
        return None
    half = min(_PAIRS, len(x) // 2)
    one, other = x[:half], x[half : 2 * half]

    def before_activation(values: Array) -> Array:
        tensor = ops.convert_to_tensor(values.astype("float32"))
        return _linear(np.asarray(to_host(evidence.model(tensor, training=False)), np.float64), outputs[0].activation)

    found = attempt(lambda: [before_activation(values) for values in (one, other, (one + other) / 2)]).value
    if found is None or not all(np.isfinite(each).all() for each in found):
        return None
    left, right, middle = found
    kept = (
        np.max([np.abs(each) for each in found], axis=0) < _SURE
        if outputs[0].probabilities
        else np.ones(left.shape, bool)
    )
    if kept.sum() < 4:
        return None
    spread = np.concatenate([left[kept], right[kept]]).std()
    if spread < _CLOSE:
        return None  # one answer for all rows, as of dead layers, says nothing
    return bool(np.abs(middle - (left + right) / 2)[kept].max() <= _CLOSE * spread)


def chance(evidence: Evidence) -> float | None:
    """How much two predictions of the same inputs differ, as root mean square over that of all predictions.

    None where that can't be told: without the model and its optimizer, of several inputs or outputs.
    """
    model, inputs, taken = evidence.model, evidence.inputs, evidence.trace.x
    if model is None or model.optimizer is None or inputs is None or len(inputs) != 1 or len(taken) != 1:
        return None
    (x,) = inputs.values()

    def twice() -> list[Array]:
        before = State(model, comparing())
        try:
            tensor = ops.convert_to_tensor(x[: 2 * _PAIRS].astype(taken[0].dtype))
            return [np.asarray(to_host(model(tensor, training=False)), np.float64) for _ in range(2)]
        finally:
            before.restore()

    found = attempt(twice).value
    if found is None or not all(np.isfinite(each).all() for each in found):
        return None
    one, other = found
    spread = np.sqrt(np.mean((one - one.mean(axis=0)) ** 2))
    return float(np.sqrt(np.mean((one - other) ** 2)) / spread) if spread > 0 else None


def _linear(values: Array, activation: str | None) -> Array:
    """Logits of probabilities; other values as they are."""
    if activation == "sigmoid":
        low = np.clip(values, 1e-12, 1 - 1e-7)
        return np.asarray(np.log(low) - np.log1p(-low))
    if activation == "softmax":
        logs = np.log(np.clip(values, 1e-12, None))
        return np.asarray(logs - logs.mean(axis=-1, keepdims=True))
    return values
