"""Hidden units at the ends of tanh or sigmoid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.wiring import Wiring
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["SaturatedUnits"]

_MOST = 0.5


class SaturatedUnits:
    """At least half of a hidden layer's values within 0.01 of an end, from the first recorded step to the last.

    Layers that begin as they should have next to none there (measured: 0 to 2%), and those that are trained may move
    there, which is no fault. Within 0.01 of its end a tanh passes on 2% of the gradient, a sigmoid 1%.
    """

    name = "saturated_units"
    needs = ("facts", "activations")
    after = ("unscaled_inputs", "nan_in_data", "zero_initialisation")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all layers that are so."""
        assert evidence.facts is not None
        assert evidence.activations is not None
        wiring = Wiring(evidence.facts)
        found: dict[str, float] = {}
        for path, layer in wiring.layers.items():
            if path in wiring.ends or layer.activation not in ("tanh", "sigmoid", "hard_sigmoid", "hard_tanh"):
                continue
            if layer.kind in ("LSTM", "GRU", "SimpleRNN", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"):
                continue
            ends = evidence.activations.of_path(path, "near_one")
            if layer.activation in ("sigmoid", "hard_sigmoid"):
                ends = ends + evidence.activations.of_path(path, "near_zero")
            if len(ends) and np.isfinite(ends).all() and ends[0] >= _MOST and ends[-3:].min() >= _MOST:
                found[path] = float(ends[0])
        if not found:
            return
        first, share = next(iter(found.items()))
        layer = wiring.layers[first]
        drawn = f" Its kernel begins as {layer.initializer}." if layer.initializer else ""
        many = f" The same of {len(found) - 1} more layers." if len(found) > 1 else ""
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"{share:.0%} of the values of {first!r} are at the ends of its {layer.activation} in the first step."
                f"{drawn}{many}"
            ),
            why="There the slope is next to 0: hardly any gradient gets through, and the units stay where they are.",
            do='Draw smaller weights (kernel_initializer="glorot_uniform"), scale the inputs, or normalise before it.',
            where=first,
            reference="https://proceedings.mlr.press/v9/glorot10a.html",
            numbers={"saturated": share, "layers": len(found)},
            layers=tuple(found),
            certainty=0.85,
        )
