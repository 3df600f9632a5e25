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

__all__ = ["features"]

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
    spread = flat.std(axis=0)
    usable = np.isfinite(flat).all(axis=0) & (spread > 0)
    return (flat - flat.mean(axis=0))[:, usable] / spread[usable] if usable.any() else None


def _words(ids: Array) -> Array | None:
    words, place = np.unique(ids, return_inverse=True)
    counts = np.zeros((len(ids), len(words)))
    np.add.at(counts, (np.arange(len(ids))[:, np.newaxis], place.reshape(ids.shape)), 1.0)
    weighed = counts * np.log(len(ids) / (counts > 0).sum(axis=0))
    lengths = np.linalg.norm(weighed, axis=1, keepdims=True)
    return np.asarray(weighed / np.where(lengths > 0, lengths, 1.0)) if lengths.any() else None
