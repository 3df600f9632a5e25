"""`EpochMetric`: any function of all true and predicted values of an epoch, as a metric of Keras' logs.

F1, AUC and their like are no means over batches; Keras' running metrics approximate them or can't have
them. Cost: one epoch's labels and outputs in memory while the function runs, and its time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.about import About
from truetap.backends.tensors import is_array, to_host
from truetap.columns import concatenate, decode
from truetap.epoch_values.callback import EpochValue
from truetap.epoch_values.passes import PassRows
from truetap.errors import StructureError, TapError, TaskError
from truetap.recorder import Recorder
from truetap.samples import Samples
from truetap.tasks import OutputTask, pred_labels, true_labels
from truetap.timesteps import valid_steps

__all__ = ["EpochMetric"]

Array = npt.NDArray[Any]

_NEEDED = ("y_true", "y_pred", "mask", "sample_weight")


class EpochMetric(EpochValue):
    """Computes a metric over whole epochs from what a `tt.Recorder` has, and writes it to the logs.

    It stands behind the recorder in `callbacks=`, and before what monitors it. `History`, `CSVLogger`,
    `EarlyStopping`, `ModelCheckpoint` (with their `mode=`, since Keras knows the direction of its own metrics
    alone) and the run's `epochs()` see the value. No second forward pass is made:
    y_true and y_pred are those of the epoch's own steps. So in training they come from weights that change
    from step to step, as those of Keras' running metrics do; in validation from the weights after the epoch.

    Of sequences and images with a mask, `fn` gets the elements that the mask leaves, end to end: y_true of
    shape (elements, …), and y_pred likewise. What can't be told (recording has failed, steps were dropped) is
    left out of the logs, with a `RecordingWarning`. After `evaluate`, which returns no values of callbacks,
    the value is in `results`.

    Args:
        fn: `fn(y_true, y_pred)`, such as a metric of scikit-learn; NumPy arrays of shape (n, …) as
            `run.samples()` has them. It returns a number, or a dict of numbers by name.
        of: What y_true and y_pred are: "scores" as recorded, or "labels": class indices, shape (n, …), as
            `samples.true_labels` and `pred_labels` have them.
        output: The output that is meant, of a model with several.
        weighted: Whether `fn` is given `sample_weight=`, float of shape (n,): those recorded, class weights
            included, or ones.
        name: The name in the logs; by default that of `fn`, with "<output>_" before it. The numbers of a dict
            are named by its keys, with "<name>_" before them if a name is given.
        phases: Of "train", "val" (validation inside `fit`, "val_" before the name) and "test" (`evaluate`).
        recorder: The recorder to read from; None for the one in the same list of callbacks.

    Attributes:
        results: What was written to the logs last, by name.

    Raises:
        TapError: An argument that can't be; while Keras runs, no recorder before it, or one that doesn't record
            every sample of the phase.
        StructureError: There are several outputs and none, or an unknown one, is named.
        TaskError: `fn` returns no number, or labels are asked for of an output that has none.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import truetap as tt
        >>> def within_one(y_true, y_pred):
        ...     return np.mean(np.abs(y_true - y_pred) < 1)
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.zeros((8, 3)), np.zeros(8)
        >>> callbacks = [tt.Recorder(tempfile.mkdtemp()), tt.EpochMetric(within_one)]
        >>> history = model.fit(x, y, validation_data=(x, y), verbose=0, callbacks=callbacks)
        >>> history.history["within_one"], history.history["val_within_one"]
        ([1.0], [1.0])
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        of: Literal["scores", "labels"] = "scores",
        output: str | None = None,
        weighted: bool = False,
        name: str | None = None,
        phases: Collection[str] | str = ("train", "val", "test"),
        recorder: Recorder | None = None,
    ) -> None:
        super().__init__(output, phases, recorder)
        if not callable(fn):
            raise TapError(f"EpochMetric takes a function fn(y_true, y_pred). Received: {fn!r}.")
        if of not in ("scores", "labels"):
            raise TapError(f"of= is 'scores' or 'labels'. Received: of={of!r}.")
        self.fn = fn
        self.of = of
        self.weighted = weighted
        self.name = name
        self._fallback = _name_of(fn) if name is None else name

    def _names(self) -> list[str]:
        return [self._called()]

    def _check_outputs(self, known: tuple[str, ...]) -> None:
        super()._check_outputs(known)
        if self.output is None and len(known) > 1:
            raise StructureError(
                f"The model has several outputs. Received: EpochMetric {self._fallback!r} of none of them. Expected: "
                f"output= one of {list(known)}; one EpochMetric for each."
            )

    def _values(self, found: PassRows, about: About, where: str) -> Mapping[str, float]:
        samples = Samples(found, about)[self.output or about.outputs[0]]
        y_true, y_pred, weight = self._arguments(samples)
        extra = {"sample_weight": weight} if self.weighted else {}
        try:
            value = self.fn(y_true, y_pred, **extra)
        except Exception as error:
            error.add_note(
                f"In EpochMetric {self._fallback!r}, {where}, called with y_true {_shown(y_true)} and y_pred "
                f"{_shown(y_pred)}{f', sample_weight {_shown(weight)}' if extra else ''}."
            )
            raise
        if isinstance(value, Mapping):
            return {self._called(str(key)): self._number(number, f"{key!r}: ") for key, number in value.items()}
        return {self._called(): self._number(value)}

    def _arguments(self, samples: Samples) -> tuple[Array, Array, Array]:
        task = samples.task() if self.of == "labels" else None
        parts = list(_pieces(samples.record_batches, task))
        if not parts:
            raise TaskError(f"EpochMetric {self._fallback!r} needs labels. Received: data without them.")
        shapes = {tuple(array.shape[1:] for array in part[:2]) for part in parts}
        if len(shapes) > 1:
            raise TaskError(
                f"The batches differ in shape, and no mask says what is padding. Received: y_true and y_pred of shapes "
                f"{sorted(shapes)[:4]}. Expected: one shape, or a model with a mask."
            )
        y_true, y_pred, weight = (concatenate(list(arrays)) for arrays in zip(*parts, strict=True))
        return y_true, y_pred, weight

    def _number(self, value: Any, key: str = "") -> float:
        array = to_host(value) if is_array(value) else np.asarray(value)
        if array.size != 1 or array.dtype.kind not in "biuf":
            raise TaskError(
                f"EpochMetric {self._fallback!r} needs one number. Received: {key}{_shown(array)}. Expected: a number, "
                "such as with average='macro', or a dict of numbers."
            )
        return float(array.reshape(()))

    def _called(self, key: str | None = None) -> str:
        """The name in the logs; of a number in a dict, by its key."""
        own = self._fallback if key is None else key if self.name is None else f"{self.name}_{key}"
        return own if self.output is None or self.name is not None else f"{self.output}_{own}"

    def __repr__(self) -> str:
        return f"EpochMetric({self._called()!r}, of={self.of!r})"


