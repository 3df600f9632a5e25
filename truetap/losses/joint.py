"""One loss over all outputs of a model.

Keras calls a loss once for each output, with that output alone. A `Joint` given as `compile(loss=Joint(fn))` is
called so often too: the call for the first output computes the whole, the others give zeros, and the sum that
Keras makes of them is the loss. Given for one output, `loss={"a": Joint(fn)}`, it is called once and there are
no zeros.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras
from keras import ops

from truetap.backends.keras_private import ABSENT, user_loss
from truetap.errors import LossError
from truetap.loss_context import Around, Surroundings, surroundings
from truetap.losses.base import masks_of, over
from truetap.losses.function import FunctionLoss
from truetap.sample_loss import reduces_itself
from truetap.structure import is_nested

__all__ = ["Joint"]


@keras.saving.register_keras_serializable("truetap")
class Joint(FunctionLoss):
    """A loss of a function of all outputs and all labels.

    In `fit` it is found what the outputs are; alone, call it with the nested structures: `loss(y, y_pred)`.
    The loss that Keras reports in total is its mean; of the losses by output, that of the first is the whole and the
    others are 0.

    Args:
        fn: `fn(y_true, y_pred)`, and by name what it needs of `x`, `mask`, `sample_weight`, `ids`, as for
            `Contextual`. Labels and outputs come as `fit` was given them and as the model returns them: dicts by
            name, whatever their order, lists by position; `mask` nested as the outputs, and
            `sample_weight` as it was given to `fit`. Returns a value per sample (n,), or more axes.
        reduction: As for `keras.losses.Loss`.
        name: Of the loss; the function's by default.
        dtype: In which it is computed.

    Without asking for `sample_weight` the weights of the samples are applied to its values, once. A sample whose
    weights differ by output has no weight for one value: its loss is NaN. Such weights, and masks, are for a
    function that asks for them.

    Raises:
        LossError: As for `Contextual`; or weights or masks that only the function could apply.

    Example:
        >>> import numpy as np
        >>> def distance(y_true, y_pred):
        ...     return abs((y_pred["a"] - y_pred["b"]) - (y_true["a"] - y_true["b"]))[:, 0]
        >>> y = {"a": np.array([[3.0], [1.0]]), "b": np.array([[1.0], [1.0]])}
        >>> float(Joint(distance)(y, {"a": np.zeros((2, 1)), "b": np.zeros((2, 1))}))
        1.0
    """

    over_outputs: ClassVar[bool] = True

    def unreduced(self, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
        whole = None if is_nested(y_pred) else self._whole(around)
        masks, weight = around.mask, around.sample_weight
        if whole is not None:
            speaks = self._speaks(whole, around) if around.speaks is None else around.speaks
            if not speaks:
                return ops.zeros_like(y_pred), None
            masks, weight = masks_of(whole.y_pred), None if whole.sample_weight is ABSENT else whole.sample_weight
            y_true, y_pred = self.converted(whole.y), self.converted(whole.y_pred)
        seen, first = Around(weight, masks), keras.tree.flatten(y_pred)[0]
        if self.lacks_mask(self._asked.names, next(iter(_leaves(masks)), None)):
            return ops.zeros_like(first), None
        values = self._asked(y_true, y_pred, lambda name: self.value_of(name, seen))
        trouble = reduces_itself(self, values, first)
        if trouble is not None:
            raise LossError(trouble)
        if "mask" not in self._asked.names and _leaves(masks):
            raise LossError(
                f"An output has a Keras mask, and the function of the loss {self.name!r} doesn't ask for it. Let it "
                "take mask= and leave out what is masked (or take it and leave it)."
            )
        if not self.takes_sample_weight and is_nested(weight):
            values = self._where_weights_agree(values, weight)
        return values, None

    def _whole(self, around: Around) -> Surroundings | None:
        """All outputs, if this call is for one among several."""
        known = surroundings()
        if around.speaks is None and known.y_pred is around.y_pred:
            return None
        if is_nested(known.y_pred) and known.y is not ABSENT:
            return known
        if known.y_pred is not ABSENT and not is_nested(known.y_pred):
            return None
        raise LossError(
            f"The loss {self.name!r} is one over all outputs, and was called with one. All of them are found when "
            "fit, evaluate or the like call the model's compute_loss; elsewhere, call it with the nested labels and "
            "outputs, loss(y, y_pred)."
        )

    def _speaks(self, whole: Surroundings, around: Around) -> bool:
        """Whether this is the call that stands for all outputs."""
        compiled = user_loss(whole.model)
        if is_nested(compiled):
            times = sum(each is self for each in keras.tree.flatten(compiled))
            if times > 1:
                raise LossError(
                    f"The loss {self.name!r} is one over all outputs, and was given for {times} of them. Give it once: "
                    "compile(loss=tt.losses.Joint(fn))."
                )
            return True
        leaves = keras.tree.flatten(whole.y_pred)
        if not any(each is around.y_pred for each in leaves):
            raise LossError(
                f"The loss {self.name!r} was called with an output that is none of those given to compute_loss. "
                "Call it with all of them, loss(y, y_pred)."
            )
        return leaves[0] is around.y_pred

    def _where_weights_agree(self, values: Any, weight: Any) -> Any:
        """NaN for samples whose outputs have different weights: Keras gives each output its own copy of them."""
        weights, some = keras.tree.flatten(weight), _leaves(weight)
        if some and (len(some) < len(weights) or len({len(each.shape) for each in some}) > 1):
            raise LossError(
                f"The outputs have sample weights of their own, and the loss {self.name!r} has one value for all. Give "
                "one weight per sample, or let its function take sample_weight=."
            )
        for other in some[1:]:
            same = over(ops.equal(some[0], other), values, "The sample weights", self.name)
            values = ops.where(same, values, ops.full_like(values, float("nan")))
        return values


def _leaves(structure: Any) -> list[Any]:
    """The leaves that are not None."""
    return [leaf for leaf in keras.tree.flatten(structure) if leaf is not None]
