"""Inputs as vectors between which there is a distance: numbers standardised, words counted.

Of words (whole numbers that an embedding looks up) a sample is what it has of each, weighed by how rare that is: the
term frequency times the inverse document frequency (Spärck Jones 1972, doi:10.1108/eb026526), brought to length 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from truetap.diagnosis.sampled import Sampled

__all__ = ["features", "nearest", "standardised", "word_counts"]

Array = npt.NDArray[Any]


def features(some: Sampled) -> Array | None:
    """Shape (n, k), float64; None of inputs that have no distance: whole numbers that nothing looks up.

    Args:
        some: Inputs of some samples.
    """
    values = some.values
    flat = values.reshape(len(values), -1)
    if some.looked_up and flat.shape[1] > 1:
        return _words(flat)
    if some.whole and values.ndim == 2 and values.max(initial=0) > 1:
        return None
    found = standardised(flat)
    return found if found.shape[1] else None


def standardised(flat: Array) -> Array:
    """With mean 0 and deviation 1: of shape (n, k), the features that are finite and vary.

    Args:
        flat: Shape (n, features).
    """
    spread = flat.std(axis=0)
    usable = np.isfinite(flat).all(axis=0) & (spread > 0)
    return np.asarray((flat - flat.mean(axis=0))[:, usable] / spread[usable])


def word_counts(ids: Array, most: int | None = None) -> Array:
    """How often each word comes in each text: shape (n, words).

    Args:
        ids: Numbers of words, shape (n, length).
        most: So many columns at most; words share them where there are more.
    """
    words, place = np.unique(ids, return_inverse=True)
    width = len(words) if most is None else min(len(words), most)
    counts = np.zeros((len(ids), width))
    np.add.at(counts, (np.arange(len(ids))[:, np.newaxis], place.reshape(ids.shape) % max(width, 1)), 1.0)
    return counts


def nearest(vectors: Array, count: int) -> npt.NDArray[np.int64]:
    """The nearest others of each row, nearest first: shape (n, count).

    Args:
        vectors: Shape (n, k).
        count: How many.
    """
    squares = (vectors**2).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * vectors @ vectors.T
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :count]


def _words(ids: Array) -> Array | None:
    counts = word_counts(ids)
    weighed = counts * np.log(len(ids) / (counts > 0).sum(axis=0))
    lengths = np.linalg.norm(weighed, axis=1, keepdims=True)
    return np.asarray(weighed / np.where(lengths > 0, lengths, 1.0)) if lengths.any() else None
