"""Whether the loss leaps from step to step more than the samples of its batches make it.

The mean of n losses varies from batch to batch by their variance over n, whatever the model. What steps differ beyond
that comes from the weights, which move between them (or from batches of different kinds of samples).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["Leaps"]

_FEWEST = 12  # steps
_SIGMAS = 4.0
_FACTOR = 2.0


@dataclass(frozen=True, slots=True)
class Leaps:
    """How the losses of the last epoch's steps differ.

    Attributes:
        mean: Of the losses.
        factor: The variance between successive steps over what the spread within batches explains; near 1 in a
            calm training.
        excess: The deviation between steps that is left unexplained.
        steps: How many steps were compared.
    """

    mean: float
    factor: float
    excess: float
    steps: int

    @property
    def significant(self) -> bool:
        """Whether the factor is beyond chance, and at least 2.

        For n steps and no trend its standard error is near sqrt(3 / n) (mean square successive differences, von
        Neumann 1941).
        """
        return bool(self.factor > max(_FACTOR, 1 + _SIGMAS * np.sqrt(3 / self.steps)))

    @classmethod
    def of(cls, evidence: Evidence) -> Leaps | None:
        """Those of the first output with losses; None where there are too few, or some are no numbers."""
        for output in evidence.outputs or ():
            rows = output.last
            if rows.loss is None:
                continue
            losses = np.asarray(rows.loss, np.float64)
            steps, place, counts = np.unique(rows.steps, return_inverse=True, return_counts=True)
            if not np.isfinite(losses).all() or len(steps) < _FEWEST or counts.max() < 2:
                return None
            means = np.bincount(place, losses) / counts
            within = np.bincount(place, (losses - means[place]) ** 2) / np.maximum(counts - 1, 1) / counts
            kept = counts > 1
            between = float(np.mean(np.diff(means[kept]) ** 2) / 2)
            explained = float(within[kept].mean())
            if not explained > 0:
                return None
            excess = float(np.sqrt(max(0.0, between - explained)))
            return cls(float(means.mean()), between / explained, excess, int(kept.sum()))
        return None