def _pieces(batches: Sequence[pa.RecordBatch], task: OutputTask | None) -> Iterator[tuple[Array, Array, Array]]:
    """y_true, y_pred and the weights, of the elements that count."""
    names = rows.column_names(batches)
    if "y_true" not in names:
        return
    for batch in rows.uniform(rows.only(batches, [name for name in _NEEDED if name in names])):
        y_true, y_pred = decode(batch.column("y_true")), decode(batch.column("y_pred"))
        valid = valid_steps(batch, "")
        weight = decode(batch.column("sample_weight")).astype(np.float64) if "sample_weight" in names else None
        if task is not None:
            y_true, y_pred = true_labels(y_true, task), pred_labels(y_pred, task)
        if valid is None:
            yield y_true, y_pred, np.ones(len(y_true)) if weight is None else _one_each(weight, (len(y_true),))
            continue
        if valid.ndim > 2 and valid.shape[-1] == 1:
            valid = valid[..., 0]
        for values in (y_true, y_pred):
            if values.shape[: valid.ndim] != valid.shape:
                raise TaskError(
                    f"The mask doesn't lie over the values. Received: a mask of shape {valid.shape}, y_true "
                    f"{_shown(y_true)}, y_pred {_shown(y_pred)}. Expected: a mask over their first axes."
                )
        weights = np.ones(valid.shape) if weight is None else _one_each(weight, valid.shape)
        yield y_true[valid], y_pred[valid], weights[valid]


def _one_each(weight: Array, shape: tuple[int, ...]) -> Array:
    """Weights over elements of a shape: one each, or one a sample."""
    while weight.ndim > len(shape) and weight.shape[-1] == 1:
        weight = weight[..., 0]
    whole = weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim))
    return np.broadcast_to(whole, shape)


def _name_of(fn: Callable[..., Any]) -> str:
    inner = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    name = str(getattr(inner, "__name__", type(inner).__name__))
    if name == "<lambda>":
        raise TapError("A lambda has no name for the logs. Expected: EpochMetric(…, name='my_metric').")
    return name


def _shown(array: Any) -> str:
    values = np.asarray(array)
    return f"{values.dtype} of shape {values.shape}"
