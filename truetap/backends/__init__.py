"""The room where Keras' three backends differ; everything else is written once.

Which one Keras runs on is known only after Keras is imported, so the module of a backend is loaded
when its first model is seen.
"""

from __future__ import annotations

import importlib

from truetap.backends.protocol import Backend, Runner, Step
from truetap.backends.tensors import loaded
from truetap.errors import ModelError

__all__ = ["Backend", "Runner", "Step", "current"]

_NAMES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}


def current() -> Backend:
    """The backend that Keras runs on in this process.

    Raises:
        ModelError: A backend that Keras can't train on (NumPy, OpenVINO).
    """
    keras = loaded("keras")
    name = keras.backend.backend() if keras is not None else "none: Keras isn't imported"
    if name not in _NAMES:
        raise ModelError(f"truetap runs on TensorFlow, JAX and torch. Received: backend {name!r}.")
    module = importlib.import_module(f"truetap.backends.{_NAMES[name]}_backend")
    backend: Backend = module.BACKEND
    return backend
