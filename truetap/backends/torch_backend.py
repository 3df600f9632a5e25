"""torch: a step runs op by op, without gradients and in evaluation mode, as `model.predict` does."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import torch

from truetap.backends.protocol import Array, Step
from truetap.backends.tensors import to_host
from truetap.backends.torch_in_step import TorchInStep
from truetap.structure import map_leaves


class TorchRunner:
    """The step itself; `torch.compile`d when the model is."""

    def __init__(self, model: Any, step: Step) -> None:
        self._model: Callable[[], Any] = weakref.ref(model)
        self._was_training = False
        compiled = not model.run_eagerly and model.jit_compile
        self._run = torch.compile(step) if compiled else step

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        if self._model().training:  # at the first batch, or again after training between two batches
            self._was_training = True
            self._model().eval()
        with torch.no_grad():
            return dict(self._run(map_leaves(_to_device, batch)))

    def close(self) -> None:
        """Puts the module back into the mode it was in."""
        if self._was_training:
            self._model().train()
        self._was_training = False


def _to_device(leaf: Any) -> Any:
    if leaf is None or (isinstance(leaf, np.ndarray) and leaf.dtype.kind in "OSUT"):
        return leaf
    if isinstance(leaf, np.ndarray) and not leaf.flags.writeable:
        leaf = leaf.copy()  # torch shares memory with NumPy and refuses what it may not write
    return keras.ops.convert_to_tensor(leaf)


class TorchBackend(TorchInStep):
    """See `truetap.backends.protocol.Backend`."""

    name = "torch"
    mutable = True
    compiles = False

    def is_native(self, value: Any) -> bool:
        return isinstance(value, torch.Tensor)

    def compile(self, model: Any, step: Step) -> TorchRunner:
        return TorchRunner(model, step)

    def predict_step(self, model: Any, x: Any) -> Any:
        return model.predict_step((x,))

    def dense(self, value: Any) -> tuple[Any, Any]:
        return value, None

    def escaped(self, error: Exception) -> bool:
        return False  # op by op: there is nothing to escape from

    def fetch(self, results: Mapping[str, Any]) -> dict[str, Array]:
        # copies: torch's own blocks, when kept by the thousand, take twice their size from malloc
        return {name: np.array(_on_host(value)) for name, value in results.items()}


def _on_host(value: Any) -> Array:
    plain = type(value) is torch.Tensor and value.device.type == "cpu" and not value.requires_grad
    if plain and value.layout is torch.strided and value.dtype is not torch.bfloat16 and not value.is_nested:
        return np.asarray(value.numpy())  # what nearly every value is; asking for all else takes longer than this
    return to_host(value)


BACKEND = TorchBackend()
