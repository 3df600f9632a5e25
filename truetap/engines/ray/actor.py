"""The actor that holds the model, collects units and writes them to the run."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import ray

from truetap.data.element import take_key
from truetap.engines.ray.reading import Given, opened
from truetap.engines.shared_run import check_reachable
from truetap.engines.shipping import Shipped, model_stamp, unpack
from truetap.engines.work import Outcome, Settings, work_on
from truetap.errors import ModelError
from truetap.ids import as_ids

__all__ = ["CollectActor", "KerasSettings", "actor_class", "check_same"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class KerasSettings:
    """What of Keras' configuration decides about values, and isn't in the model's file."""

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: str  # of layers that a function makes

    @classmethod
    def here(cls) -> KerasSettings:
        """Those of this process."""
        config = keras.config
        return cls(config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name)

    def use(self) -> None:
        """Makes them those of this process."""
        keras.config.set_floatx(self.floatx)
        keras.config.set_epsilon(self.epsilon)
        keras.config.set_image_data_format(self.image_data_format)
        keras.config.set_dtype_policy(self.dtype_policy)


class CollectActor:
    """Made by Ray in a process of its own; the model is read with the first call.

    Args:
        shipped: The model.
        settings: What is the same for all units.
        keras_settings: Keras' configuration.
        stamp: Digest of the model that it has to be; None for the first actor to come.
        done: Ids that the run has already, sorted: their rows are left out. None where units tell that.
    """

    def __init__(
        self,
        shipped: Shipped,
        settings: Settings,
        keras_settings: KerasSettings,
        stamp: str | None,
        done: Array | None,
    ) -> None:
        self._shipped = shipped
        self._settings = settings
        self._keras_settings = keras_settings
        self._expected = stamp
        self._done = done
        self._model: Any = None

    def ready(self) -> str:
        """Reads the model; the model's digest.

        Raises:
            ModelError: It can't be made, or is another than it has to be.
            StoreError: The run's folder can't be seen from here.
        """
        if self._model is None:
            check_reachable(self._settings.run, self._settings.stamp)
            self._keras_settings.use()
            model = unpack(self._shipped)
            stamp = model_stamp(model)
            check_same(stamp, self._expected)
            self._expected, self._model = stamp, model
        assert self._expected is not None
        return self._expected

    def collect(self, given: Given, data: Any) -> Outcome | None:
        """Collects a unit; None when all its rows are in the run already."""
        self.ready()
        started = time.perf_counter()
        piece = opened(given, data)
        opening = time.perf_counter() - started
        if self._done is not None:
            ids, _ = take_key(piece.element, self._settings.ids, self._settings.facts.kind)
            piece = piece.only(_absent(as_ids(ids), self._done))
            if not piece.rows:
                return None
        outcome = work_on(self._model, piece, given.task, self._settings)
        return replace(outcome, seconds={**outcome.seconds, "open": opening})


def _absent(ids: Array, done: Array) -> Array:
    """Which ids aren't among sorted ones."""
    places = np.minimum(np.searchsorted(done, ids), len(done) - 1)
    return np.asarray(done[places] != ids, dtype=bool)


def check_same(stamp: str, expected: str | None) -> None:
    """Refuses a model that isn't that of the other actors.

    Raises:
        ModelError: It isn't.
    """
    if expected is not None and stamp != expected:
        raise ModelError(
            "The actors hold different models: the function that makes the model gives another one each time. "
            "Expected: one that loads the same weights in every process; or the model itself in its place."
        )


def actor_class(options: dict[str, Any]) -> Any:
    """The actor's class for Ray, with what it needs of the cluster."""
    return ray.remote(CollectActor).options(**options)
