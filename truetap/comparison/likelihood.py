"""What single predictions of classes cost: negative log likelihood, squared error, confidence, rank of the true class.

The numbers whose means `evaluate` gives as log_loss, brier, ece and top_5_accuracy, one for each position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.evaluation.chunk import Positions
from truetap.tasks.links import log_softmax, sigmoid, softmax
from truetap.tasks.task import OutputTask, Task

__all__ = ["Likelihood", "among_top", "likelihood"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """Numbers of single positions, float64 (m,).

    Attributes:
        loss: Negative log likelihood of the true class.
        square: Squared difference of probability and label; of binary outputs, else None.
        confidence: Probability of the predicted class.
    """

    loss: Array
    square: Array | None
    confidence: Array


def likelihood(positions: Positions, spec: OutputTask) -> Likelihood:
    """Reads scores as probabilities; of scores that are none, what comes out means nothing."""
    tiny = float(np.finfo(positions.scores.dtype).eps)
    scores, true = positions.scores.astype(np.float64), positions.true
    with np.errstate(all="ignore"):
        if spec.task is Task.BINARY:
            return _binary(scores, true, spec, tiny)
        rows = np.arange(len(true))
        if spec.logits:
            return Likelihood(-log_softmax(scores)[rows, true], None, softmax(scores).max(axis=1))
        sums = scores.sum(axis=1)
        own = scores[rows, true] / np.where(sums > 0, sums, 1)
        return Likelihood(-np.log(own.clip(tiny, 1 - tiny)), None, scores.max(axis=1).clip(0, 1))


def _binary(scores: Array, true: Array, spec: OutputTask, tiny: float) -> Likelihood:
    likely = sigmoid(scores) if spec.logits else scores.clip(0, 1)
    if spec.logits:
        loss = np.logaddexp(0, np.where(true == 1, -scores, scores))
    else:
        held = scores.clip(tiny, 1 - tiny)
        loss = -np.log(np.where(true == 1, held, 1 - held))
    return Likelihood(loss, (likely - true) ** 2, np.maximum(likely, 1 - likely))


def among_top(positions: Positions, k: int) -> Array:
    """Whether the true class is among the k highest scores, bool (m,); of equal scores the last class wins."""
    scores, true = positions.scores, positions.true
    own = np.take_along_axis(scores, true[:, None], axis=1)
    later = np.arange(scores.shape[1]) > true[:, None]
    above = (scores > own).sum(axis=1) + ((scores == own) & later).sum(axis=1)
    return np.asarray((above < k) & ~np.isnan(scores).any(axis=1))
