"""Softmax over a single unit."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.rules.finding import Finding, Severity

__all__ = ["SoftmaxOnOneUnit"]

_ROWS = 16  # that are all exactly 1 by chance in no sound model


class SoftmaxOnOneUnit:
    """An output that is 1 whatever comes in: certain by the activation, likely where every output is exactly 1."""

    name = "softmax_on_one_unit"
    needs = ("outputs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.outputs or ():
            pred = output.first.pred
            known = output.activation in ("softmax", "log_softmax")
            constant = all(rows.pred.low == rows.pred.high == 1.0 for rows in (output.first, output.last))
            looks = output.activation is None and constant and len(output.first) >= _ROWS
            if pred.units != 1 or pred.nonfinite or not (known or looks):
                continue
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR if known else Severity.WARNING,
                seen=(
                    f"The last axis of {output.words} has one unit, and softmax makes it {pred.low:g} for every sample."
                    if known
                    else f"{output.opening} is exactly 1 for all {len(output.first)} samples, as of softmax over one."
                ),
                why="Softmax divides by the sum over the units: of one unit that is 1, and its gradient is 0.",
                do="Use sigmoid on the one unit for yes or no, or no activation for a number.",
                where=None if output.layer is None else output.layer.path,
                reference="https://keras.io/api/layers/activations/#softmax-function",
                numbers={"units": 1.0, "low": pred.low, "high": pred.high},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=0.97 if known else 0.7,
            )
