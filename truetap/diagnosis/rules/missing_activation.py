"""Linear layers one upon another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from truetap.diagnosis.wiring import WEIGHED, Wiring
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["MissingActivation"]


class MissingActivation:
    """Layers with a kernel and no activation that feed nothing but another layer with a kernel.

    Two affine maps are one affine map, so the first adds nothing unless it is narrower than what it joins (a
    factorisation: low rank, linear autoencoders), which is let be. A warning when no hidden layer bends, pooling not
    counted, or when at least half of the hidden layers, and two, add nothing; else a note: a single one changes
    little. Models with a `call` of their own are asked by numbers: an affine map takes middles to middles.
    """

    name = "missing_activation"
    needs = ("facts",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the model."""
        facts = evidence.facts
        assert facts is not None
        wiring = Wiring(facts)
        idle = [one for one, other in wiring.stacked if wiring.widens((one, other))]
        whole = bool(idle) and wiring.known and not wiring.bends
        if not whole and not wiring.known and _may_be_linear(wiring):
            from truetap.diagnosis.probing import is_affine  # Keras, which reading a run doesn't need

            if is_affine(evidence):
                idle, whole = [layer.path for layer in wiring.hidden if layer.activation in (None, "linear")], True
        if not idle or (whole and wiring.rebuilds and wiring.narrows):
            return
        pools = sorted({layer.kind for layer in wiring.layers.values() if "MaxPooling" in layer.kind})
        most = len(idle) >= 2 and 2 * len(idle) >= len(wiring.hidden)
        names = ", ".join(repr(path) for path in idle[:4]) + (", …" if len(idle) > 4 else "")
        if whole and not pools:
            what = f"No hidden layer has an activation ({names}): the model is one affine map before its output."
        elif whole:
            what = f"No hidden layer has an activation ({names}); all that bends is {' and '.join(pools)}."
        else:
            what = (
                f"{len(idle)} of {len(wiring.hidden)} hidden layers have no activation before the next one ({names})."
            )
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING if whole or most else Severity.NOTE,
            seen=what,
            why="Layers without an activation one upon another can do no more than a single one.",
            do='Give them an activation, such as activation="relu", or leave them out.',
            where=idle[0],
            reference="https://keras.io/api/layers/activations/",
            numbers={"idle": len(idle), "hidden": len(wiring.hidden)},
            layers=tuple(idle),
            certainty=(0.75 if pools else 0.9) if whole else 0.55,
        )


def _may_be_linear(wiring: Wiring) -> bool:
    """Whether all hidden layers with kernels say that they are linear, and one is wide enough to add nothing."""
    hidden = wiring.hidden
    if not hidden or any(layer.activation not in (None, "linear") for layer in hidden):
        return False
    weighed = [layer for layer in wiring.layers.values() if layer.kind in WEIGHED]
    return any(wiring.widens((one.path, other.path)) for one, other in pairwise(weighed))
