"""A model on its way to other processes: as a `.keras` file with what it needs, or as its function.

The file holds architecture, weights, loss and optimizer. Classes and functions of the user's own
that are registered with Keras, or of which the model is made, go with it, so that they need not be
importable over there.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from truetap.backends.keras_private import user_metrics
from truetap.errors import ModelError
from truetap.selection import layers_by_path

__all__ = ["Shipped", "model_stamp", "pack", "unpack"]

_REMEDY = (
    "Expected: classes and functions of your own registered by @keras.saving.register_keras_serializable(), with a "
    "get_config() that gives all arguments of __init__; or, in the place of the model, a function without arguments "
    "that makes it, loads its weights and compiles it."
)


@dataclass(frozen=True)
class Shipped:
    """A model that can be sent.

    Attributes:
        make: A function that makes it, or None.
        saved: The bytes of its `.keras` file, or None.
        compiled: Whether it has a loss.
        objects: Its own classes and functions by the names under which Keras looks for them.
    """

    make: Callable[[], Any] | None = None
    saved: bytes | None = field(default=None, repr=False)
    compiled: bool = False
    objects: dict[str, Any] = field(default_factory=dict, repr=False)


def pack(model: Any) -> Shipped:
    """A model, or the function that makes it, ready to be sent.

    Raises:
        ModelError: It is neither, isn't built, or can't be saved.
    """
    if not isinstance(model, keras.Model):
        if callable(model):
            return Shipped(make=model)
        raise ModelError(
            f"A Keras model, or a function that makes one, is expected first. Received: {type(model).__name__}."
        )
    if not model.built:
        raise ModelError(
            f"The model {model.name!r} is not built, so it has no weights to predict with. Expected: a model "
            "that was trained, loaded, or called once."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
        except Exception as error:  # whatever a get_config of the user's raises
            raise _unsendable(model.name, error) from error
        return Shipped(saved=path.read_bytes(), compiled=model.compiled, objects=_own_objects(model))


def unpack(shipped: Shipped) -> Any:
    """The model, over there.

    Raises:
        ModelError: It can't be made again.
    """
    if shipped.make is not None:
        return _made(shipped.make)
    assert shipped.saved is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(shipped.saved)
        try:
            with warnings.catch_warnings():
                # An optimizer that has taken no step has fewer variables than a new one; nothing is trained here.
                warnings.filterwarnings("ignore", "Skipping variable loading for optimizer", UserWarning)
                # The file was written by the calling process a moment ago: its lambdas are the caller's own.
                model = keras.saving.load_model(path, custom_objects=shipped.objects, safe_mode=False)
        except Exception as error:  # whatever a constructor of the user's raises
            raise _unsendable("", error) from error
    if shipped.compiled and not model.compiled:
        raise ModelError(f"The model arrived without its loss, which Keras could not save. {_REMEDY}")
    return model


def model_stamp(model: Any) -> str:
    """A digest by which a model is known again: weights, layers and loss."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in model.weights:  # without the states of random numbers and metrics
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(variable.value))
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(values.tobytes())
    for layer in layers_by_path(model).values():
        digest.update(f"{type(layer).__name__} {layer.dtype_policy.name} {_activation(layer)}".encode())
    compiled = (model.get_compile_config() or {}) if model.compiled else {}
    losses = [_plain(compiled.get(key)) for key in ("loss", "loss_weights")]
    digest.update(json.dumps(losses, sort_keys=True).encode())
    return digest.hexdigest()


def _made(make: Callable[[], Any]) -> Any:
    model = make()
    if not isinstance(model, keras.Model) or not model.built:
        raise ModelError(
            f"The function in the place of the model made none that can be run. Received: {type(model).__name__}"
            f"{' that is not built' if isinstance(model, keras.Model) else ''}. Expected: a built Keras model."
        )
    return model


def _own_objects(model: Any) -> dict[str, Any]:
    """What Keras has to know to read the file, and can't import over there: things of the user's own."""
    found = dict(keras.saving.get_custom_objects())
    parts = [model, *layers_by_path(model).values()]
    activations = (getattr(part, "activation", None) for part in parts)
    for thing in [*map(type, parts), *activations, *_compiled_with(model)]:
        name = getattr(thing, "__name__", "")
        if callable(thing) and name.isidentifier() and not thing.__module__.startswith("keras."):
            found.setdefault(name, thing)
    return found


def _compiled_with(model: Any) -> list[Any]:
    used = keras.tree.flatten([getattr(model, "loss", None), getattr(model, "optimizer", None), user_metrics(model)])
    return [each if hasattr(each, "__name__") else type(each) for each in used if each is not None]


def _activation(layer: Any) -> str:
    found = getattr(layer, "activation", None)
    return str(getattr(found, "__name__", type(found).__name__))


def _plain(value: Any) -> Any:
    """A config as plain data that is the same in every process."""
    if isinstance(value, dict):
        if value.get("class_name") == "__lambda__":  # the same code has several encodings
            return "a lambda"
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value if isinstance(value, bool | int | float | str | None) else type(value).__name__


def _unsendable(name: str, error: Exception) -> ModelError:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
    said = f"The model {name!r} can't be saved" if name else "The model can't be read again in another process"
    return ModelError(f"{said}, so it can't be sent there ({type(error).__name__}: {first}). {_REMEDY}")
