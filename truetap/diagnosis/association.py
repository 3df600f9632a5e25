"""Whether inputs tell anything of labels, without a model: by nearest neighbours and by a ridge regression.

Both leave each sample out of its own answer, and are held against labels that were exchanged between the samples. Of
200 samples a few hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.features import standardised, word_counts
from truetap.diagnosis.sampled import Sampled

__all__ = ["association", "views"]

Array = npt.NDArray[np.float64]

_NEIGHBOURS = 5
_EXCHANGES = 200
_MOST_WORDS = 2_000
_PENALTY = 0.1  # of the mean of the squared features' sums


def views(inputs: Sequence[Sampled], chosen: Array) -> list[Array]:
    """Features of samples, in several ways in which they may tell something; each of shape (n, features).

    As they are; of numbers that are looked up, how often each occurs; of series, also their spectra.

    Args:
        inputs: The inputs, all of the same samples.
        chosen: Which samples.
    """
    plain, spectra = [], []
    for some in inputs:
        values = np.where(some.finite, some.values, 0.0)[chosen]
        flat = values.reshape(len(values), -1)
        if some.looked_up:
            flat = word_counts(flat, _MOST_WORDS)
        plain.append(_scaled(flat))
        if values.ndim == 3 and not some.looked_up and values.shape[1] > 3:
            spectra.append(_scaled(np.abs(np.fft.rfft(values, axis=1)).reshape(len(values), -1)))
    found = [np.concatenate(plain, axis=1)] if plain else []
    return [*found, np.concatenate(spectra, axis=1)] if spectra else found


def association(features: Sequence[Array], labels: Array) -> float:
    """How far beyond chance the best of the ways tells labels: in standard deviations of exchanged labels.

    Args:
        features: Of the samples, each of shape (n, features).
        labels: Shape (n, k), classes one-hot.

    Returns:
        Below 2.5 of 19 in 20 sets where there is nothing to tell; NaN of too few samples.
    """
    if len(labels) < 4 * _NEIGHBOURS or not features or not np.ptp(labels, axis=0).any():
        return float("nan")
    centred = labels - labels.mean(axis=0)
    rng = np.random.default_rng(0)
    exchanged = np.stack([centred[rng.permutation(len(centred))] for _ in range(_EXCHANGES)])
    best = -np.inf
    for each in features:
        for answers in (_of_neighbours(each), _of_ridge(each)):
            chance = np.einsum("pik,ij,pjk->p", exchanged, answers, exchanged, optimize=True)
            told = float(np.einsum("ik,ij,jk->", centred, answers, centred, optimize=True))
            spread = float(chance.std())
            best = max(best, (told - float(chance.mean())) / spread if spread > 0 else 0.0)
    return best


def _scaled(flat: Array) -> Array:
    found = standardised(flat)
    return np.asarray(found / np.sqrt(max(1, found.shape[1])))


def _of_neighbours(features: Array) -> Array:
    """Which others each sample asks, as weights: shape (n, n)."""
    squares = (features**2).sum(axis=1)
    distances = squares[:, None] + squares - 2 * features @ features.T
    np.fill_diagonal(distances, np.inf)
    nearest = np.argpartition(distances, _NEIGHBOURS, axis=1)[:, :_NEIGHBOURS]
    weights = np.zeros_like(distances)
    np.put_along_axis(weights, nearest, 1 / _NEIGHBOURS, axis=1)
    return np.asarray(weights)


def _of_ridge(features: Array) -> Array:
    """The answers of a ridge regression that left the sample out, as weights of the other labels."""
    size = len(features)
    kernel = features @ features.T
    hat = kernel @ np.linalg.inv(kernel + _PENALTY * max(float(np.trace(kernel)) / size, 1e-12) * np.eye(size))
    own = np.clip(np.diag(hat), 0, 1 - 1e-6)
    weights = (hat - np.diag(np.diag(hat))) / (1 - own)[:, None]
    return np.asarray(weights)
