"""A loss of the user's own that sees more than y_true and y_pred: x, the mask, the weights, the sample's id.

For losses of physics, survival, binomial counts, old probabilities, or ratios of weighted sums. What isn't
asked for is neither looked up nor computed; ids cost a fingerprint of x, about 1 ms per MB of it on one core.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from truetap.backends.keras_private import keras_mask
from truetap.errors import LossError
from truetap.loss_context import Around
from truetap.losses.base import both, over
from truetap.losses.function import FunctionLoss
from truetap.losses.inner import LastAxis, aligned
from truetap.sample_loss import lies_over, reduces_itself

__all__ = ["Contextual"]


@keras.saving.register_keras_serializable("truetap")
class Contextual(FunctionLoss):
    """A loss of a function that is given by name what it asks for.

    In `fit`, `evaluate` and `train_on_batch` nothing has to be done for it: what it asks for is that of the very
    batch. In a loop or `train_step` of your own, call it inside `with tt.losses.given(x=…)`.

    Args:
        fn: `fn(y_true, y_pred, *, x, mask, sample_weight, ids)`, with as many of these names as it needs. Returns
            a value per sample (n,), or per element (n, …). It is given
            `y_true` and `y_pred`, in equal ranks and in the loss's dtype;
            `x`, nested as the model gets it;
            `mask`, Keras' mask of this output, bool, or None;
            `sample_weight`, that of this output, or None; it isn't applied again then;
            `ids`, int32 (n, 2), the two halves of each sample's fingerprint: the identity under which the
            recorder keeps it.
            A function that asks for the mask may average over it; for one that doesn't, it is applied to the
            values, and refused where they have no such axes.
        reduction: As for `keras.losses.Loss`.
        name: Of the loss; the function's by default.
        dtype: In which it is computed.

    Raises:
        LossError: It asks for something that there is not, or has no value per sample.

    Example:
        >>> import numpy as np
        >>> import truetap as tt
        >>> def relative(y_true, y_pred, *, x):
        ...     return abs(y_true - y_pred)[:, 0] / x["scale"]
        >>> loss = tt.losses.Contextual(relative)
        >>> with tt.losses.given(x={"scale": np.array([2.0, 4.0], "float32")}):
        ...     float(loss(np.array([[1.0], [2.0]]), np.array([[0.0], [0.0]])))
        0.5
    """

    def unreduced(self, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
        y_true, y_pred = aligned(y_true, y_pred, LastAxis.UNKNOWN, self.name)
        if self.lacks_mask(self._asked.names, around.mask):
            return ops.zeros_like(y_pred), None
        values = self._asked(y_true, y_pred, lambda name: self.value_of(name, around))
        trouble = reduces_itself(self, values, y_pred)
        if trouble is not None:
            raise LossError(trouble)
        mask, own = around.mask, keras_mask(values)
        if mask is not None and "mask" in self._asked.names and not lies_over(mask, values):
            mask = None  # fn had it, and averaged over it
        return values, both(
            None if mask is None else over(mask, values, "The mask", self.name),
            None if own is None else over(own, values, "The mask", self.name),
            self.name,
        )
