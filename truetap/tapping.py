"""`tap`: an identity that a recorder listens to, for tensors that are no layer's output.

It stands in losses, layers, `train_step` and loops. What is tapped is seen while the step is traced (on torch:
run), and leaves it beside the recorder's other values. Free when nobody listens: one look at a variable of
the thread, nothing in the compiled step. A value inside a compiled loop or branch can't leave it: there, with a
recorder listening, `tap` raises `TapError` and says where to put it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, overload

import keras

from truetap.backends.autograph import as_it_is
from truetap.backends.keras_private import as_loss, keras_mask
from truetap.errors import TapError

__all__ = ["Listener", "listening", "tap"]

Value = TypeVar("Value")


class Listener(Protocol):
    """Whoever wants what is tapped in this thread: `truetap.capture.watch.Watch`."""

    def hear(self, name: str, value: Any, per_sample: bool | None) -> None:
        """Takes a value, or a structure of values."""


class _Local(threading.local):
    listener: Listener | None = None


_LOCAL = _Local()


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hands to a listener what this thread taps inside the block; the outer listener hears none of it."""
    before, _LOCAL.listener = _LOCAL.listener, listener
    try:
        yield
    finally:
        _LOCAL.listener = before


@overload
def tap(value: Callable[..., Any], name: str) -> Any: ...
@overload
def tap(value: Value, name: str, *, per_sample: bool | None = None) -> Value: ...
@as_it_is
def tap(value: Any, name: str, *, per_sample: bool | None = None) -> Any:
    """Gives back what it is given; a recorder that listens records it.

    Args:
        value: A tensor of any shape and dtype, or a structure of tensors; a loss (a `keras.losses.Loss`, its name
            in Keras, or a function of `y_true` and `y_pred`); or, while a functional model is put together, a
            `KerasTensor`.
        name: What it is recorded under; the leaves of a structure have their keys behind it (`name/key`). A second
            value of the same name in one step is `name#1`, as for layers.
        per_sample: Whether the first axis is that of the samples, so that each row is recorded with its
            `sample_id`. None: if it is as long as the batch.

    Returns:
        The value itself. Of a loss, a loss that taps what Keras hands it: `name/y_true`, `name/y_pred`, and
        where there are any `name/sample_weight` and `name/mask`; and `name/values`, before they are reduced. Of a
        `KerasTensor`, that of a layer that taps it whenever the model runs.

    Raises:
        TapError: A recorder listens, and the value can't leave the compiled loop, branch or function in which it
            exists; or the name is none.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> import truetap as tt
        >>> def loss(y_true, y_pred):
        ...     error = tt.tap(y_true - y_pred, "error")
        ...     return keras.ops.mean(error**2, axis=-1)
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", loss)
        >>> path = tempfile.mkdtemp()
        >>> history = model.fit(np.ones((8, 3)), np.ones(8), verbose=0, callbacks=[tt.Recorder(path)])
        >>> tt.open(path).tapped("error").values.shape
        (8, 1)
    """
    if not isinstance(name, str) or not name:
        raise TapError(
            f"tap() records a value under a name. Received: name={name!r}. Expected: tt.tap(value, 'error')."
        )
    if isinstance(value, keras.KerasTensor):
        return _TapLayer(name, per_sample)(value)
    if callable(value) or isinstance(value, str):
        return _TappedLoss(value, name)
    listener = _LOCAL.listener
    if listener is not None:
        listener.hear(name, value, per_sample)
    return value


@keras.saving.register_keras_serializable("truetap", "Tap")
class _TapLayer(keras.layers.Layer):  # type: ignore[misc]
    """Taps what goes through it; stands in a functional model where a tensor was tapped."""

    def __init__(self, tapped: str, per_sample: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tapped = tapped
        self.per_sample = per_sample
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return tap(inputs, self.tapped, per_sample=self.per_sample)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tapped": self.tapped, "per_sample": self.per_sample}


@keras.saving.register_keras_serializable("truetap", "TappedLoss")
class _TappedLoss(keras.losses.Loss):  # type: ignore[misc]
    """A loss that taps what it is given; see `tap`."""

    def __init__(self, loss: Any, tapped: str) -> None:
        self.loss = as_loss(keras.losses.get(loss))
        self.tapped = tapped
        super().__init__(name=self.loss.name, reduction=self.loss.reduction, dtype=self.loss.dtype)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        tap(y_true, f"{self.tapped}/y_true", per_sample=True)
        tap(y_pred, f"{self.tapped}/y_pred", per_sample=True)
        if sample_weight is not None:
            tap(sample_weight, f"{self.tapped}/sample_weight", per_sample=True)
        mask = keras_mask(y_pred)
        if mask is not None:
            tap(mask, f"{self.tapped}/mask", per_sample=True)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        values = self.loss.call(y_true, y_pred)
        tap(values, f"{self.tapped}/values")
        return values

    def get_config(self) -> dict[str, Any]:
        return {"loss": keras.saving.serialize_keras_object(self.loss), "tapped": self.tapped}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _TappedLoss:
        return cls(keras.saving.deserialize_keras_object(config["loss"]), config["tapped"])
