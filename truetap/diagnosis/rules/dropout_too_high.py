"""So much is dropped that too little is left."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.learnt import best_skill, neighbours_skill
from truetap.diagnosis.wiring import Wiring
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["DropoutTooHigh"]

_NEARLY_ALL = 0.9
_MUCH = 0.7
_KEPT = 0.2  # of two in a row, the product of what each keeps
_LEARNT = 0.9
_UNLEARNT = 0.6
_MARGIN = 0.1


class DropoutTooHigh:
    """Nine in ten units dropped; or seven, or a fifth kept by several together, and labels left unexplained.

    Srivastava et al. (2014) advise to drop a half of hidden units and a fifth of inputs. Rates from 0.9 are a
    warning unless the model explains its labels (skill 0.9), in training or, without dropout, in validation. Rates
    from 0.7, or several whose kept shares multiply to at most 0.2, are one when it explains clearly less than the
    nearest inputs' labels tell, or less than 0.6 where inputs have no distance.
    """

    name = "dropout_too_high"
    needs = ("facts",)
    after = ("zero_initialisation", "untracked_weights", "nan_in_data", "unscaled_inputs", "negative_learning_rate")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all layers that drop much."""
        assert evidence.facts is not None
        wiring = Wiring(evidence.facts)
        flags = evidence.trace.training
        rates = {
            path: layer.rate
            for path, layer in wiring.layers.items()
            if layer.rate is not None and layer.rate > 0 and flags.get(path) is not False
        }
        if not rates:
            return
        highest = max(rates, key=lambda path: rates[path] or 0.0)
        rate = rates[highest] or 0.0
        kept = float(np.prod([1 - (each or 0.0) for each in rates.values()])) if len(rates) > 1 else 1 - rate
        got = best_skill(evidence) if evidence.curve is not None else None
        if rate >= _NEARLY_ALL:
            severity = Severity.NOTE if got is not None and got >= _LEARNT else Severity.WARNING
        elif (rate >= _MUCH or kept <= _KEPT) and got is not None and _unlearnt(evidence, got):
            severity = Severity.WARNING
        else:
            return
        units = _units(wiring, highest)
        left = f", which leaves about {max((1 - rate) * units, 0):.2g} of {units}" if units else ""
        others = f" {len(rates)} layers drop, and keep {kept:.1%} together." if len(rates) > 1 else ""
        learnt = "" if got is None else f" The model explains {max(got, 0):.0%} of its labels."
        yield Finding(
            rule=self.name,
            severity=severity,
            seen=f"{highest!r} drops {rate:.0%} of its inputs{left}.{others}{learnt}",
            why="What is left in a step tells too little for a gradient to be more than noise.",
            do="Keras' rate is the share that is dropped, not kept: begin with 0.2 to 0.5.",
            where=highest,
            reference="https://jmlr.org/papers/v15/srivastava14a.html",
            numbers={"rate": rate, "kept": kept},
            layers=tuple(rates),
            certainty=0.85 if rate >= _NEARLY_ALL else 0.55,
        )


def _unlearnt(evidence: Evidence, got: float) -> bool:
    told = [neighbours_skill(evidence, output) for output in evidence.labelled or ()]
    known = [each for each in told if each is not None]
    return got < max(known) - _MARGIN if known else got < _UNLEARNT


def _units(wiring: Wiring, path: str) -> int | None:
    """How many units the dropped values have."""
    layer = wiring.layers[path]
    while layer.units is None and len(layer.after) == 1 and layer.after[0] in wiring.layers:
        layer = wiring.layers[layer.after[0]]
        if layer.kind == "Flatten":
            return None
    return layer.units
