"""The half of the bed that the rules may be tuned on: every cause of the taxonomy at least once."""

from __future__ import annotations

from ..program import Healthy, Program
from . import (
    architecture,
    custom_loss,
    data_pipeline,
    data_quality,
    healthy,
    initialisation,
    optimisation,
    output_loss,
    regularisation,
    target_encoding,
    training_config,
)

__all__ = ["HEALTHY", "PROGRAMS"]

PROGRAMS: tuple[Program, ...] = (
    *output_loss.PROGRAMS,
    *custom_loss.PROGRAMS,
    *target_encoding.PROGRAMS,
    *data_quality.PROGRAMS,
    *data_pipeline.PROGRAMS,
    *architecture.PROGRAMS,
    *initialisation.PROGRAMS,
    *optimisation.PROGRAMS,
    *regularisation.PROGRAMS,
    *training_config.PROGRAMS,
)
HEALTHY: tuple[Healthy, ...] = healthy.HEALTHY
