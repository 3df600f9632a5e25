"""Sums of a loss over the elements of an epoch: numerator and denominators, batch after batch.

They are the two sides of what `keras.losses.Loss` divides in each batch (Keras 3.15, `apply_mask` and
`reduce_weighted_values`), kept apart until the epoch is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from keras import ops

from truetap import rows
from truetap.backends.keras_private import keras_mask
from truetap.epoch_values.passes import chunks
from truetap.errors import LossError
from truetap.loss_context import Around, UsesAround
from truetap.losses import ClassWeighted
from truetap.sample_loss import fitted, reduces_itself

__all__ = ["Sums", "depends_on_batch", "element_sums"]

Array = npt.NDArray[Any]

_NEEDED = ("y_true", "y_pred", "mask", "sample_weight")


@dataclass
class Sums:
    """Sums over the valid elements so far, in float64.

    Attributes:
        weighted: Of values times weights.
        weights: Of weights.
        count: How many there are.

    Example:
        >>> sums = Sums()
        >>> sums.add(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
        >>> sums.mean("count"), sums.mean("weights")
        (3.5, 1.75)
    """

    weighted: float = 0.0
    weights: float = 0.0
    count: int = 0

    def add(self, values: Array, weight: Array | None = None) -> None:
        """Adds elements, with a weight each."""
        self.count += values.size
        if weight is None:
            self.weighted += float(values.sum(dtype=np.float64))
            self.weights += values.size
        else:
            self.weighted += float(np.multiply(values, weight, dtype=np.float64).sum())
            self.weights += float(weight.sum(dtype=np.float64))

    def mean(self, normalize: str) -> float:
        """The mean: over the elements ("count"), or over their weights ("weights"); NaN of none."""
        divisor = self.weights if normalize == "weights" else self.count
        return self.weighted / divisor if divisor else float("nan")


def depends_on_batch(loss: Any) -> bool:
    """Whether the loss weighs a value by the others of its batch: then the epoch has to be computed as one batch."""
    while loss is not None:
        if isinstance(loss, ClassWeighted) and loss.normalize == "weights":
            return True
        loss = getattr(loss, "wraps", None)
    return False


def element_sums(batches: Sequence[pa.RecordBatch], loss: Any, where: str) -> Sums:
    """The sums of a loss over recorded labels and outputs.

    Args:
        batches: Rows with y_true, y_pred, and where there are such mask and sample_weight, of one output.
        loss: A `keras.losses.Loss`.
        where: Words for the pass, for errors.

    Raises:
        LossError: The loss can't be computed from these, or has no value per sample.
    """
    names = rows.column_names(batches)
    if "y_true" not in names:
        raise LossError(f"The loss {loss.name!r} needs labels. Received: {where} without them.")
    if isinstance(loss, keras.losses.Circle):
        raise LossError("Circle compares the samples of a batch with each other: an epoch has no value of it.")
    sums, whole = Sums(), depends_on_batch(loss)
    for number, chunk in enumerate(
        chunks(rows.only(batches, [name for name in _NEEDED if name in names]), whole=whole)
    ):
        if whole and number:
            raise LossError(
                f"The loss {loss.name!r} weighs a sample by the others of its batch, and {where} can't be made one: "
                "its batches differ in shape. Expected: one shape, or another normalize= of the loss."
            )
        _add(sums, loss, chunk, where)
    return sums


def _add(sums: Sums, loss: Any, chunk: dict[str, Array], where: str) -> None:
    y_true, y_pred = (ops.convert_to_tensor(chunk[name], dtype=loss.dtype) for name in ("y_true", "y_pred"))
    mask, weight = (None if each is None else ops.convert_to_tensor(each) for each in map(chunk.get, _NEEDED[2:]))
    try:
        if isinstance(loss, UsesAround):  # the mask on its values is all of it
            known = None if mask is None else ops.cast(mask, "bool")
            values = loss.call(y_true, y_pred, around=Around(weight, known, y_pred))
            mask, weight = None, None if loss.takes_sample_weight else weight
        else:
            values = ops.convert_to_tensor(loss.call(y_true, y_pred))
    except Exception as error:
        raise LossError(
            f"The loss {loss.name!r} can't be computed from y_true {chunk['y_true'].shape} and y_pred "
            f"{chunk['y_pred'].shape} of {where} ({type(error).__name__}: {error}). With masks or weights the recorded "
            "losses of samples are too little. Expected: EpochLoss(loss) with one that needs these two alone; where "
            "there are weights and no masks, Keras' own loss is the same at any batch size."
        ) from error
    trouble = reduces_itself(loss, values, y_pred)
    if trouble is not None:
        raise LossError(trouble)
    valid = np.ones(values.shape, bool)
    for each in (mask, keras_mask(values)):
        if each is not None:
            valid &= _over(each, values, "mask").astype(bool)
    elements = np.asarray(ops.convert_to_numpy(values))[valid]
    sums.add(elements, None if weight is None else _over(weight, values, "sample weight")[valid])


def _over(factor: Any, values: Any, what: str) -> Array:
    """A mask or weight in the shape of the values."""
    over = fitted(ops.cast(factor, "float32"), values)
    if over is None:
        raise LossError(
            f"A {what} of shape {tuple(factor.shape)} lies over losses of shape {tuple(values.shape)}, which were "
            "averaged before it could be applied. Expected: a loss with a value for each element of it."
        )
    return np.asarray(ops.convert_to_numpy(over))
