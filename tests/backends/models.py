"""Small models, and what they give when they are called by hand."""

from __future__ import annotations

import os
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

import truetap as tt

Array = npt.NDArray[Any]

RNG = np.random.default_rng(2)
N = 22  # batches of 8, 8 and 6 rows
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=N).astype("float32")
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")


def collect(*args: Any, **kwargs: Any) -> Any:
    """`tt.collect`; Any, so that a test may take a loss for granted."""
    return tt.collect(*args, **kwargs)


def host(value: Any) -> Array:
    return np.asarray(ops.convert_to_numpy(value))


def outputs_of(model: Any, x: Any) -> Any:
    return keras.tree.map_structure(host, model(x, training=False))


def loss_of(model: Any, *data: Any, **kwargs: Any) -> float:
    logs = model.evaluate(*data, batch_size=8, verbose=0, return_dict=True, **kwargs)
    return float(logs["loss"])


def sequential(*layers: Any, shape: Any = (4,), **compiled: Any) -> Any:
    model = keras.Sequential([keras.Input(shape), *layers])
    model.compile(**({"loss": "mse"} | compiled))
    return model


@keras.saving.register_keras_serializable("truetap-tests")
class Subclassed(keras.Model):  # type: ignore[misc]
    """Two heads of a shared layer that is called twice, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = keras.layers.Dense(4, activation="tanh", name="shared")
        self.head = keras.layers.Dense(1, name="head")
        self.idle = keras.layers.Dense(1, name="idle")

    def build(self, shape: Any) -> None:
        self.shared.build(shape)
        self.head.build(shape)
        self.idle.build(shape)

    def call(self, x: Any) -> Any:  # no `training`
        return self.head(self.shared(self.shared(x)))


def subclassed(cls: Any = Subclassed, **compiled: Any) -> Any:
    model = cls()
    model(X[:2])
    model.compile(**({"loss": "mse"} | compiled))
    return model
