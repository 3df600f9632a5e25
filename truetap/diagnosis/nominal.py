"""Whether labels that are whole numbers are mere names: is 3 nearer to 4 than to 9?

Of numbers that mean an amount, inputs of neighbouring values are more alike than those of distant ones. Two
measures of how far apart the inputs of two labels are (the distance of their centres, and how seldom one is found
next to the other) are compared with the differences of the labels, over many ways to give the labels other names: a
permutation test (Mantel 1967, "The detection of disease clustering").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.features import features, nearest
from truetap.diagnosis.sampled import sampled

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence
    from truetap.diagnosis.output import OutputEvidence

__all__ = ["nominal"]

Array = npt.NDArray[Any]

_FEWEST_KINDS = 5  # of 4 kinds there are 12 orders that differ: no test
_FEWEST_ROWS = 3  # of a kind
_DRAWS = 999
_LEVEL = 0.025  # of each of the two
_NEIGHBOURS = 5


def nominal(evidence: Evidence, output: OutputEvidence) -> bool | None:
    """True if the labels' order shows nowhere in the inputs, False if it does, None if that can't be told."""
    found = _rows(evidence, output)
    if found is None:
        return None
    x, y = found
    kinds, counts = np.unique(y, return_counts=True)
    kinds = kinds[counts >= _FEWEST_ROWS]
    if len(kinds) < _FEWEST_KINDS:
        return None
    return all(_order_shows(apart, kinds) > _LEVEL for apart in (_centres(x, y, kinds), _strangers(x, y, kinds)))


def _centres(x: Array, y: Array, kinds: Array) -> Array:
    """How far the centres of the inputs of two labels are from each other."""
    centres = np.stack([x[y == kind].mean(axis=0) for kind in kinds])
    return np.asarray(np.linalg.norm(centres[:, np.newaxis] - centres[np.newaxis], axis=-1))


def _strangers(x: Array, y: Array, kinds: Array) -> Array:
    """How seldom, against chance, an input of one label is among the nearest of one of the other."""
    others = y[nearest(x, _NEIGHBOURS)]
    met = np.asarray([[(others[y == one] == other).mean() / (y == other).mean() for other in kinds] for one in kinds])
    return np.asarray(-(met + met.T))


def _order_shows(between: Array, kinds: Array) -> float:
    """The share of namings under which distances follow differences as well as they do, or better."""
    upper = np.triu_indices(len(kinds), 1)
    distances = between[upper] - between[upper].mean()

    def follows(names: Array) -> float:
        return float(distances @ np.abs(names[:, np.newaxis] - names[np.newaxis])[upper])

    rng = np.random.default_rng(0)
    own = follows(kinds)
    better = sum(follows(rng.permutation(kinds)) >= own for _ in range(_DRAWS))
    return (1 + better) / (1 + _DRAWS)


def _rows(evidence: Evidence, output: OutputEvidence) -> tuple[Array, Array] | None:
    """Features of the widest input, and the labels beside them."""
    wide = [each for each in sampled(evidence) if each.values.ndim > 1]
    if not wide:
        return None
    widest = max(wide, key=lambda each: each.values[0].size)
    places, vectors = widest.labels(output.first), features(widest)
    if places is None or vectors is None or output.first.y_true is None:
        return None
    labels = np.asarray(output.first.y_true, np.float64).reshape(len(output.first), -1)[:, 0]
    return vectors[places[0]], labels[places[1]]
