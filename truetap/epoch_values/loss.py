"""`EpochLoss`: the loss of a whole epoch, the same at any batch size.

Keras averages the losses of batches by their number of samples. Where a batch's loss is divided by its
valid elements or by its sum of weights, that average depends on how the epoch was cut into batches.
Here the sums over the epoch are divided once. Cost: the recorded losses, or without those the labels and
outputs, read once in memory of fixed size.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import keras

from truetap.about import About, column
from truetap.backends.keras_private import OutputLoss, as_loss, compiled_losses
from truetap.columns import decode
from truetap.epoch_values.callback import EpochValue
from truetap.epoch_values.elements import Sums, depends_on_batch, element_sums
from truetap.epoch_values.passes import PassRows
from truetap.errors import LossError, StructureError, near_names
from truetap.output_view import OutputView
from truetap.recorder import Recorder

__all__ = ["EpochLoss"]


class EpochLoss(EpochValue):
    """Computes the loss of whole epochs from what a `tt.Recorder` has, and writes it to the logs.

    With values v of the loss before it is reduced, one for each element (a sample, or a step or pixel of it),
    m = 1 for elements that the masks leave valid and 0 for others, and sample weights w (class weights
    included):

        normalize="count":    sum(w * m * v) / sum(m)        as Keras divides within a batch
        normalize="weights":  sum(w * m * v) / sum(w * m)    as weighted metrics do

    over all elements of the epoch: what Keras would report if the epoch were one batch. Several outputs are
    summed with their `loss_weights`. Regularisation and other losses that belong to no sample are not in it.
    It is NaN where no element is valid, or all weights are 0. To monitor it, `EarlyStopping` and its like need
    `mode="min"`: Keras knows the direction of its own metrics alone.

    In training the values come from weights that change from step to step, as Keras' own loss does; in
    validation from the weights after the epoch. What can't be told (recording has failed, steps were
    dropped) is left out of the logs, with a `RecordingWarning`. After `evaluate`, which returns no values of
    callbacks, the value is in `results`.

    Where there are neither masks nor weights it is the mean of the recorded losses. Else the compiled loss is
    computed once more from the recorded y_true and y_pred, in chunks, for its values by element; a loss that
    needs more than these two is refused then. `tt.losses.ClassWeighted(normalize="weights")`, whose values
    depend on their batch, is computed in one chunk, with the labels and outputs of the epoch in memory.

    Args:
        loss: None for the loss that the model is compiled with; or another one, a Keras loss, its name, or
            `fn(y_true, y_pred)` that returns values per sample or element.
        output: The output that is meant, of a model with several; None for their sum.
        normalize: "count" or "weights"; None for what the loss says: "weights" with
            `reduction="mean_with_sample_weight"`, else "count".
        name: The name in the logs: "epoch_loss", of another loss "epoch_<its name>", of one output with
            "<output>_" before it.
        phases: Of "train", "val" (validation inside `fit`, "val_" before the name) and "test" (`evaluate`).
        recorder: The recorder to read from; None for the one in the same list of callbacks.

    Attributes:
        results: What was written to the logs last, by name.

    Raises:
        LossError: `loss` is no loss, or it can't be computed from y_true and y_pred.
        TapError: Another argument that can't be; while Keras runs, no recorder before it, or one that doesn't
            record every sample of the phase.
        StructureError: An unknown output, or with `loss` none of several, is named.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import truetap as tt
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="zeros")])
        >>> model.compile(keras.optimizers.SGD(0.0), "mse")
        >>> recorder = tt.Recorder(tempfile.mkdtemp())
        >>> weight = np.array([1.0, 0.0, 0.0, 0.0])
        >>> history = model.fit(np.ones((4, 2)), np.full(4, 2.0), sample_weight=weight, batch_size=2, verbose=0,
        ...                     callbacks=[recorder, tt.EpochLoss(normalize="weights")])
        >>> history.history["loss"], history.history["epoch_loss"]
        ([1.0], [4.0])
    """

    def __init__(
        self,
        loss: Any = None,
        *,
        output: str | None = None,
        normalize: Literal["count", "weights"] | None = None,
        name: str | None = None,
        phases: Collection[str] | str = ("train", "val", "test"),
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__(output, phases, recorder)
        if normalize not in (None, "count", "weights"):
            raise LossError(f"normalize= is 'count', 'weights' or None. Received: normalize={normalize!r}.")
        self.loss: Any = None if loss is None else _as_loss(loss)
        self.normalize = normalize
        known = "loss" if self.loss is None else loss if isinstance(loss, str) else self.loss.name
        self.name: str = name or f"{'' if output is None else f'{output}_'}epoch_{known}"

    def _names(self) -> list[str]:
        return [self.name]

    def _check_outputs(self, known: tuple[str, ...]) -> None:
        super()._check_outputs(known)
        if self.loss is not None and self.output is None and len(known) > 1:
            raise StructureError(
                f"The model has several outputs. Received: EpochLoss({self.loss.name!r}) of none of them. Expected: "
                f"output= one of {list(known)}, or no loss for the sum of the compiled ones."
            )

    def _values(self, found: PassRows, about: About, where: str) -> Mapping[str, float]:
        if self.loss is not None:
            losses = [(self.output or about.outputs[0], OutputLoss((), self.loss, None))]
        else:
            losses = [(name, each) for name, each in self._compiled(about) if self.output in (None, name)]
            recorded = self._recorded(found, losses)
            if recorded is not None:
                return {self.name: recorded}
        total = 0.0
        for output, each in losses:
            if not isinstance(output, str):
                raise LossError(
                    f"The loss {each.loss.name!r} takes several outputs, and with masks or weights the recorded losses "
                    "of samples are too little. Expected: one loss for each output."
                )
            sums = element_sums(OutputView(found, output) if output else found, each.loss, where)
            factor = each.weight if self.output is None and each.weight is not None else 1.0
            total += factor * sums.mean(self.normalize or _normalization(each.loss))
        return {self.name: total}

    def _recorded(self, found: PassRows, losses: Sequence[tuple[Any, OutputLoss]]) -> float | None:
        """The mean of the recorded losses; None where that is too little."""
        if "loss" not in found.column_names:
            raise LossError(
                "There is no loss per sample in this run; a RecordingWarning said why when it was recorded. Expected: "
                "a compiled loss that returns one value per sample, or EpochLoss(loss) to compute one from y_true and "
                "y_pred."
            )
        if not losses:
            raise LossError(
                f"The output {self.output!r} is compiled without a loss. Expected: EpochLoss(loss, output=…)."
            )
        own = column("loss", self.output or "")
        if "weighted_loss" in found.column_names or own not in found.column_names:  # masks or weights; one loss only
            return None
        if any(depends_on_batch(each.loss) for _, each in losses):
            return None
        sums = Sums()
        for batch in found.select([own]):
            sums.add(decode(batch.column(own)))
        return sums.mean("count")

    def _compiled(self, about: About) -> list[tuple[Any, OutputLoss]]:
        """The compiled losses with the name of their output; with a structure of names where one takes several."""
        found = []
        for each in compiled_losses(self._model):
            name: Any = about.shape
            for key in each.path:
                name = name[key]
            found.append((name, each))
        return found

    def __repr__(self) -> str:
        return f"EpochLoss({self.name!r})"


def _as_loss(loss: Any) -> Any:
    try:
        found = keras.losses.get(loss) if isinstance(loss, str) else loss
    except ValueError as error:
        raise LossError(f"Keras knows no loss {loss!r}. {near_names(loss, dir(keras.losses))}") from error
    if isinstance(found, type) or not callable(found):
        raise LossError(f"loss= is a Keras loss, its name, or a function fn(y_true, y_pred). Received: {loss!r}.")
    return as_loss(found)


def _normalization(loss: Any) -> str:
    return "weights" if loss.reduction == "mean_with_sample_weight" else "count"
