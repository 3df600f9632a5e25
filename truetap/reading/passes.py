"""One pass over samples: an epoch of a phase, or a collection, which has neither."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from truetap.samples import Samples

__all__ = ["Pass"]

_WORDS = {"val": "validation", "train": "training", "test": "test", "predict": "prediction"}


@dataclass(frozen=True, eq=False)
class Pass:
    """The samples of one pass.

    Attributes:
        phase: The phase; "" of a collection, which has none.
        epoch: The epoch; None of a collection.
        samples: The rows.
    """

    phase: str
    epoch: int | None
    samples: Samples

    @property
    def words(self) -> str:
        """Such as "validation, epoch 3, 500 samples"."""
        if self.epoch is None:
            return f"{len(self.samples):,} samples"
        return f"{_WORDS.get(self.phase, self.phase)}, epoch {self.epoch}, {len(self.samples):,} samples"
