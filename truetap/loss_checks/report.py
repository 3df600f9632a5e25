"""`LossReport`: what `check_loss` found, to read, to raise, to write as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from truetap.errors import LossError, TruetapError
from truetap.rules.report import Report

__all__ = ["LossReport"]


@dataclass(frozen=True, repr=False)
class LossReport(Report):
    """What is to be said of a loss; true when it is fine.

    Attributes:
        loss: The loss' name.
    """

    error: ClassVar[type[TruetapError]] = LossError
    _verdict: ClassVar[str] = "is not what it seems to be"

    loss: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"loss": self.loss} | super().to_dict()
