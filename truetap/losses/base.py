"""What the losses here have in common: values per sample or element, their mask, and one place that reduces.

`keras.losses.Loss.__call__` can't be used as it is: it aligns weights, masks and values by their last axes, so
that weights (n,) meet a mask (n, T) by broadcasting (wrong without a word where n is T), and on torch it
changes them in place. Here all three have one shape before Keras reduces them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import keras
from keras import ops

from truetap.backends.keras_private import in_symbolic_scope, keras_mask, put_mask
from truetap.errors import LossError
from truetap.loss_context import Around, given_weight, surroundings
from truetap.sample_loss import fitted, lies_over
from truetap.structure import is_nested

__all__ = ["PerSampleLoss", "both", "masks_of", "over"]


class PerSampleLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss with a value per sample or element, which says itself which of them count.

    Args:
        reduction: As for `keras.losses.Loss`; the mean is over what counts.
        name: Of the loss.
        dtype: In which it is computed; float32 by default, under mixed precision too.
    """

    over_outputs: ClassVar[bool] = False

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self._reduce = _Reduction(reduction=reduction, dtype=self.dtype)

    @property
    def takes_sample_weight(self) -> bool:
        """Whether the sample weights are used inside, so that nobody may apply them again."""
        return False

    @property
    def wraps(self) -> Any:
        """The loss whose values it changes, as a `keras.losses.Loss`; or None."""
        return None

    @abstractmethod
    def unreduced(self, y_true: Any, y_pred: Any, around: Around) -> tuple[Any, Any]:
        """Values and which of them count.

        Args:
            y_true: Labels, in the loss's dtype.
            y_pred: An output, in the loss's dtype.
            around: What is known of the call.

        Returns:
            `(values, valid)`: float of shape (n, …); bool of the same shape, or None where all count.
        """

    def call(self, y_true: Any, y_pred: Any, around: Around | None = None) -> Any:
        """Values before reduction, shape (n, …), with their mask on them as Keras' own losses put it."""
        if around is None:
            around = Around(mask=masks_of(y_pred), y_pred=y_pred)
        values, valid = self.unreduced(y_true, y_pred, around)
        if valid is not None:
            values = ops.where(valid, values, ops.zeros_like(values))
            put_mask(values, valid)
        return values

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The reduced loss.

        Args:
            y_true: Labels (n, …), or what the loss takes for them.
            y_pred: An output of the model (n, …).
            sample_weight: Of shape (n,), or over as many leading axes as the loss has elements; or None.

        Raises:
            LossError: The weights don't lie over the values.
        """
        around = Around(sample_weight, masks_of(y_pred), y_pred)
        with keras.name_scope(self.name):
            y_true, y_pred = self.converted(y_true), self.converted(y_pred)
            values = self.call(y_true, y_pred, around=around)
            weight = None
            if sample_weight is not None and not self.takes_sample_weight:
                weight = over(self.converted(sample_weight), values, "The sample weights", self.name)
                weight = weight * ops.ones_like(values)  # memory of its own: Keras masks it in place on torch
            return self._reduce(values, values, weight)

    def converted(self, value: Any) -> Any:
        """Tensors in the loss's dtype, as Keras converts them."""
        return keras.tree.map_structure(lambda leaf: ops.convert_to_tensor(leaf, dtype=self.dtype), value)

    def value_of(self, name: str, around: Around) -> Any:
        """What a function asks for by name."""
        if name == "mask":
            return around.mask
        if name == "sample_weight":
            weight = around.sample_weight
            if weight is None and (self.over_outputs or not is_nested(given_weight())):
                weight = given_weight()
            return None if weight is None else self.converted(weight)
        return surroundings().get(name, self.name)

    def lacks_mask(self, names: Iterable[str], mask: Any) -> bool:
        """Whether Keras only works out shapes, without the mask that a function asks for by name."""
        return "mask" in names and mask is None and in_symbolic_scope()

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config | {"dtype": self.dtype}


class _Reduction(keras.losses.Loss):  # type: ignore[misc]
    """Keras' reduction of values that are there already."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return y_pred


def masks_of(y_pred: Any) -> Any:
    """Keras' mask of an output, or of each of several, where it lies over it."""
    if is_nested(y_pred):
        return keras.tree.map_structure(masks_of, y_pred)
    mask = keras_mask(y_pred)
    # a mask of the inputs that an averaging layer handed on masks nothing here
    return ops.cast(mask, "bool") if mask is not None and lies_over(mask, y_pred) else None


def both(first: Any, second: Any, loss: str) -> Any:
    """Where both masks are True; either may be None, or have fewer axes than the other."""
    if first is None or second is None:
        return second if first is None else first
    if len(first.shape) < len(second.shape):
        first, second = second, first
    return ops.logical_and(first, over(second, first, "A mask", loss))


def over(factor: Any, values: Any, what: str, loss: str) -> Any:
    """A mask or weights (n,), (n, T), … in the shape of values with as many axes or more.

    Raises:
        LossError: They don't lie over the values.
    """
    extents = zip(_without_last_one(factor, values), tuple(values.shape), strict=False)
    fits = all(a in (None, 1) or b is None or a == b for a, b in extents)
    found = fitted(factor, values) if fits else None
    if found is None:
        raise LossError(
            f"{what} of shape {tuple(factor.shape)} can't be laid over the values of the loss {loss!r}, whose shape is "
            f"{tuple(values.shape)}. Expected: the same shape, or its leading axes. If the loss is a function that "
            "averages elements over the last axis, say elementwise=True, and it is taken element by element."
        )
    return found


def _without_last_one(factor: Any, values: Any) -> tuple[Any, ...]:
    shape = tuple(factor.shape)
    return shape[:-1] if len(shape) == len(values.shape) + 1 and shape[-1] == 1 else shape
