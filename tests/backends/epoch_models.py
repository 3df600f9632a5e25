"""Data and small models of the tests of epoch values, and what they give by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

Array = npt.NDArray[Any]

RNG = np.random.default_rng(4)
N, T = 11, 5  # at batch sizes 1, 2, 4 and 8 the last batch is full or partial
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
BINARY = (X[:, 0] + RNG.normal(size=N) > 0).astype("int32")
CLASSES = RNG.integers(0, 3, N)
WEIGHT = RNG.uniform(0, 3, N).astype("float32")
LENGTHS = np.asarray([1, 5, 2, 4, 1, 3, 5, 1, 2, 5, 1])
VALID = np.arange(T) < LENGTHS[:, None]
SEQUENCES = (RNG.normal(size=(N, T, 2)) * VALID[..., None]).astype("float32")
TAGS = RNG.normal(size=(N, T, 2)).astype("float32")
TAG_CLASSES = RNG.integers(0, 3, (N, T))
STEP_WEIGHT = RNG.uniform(0, 3, (N, T)).astype("float32")
CLOSE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-7}


def dense(units: int = 1, activation: str | None = None, **compiled: Any) -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(units, activation=activation)])
    model.compile(**({"loss": "mse", "optimizer": keras.optimizers.SGD(0.1)} | compiled))
    return model


def sequences(units: int = 2, masked: bool = True, activation: str | None = None, **compiled: Any) -> Any:
    between = [layers.Masking()] if masked else []
    model = keras.Sequential([keras.Input((T, 2)), *between, layers.Dense(units, activation=activation)])
    model.compile(**({"loss": "mae", "optimizer": keras.optimizers.SGD(0.1)} | compiled))
    return model


def heads(masked: bool = True, **compiled: Any) -> Any:
    inputs = keras.Input((T, 2))
    between = layers.Masking()(inputs) if masked else inputs
    model = keras.Model(inputs, {"z": layers.Dense(2, name="z")(between), "a": layers.Dense(1, name="a")(inputs)})
    model.compile(**({"loss": "mse", "optimizer": keras.optimizers.SGD(0.1)} | compiled))
    return model


def forward(model: Any, x: Array, name: str | None = None) -> Array:
    """What the last layer, or the one of a name, makes of x."""
    layer = model.layers[-1] if name is None else model.get_layer(name)
    kernel, bias = layer.get_weights()
    scores = x.astype(np.float64) @ kernel + bias
    if layer.activation is keras.activations.sigmoid:
        return np.asarray(1 / (1 + np.exp(-scores)))
    powers = np.exp(scores)
    softmax = layer.activation is keras.activations.softmax
    return np.asarray(powers / powers.sum(-1, keepdims=True) if softmax else scores)


def mean(values: Array, mask: Any = 1.0, weight: Any = 1.0, by: str = "count") -> float:
    """sum(w m v) / sum(m), or sum(w m v) / sum(w m), over all elements of the epoch."""
    mask = np.broadcast_to(mask, values.shape).astype(float)
    weight = np.broadcast_to(weight, values.shape).astype(float)
    return float((weight * mask * values).sum() / ((weight * mask) if by == "weights" else mask).sum())


def absolute(pred: Array, truth: Array) -> Array:
    return np.asarray(np.abs(pred.astype(float) - truth).mean(-1))


def square(pred: Array, truth: Array) -> Array:
    return np.asarray(((pred.astype(float) - truth) ** 2).mean(-1))


def entropy(pred: Array, truth: Array) -> Array:
    safe = np.where(truth < 0, 0, truth)
    return np.asarray(-np.log(np.take_along_axis(pred.astype(float), safe[..., None], -1)[..., 0]))


def bias(y_true: Array, y_pred: Array) -> float:
    return float(np.mean(y_pred - y_true))


def fit(*callbacks: Any, model: Any = None, **options: Any) -> Any:
    return (model or dense()).fit(X, Y, 11, verbose=0, callbacks=list(callbacks), **options)
