"""One batch through the model: outputs, masks, losses and layer values, in one forward pass.

The computation is written once with `keras.ops`; a backend compiles it. What is static (names,
order, what should be said) is known when it is traced and kept on the object.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from truetap.about import column
from truetap.backends import current
from truetap.backends.keras_private import OutputLoss, keras_mask, output_losses
from truetap.errors import DataError
from truetap.hints import hints
from truetap.loss_context import given
from truetap.observe import observed, owner
from truetap.pairing import Outputs, declared_outputs, pair
from truetap.sample_loss import SampleLosses, broadcast_said, lies_over, sample_losses
from truetap.tasks import Hint

__all__ = ["PairStep"]


@dataclass
class PairStep:
    """The step for one model and one choice of layers.

    Attributes:
        model: A weak reference to the Keras model.
        layers: The layers to watch, by path.
        outputs: The model's outputs; known after the first run.
        hints: What the model and its loss say of each output; known after the first run.
        said: What tracing found worth saying.
        ragged: Whether labels were ragged.
    """

    model: Callable[[], Any]
    layers: Mapping[str, Any]
    outputs: Outputs | None = None
    hints: dict[str, Hint] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    ragged: bool = False
    _resolved: list[OutputLoss] | None = None
    _failed: list[str] = field(default_factory=list)
    _takes_training: bool | None = None
    _unaligned: list[tuple[Any, int]] = field(default_factory=list)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Runs on `{"x", "y", "sample_weight", "y_mask"}`; returns tensors by the names of their columns."""
        with observed(self.layers) as watched:
            y_pred = self._forward(batch["x"])
        outputs = self.outputs = self.outputs or declared_outputs(self.model(), y_pred)
        self.ragged = batch["y_mask"] is not None
        flat, masks = self._dense(outputs.flat(y_pred), batch["y_mask"], outputs)
        found = self._losses(outputs, flat, masks, batch)

        results = {column("y_pred", name): value for name, value in flat.items()}
        results |= {column("mask", name): mask for name, mask in masks.items() if mask is not None}
        if found.total is not None:
            results["loss"] = found.total
            if len(outputs.names) > 1:
                results |= {column("loss", str(outputs.name_at(path))): value for path, value in found.outputs.items()}
        if found.weighted is not None:
            results["weighted_loss"] = found.weighted
        backend = current()
        results |= {f"layers/{path}": backend.dense(value)[0] for path, value in watched.items()}
        called = {owner(key, self.layers) for key in watched}
        idle = [path for path in self.layers if path not in called]
        if idle:
            found.said.append(f"These layers were selected and did not run in this forward pass: {', '.join(idle)}.")
        self.said = found.said
        self._unaligned = found.unaligned
        return results

    def to_say(self) -> list[str]:
        """What tracing found worth saying; not from inside a trace."""
        waiting, self._unaligned = self._unaligned, []
        self.said += [said for said in (broadcast_said(*each) for each in waiting) if said is not None]
        return self.said

    def forget(self) -> None:
        """Lets go of the losses, which may hold the model, at the end of a pass."""
        self._resolved = None
        self._unaligned = []

    def _forward(self, x: Any) -> Any:
        model = self.model()
        if type(model).predict_step is not keras.Model.predict_step:
            return current().predict_step(model, x)
        if self._takes_training is None:
            accepted = inspect.signature(model.call).parameters
            any_keyword = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
            self._takes_training = "training" in accepted or any_keyword
        return model(x, training=False) if self._takes_training else model(x)

    def _dense(self, flat: dict[str, Any], y_mask: Any, outputs: Outputs) -> tuple[dict[str, Any], dict[str, Any]]:
        dense, masks = {}, {}
        y_masks = {} if y_mask is None else pair(y_mask, outputs, what="masks")[0]
        for name, value in flat.items():
            mask = keras_mask(value)
            dense[name], ragged = current().dense(value)
            mask = ragged if mask is None else mask
            if mask is not None and not lies_over(mask, dense[name]):
                mask = None  # a mask of the inputs that an averaging layer handed on: it masks nothing here
            of_labels = y_masks.get(name)
            if of_labels is not None:
                of_labels = _lengthened(of_labels, dense[name])
                mask = of_labels if mask is None else keras.ops.logical_and(mask, of_labels)
            masks[name] = mask
        return dense, masks

    def _losses(
        self, outputs: Outputs, flat: dict[str, Any], masks: dict[str, Any], batch: dict[str, Any]
    ) -> SampleLosses:
        y_true, _ = pair(batch["y"], outputs)
        if batch["y_mask"] is not None:
            y_true = {name: _lengthened(value, flat[name]) for name, value in y_true.items()}
        weight = batch["sample_weight"]
        weights = None if weight is None else pair(weight, outputs, what="sample weights")[0]
        truth, pred = outputs.pack(y_true), outputs.pack(flat)
        if all(value is None for value in y_true.values()):
            raise DataError("No output of the model has labels in this data.")
        model = self.model()
        try:
            if self._failed:
                return SampleLosses(said=list(self._failed))
            if self._resolved is None:  # once: on torch the step runs anew for every batch
                self.hints = hints(model, outputs, [])
                self._resolved = output_losses(model, truth, pred)
                self.hints = hints(model, outputs, self._resolved)
            losses = self._resolved
            packed = None if weights is None else outputs.pack(weights)
            with given(x=batch["x"], y=batch["y"], y_pred=pred, sample_weight=weight):
                found = sample_losses(losses, truth, pred, packed, outputs.pack(masks))
            if losses and type(model).compute_loss is not keras.Model.compute_loss:
                found.said.append(
                    "The model has its own compute_loss. The loss per sample is that of model.compile(loss=…), which "
                    "may not be what the model trains on."
                )
            return found
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RuntimeError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            # kept: a later batch, whose shape a compiler may know less of, must not try again and fail at run time
            self._failed = [
                "There is no loss per sample: the compiled loss failed on these labels and outputs "
                f"({type(error).__name__}: {first}). The pairs are complete without it."
            ]
            return SampleLosses(said=list(self._failed))


def _lengthened(labels: Any, like: Any) -> Any:
    """Ragged labels, or their mask, padded on to the length of the output they belong to."""
    if labels is None or len(labels.shape) < 2 or len(like.shape) < len(labels.shape):
        return labels
    rest = like[:, keras.ops.shape(labels)[1] :]
    while len(rest.shape) > len(labels.shape):
        rest = rest[..., 0]
    if len(rest.shape) > 2:
        rest = rest[..., : labels.shape[-1]]
    return keras.ops.concatenate([labels, keras.ops.cast(keras.ops.zeros_like(rest), labels.dtype)], axis=1)
