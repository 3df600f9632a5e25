"""Values of whole epochs from what a recorder has, in the logs: `EpochMetric`, `EpochLoss`."""

from __future__ import annotations

from truetap.epoch_values.loss import EpochLoss
from truetap.epoch_values.metric import EpochMetric

__all__ = ["EpochLoss", "EpochMetric"]
