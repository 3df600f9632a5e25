"""Batch statistics of a few samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.learnt import skill
from truetap.diagnosis.wiring import Wiring
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["TinyBatchesUnderBatchNorm"]

_TINY = 4
_PAIR = 2
_GAP = 0.1


class TinyBatchesUnderBatchNorm:
    """Batches of at most four rows under a batch norm that normalises by them.

    Wu and He (2018), "Group Normalization", measure how the error rises from 16 rows to 2. Where inputs have
    positions besides (images, sequences) these help: there at most two rows count, and only when validation, which uses
    the moving statistics, explains clearly less than training. Frozen layers and those in inference mode are let be.
    """

    name = "tiny_batches_under_batch_norm"
    needs = ("facts", "outputs")
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the model."""
        assert evidence.facts is not None
        wiring = Wiring(evidence.facts)
        rows = _rows(evidence)
        if not 0 < rows <= _TINY:
            return
        flags = evidence.trace.training
        norms = [
            layer
            for path, layer in wiring.layers.items()
            if layer.kind == "BatchNormalization" and layer.trainable and flags.get(path) is not False
        ]
        flat = [layer.path for layer in norms if layer.settings.get("ndim") == 2]
        spread = [layer.path for layer in norms if layer.settings.get("ndim") != 2]
        if not flat and not (spread and rows <= _PAIR and _worse_in_validation(evidence)):
            return
        named = flat or spread
        many = f" and {len(named) - 1} more" if len(named) > 1 else ""
        yield Finding(
            rule=self.name,
            severity=Severity.ERROR if flat and rows == 1 else Severity.WARNING,
            seen=f"{named[0]!r}{many} normalise by the statistics of batches of {rows}.",
            why=(
                "The mean of one row is the row: nothing of it is left."
                if rows == 1 and flat
                else "Statistics of so few rows are mostly noise, and far from the moving ones used in validation."
            ),
            do="Take batches of 16 and more, or LayerNormalization or GroupNormalization.",
            where=named[0],
            reference="https://arxiv.org/abs/1803.08494",
            numbers={"rows": rows, "layers": len(named)},
            layers=tuple(named),
            certainty=0.85,
        )


def _rows(evidence: Evidence) -> int:
    """The rows of a usual batch."""
    if evidence.curve is not None and np.isfinite(evidence.curve.samples).any():
        return int(np.nanmedian(evidence.curve.samples))
    return len(evidence.outputs[0].first) if evidence.outputs and evidence.batch is not None else 0


def _worse_in_validation(evidence: Evidence) -> bool:
    for output in evidence.validated or ():
        trained, validated = (
            skill(output, output.last),
            None if output.val_last is None else skill(output, output.val_last),
        )
        if trained is not None and validated is not None and validated < trained - _GAP:
            return True
    return False
