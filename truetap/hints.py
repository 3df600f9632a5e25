"""What a model and its loss say about each output before a value is seen."""

from __future__ import annotations

import re
from typing import Any

import keras

from truetap.backends.keras_private import OutputLoss
from truetap.loss_context import innermost
from truetap.pairing import Outputs
from truetap.tasks import Hint

__all__ = ["hints", "loss_name"]


def hints(model: Any, outputs: Outputs, losses: list[OutputLoss]) -> dict[str, Hint]:
    """A hint for each output by name: its loss, `from_logits`, and the activation that makes it."""
    by_name: dict[str, Any] = {}
    for each in losses:
        name = outputs.name_at(each.path)
        if isinstance(name, str):
            by_name[name] = innermost(each.loss)
    found = {}
    for name in outputs.names:
        loss = by_name.get(name)
        found[name] = Hint(
            loss=None if loss is None else loss_name(loss),
            from_logits=_from_logits(loss),
            activation=_activation(model, name or outputs.label),
            ignore_class=getattr(loss, "ignore_class", None),
        )
    return found


def loss_name(loss: Any) -> str:
    """The registered name: of the function behind a wrapper, else of the class in snake_case."""
    function = getattr(loss, "fn", None)
    if function is not None and hasattr(function, "__name__"):
        return str(function.__name__)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(loss).__name__).lower()


def _from_logits(loss: Any) -> bool | None:
    value = getattr(loss, "from_logits", None)
    return None if value is None else bool(value)


def _activation(model: Any, name: str | None) -> str | None:
    """The activation of the layer that makes an output; None when that can't be told."""
    layer = None
    if name and name in getattr(model, "output_names", ()):
        layer = next((each for each in model.layers if each.name == name), None)
    if layer is None and isinstance(model, keras.Sequential) and model.layers:
        layer = model.layers[-1]
    if layer is None:
        return None
    if isinstance(layer, keras.Model):
        names = getattr(layer, "output_names", None) or []
        return _activation(layer, names[0] if len(names) == 1 else None)
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    if isinstance(layer, keras.layers.ReLU):
        return "relu"
    if isinstance(layer, keras.layers.TimeDistributed):
        layer = layer.layer
    activation = getattr(layer, "activation", None)
    return getattr(activation, "__name__", None)
