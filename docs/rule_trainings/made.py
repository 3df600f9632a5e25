"""Data of the trainings, made up."""

import numpy as np


def blobs(rows=240, spread=0.2, seed=0):
    """Four classes in six features: (rows, 6), and 0 to 3."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, rows)
    centres = np.random.default_rng(9).normal(size=(4, 6))
    return (centres[labels] + rng.normal(0, spread, (rows, 6))).astype("float32"), labels


def amounts(rows=240, seed=0):
    """Four features and a number that follows them: (rows, 4), (rows, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 4))
    y = x @ [[1.0], [-2.0], [0.5], [0.8]] + rng.normal(0, 0.1, (rows, 1))
    return x.astype("float32"), y.astype("float32")


def yes_no(rows=240, seed=0):
    """Four features, and 1 where they add up to more than nothing, else 0: (rows, 4), (rows, 1)."""
    x = np.random.default_rng(seed).normal(size=(rows, 4))
    return x.astype("float32"), (x.sum(axis=1, keepdims=True) > 0).astype("float32")


def sentences(rows=240, seed=0):
    """Words from 1 to 19, then 0 to the end: (rows, 10); and a tag from 0 to 2 for each word."""
    rng = np.random.default_rng(seed)
    words = rng.integers(1, 20, (rows, 10))
    words[np.arange(10) >= rng.integers(2, 9, (rows, 1))] = 0
    return words.astype("int32"), words % 3
