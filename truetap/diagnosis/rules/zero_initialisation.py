"""Units that begin equal and stay so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.drawn import constant
from truetap.diagnosis.wiring import WEIGHED, Wiring, kernel_of
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["ZeroInitialisation"]

_COPIES = 0.5  # of the units of a layer
_SATURATED = 0.5  # units at the end of a tanh are equal for another reason
_BY_ITSELF = 0.9
_VARIES = 1e-6


class ZeroInitialisation:
    """Hidden units that are copies of each other, or weights that are all equal and get no gradient.

    Equal weights alone are no fault: behind them random ones break the symmetry, as where the last kernel of a
    residual branch, or an output, begins at 0. So a constant initializer is said when the layer's units are seen to
    be copies after a step (at least half of them), when its kernel's gradient is 0 in every recorded step and its
    weights are still equal, or when the next layer's weights are equal too. Copies in nine of ten units are said
    whatever the initializer is: weights may have been set by hand.
    """

    name = "zero_initialisation"
    needs = ("facts",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all layers that are so."""
        assert evidence.facts is not None
        wiring = Wiring(evidence.facts)
        hidden = [each for each in wiring.layers.values() if each.path not in wiring.ends and _has_units(each)]
        equal = {layer.path: how for layer in hidden if (how := _equal(evidence, wiring, layer))}
        if not equal:
            return
        first = wiring.layers[next(iter(equal))]
        begun = [layer.path for layer in hidden if constant(layer.initializer)]
        names = ", ".join(repr(path) for path in equal)
        start = f"begin as {first.initializer}" if first.path in begun else "begin equal"
        yield Finding(
            rule=self.name,
            severity=Severity.ERROR if begun else Severity.WARNING,
            seen=f"The weights of {names} {start}, and {equal[first.path]}.",
            why="Units with equal weights get equal gradients and stay copies of each other: the layer is one unit.",
            do='Draw kernels at random: leave kernel_initializer at its default, or take "he_normal" before ReLU.',
            where=first.path,
            reference="https://www.deeplearningbook.org/contents/optimization.html",
            numbers={"layers": len(equal)},
            layers=tuple(equal),
            certainty=0.95 if begun else 0.8,
        )


def _has_units(layer: LayerFacts) -> bool:
    """Whether a layer, of Keras or a user's own, or a table, has several units with weights of their own."""
    known = layer.kind in WEIGHED or layer.kind == "Embedding" or layer.own
    return known and (layer.units or 2) > 1 and any(len(weight.shape) > 1 for weight in layer.weights)


def _equal(evidence: Evidence, wiring: Wiring, layer: LayerFacts) -> str | None:
    """What shows that the units of a layer stay equal."""
    begun = constant(layer.initializer)
    kernel = next(weight.path for weight in layer.weights if len(weight.shape) > 1)
    gradients, weights, activations = evidence.gradients, evidence.weights, evidence.activations
    if begun and gradients is not None and kernel in gradients.paths:
        zeros = gradients.of_path(kernel, "zeros")
        spread = weights.of_path(kernel, "std")[-1:] if weights is not None else np.zeros(0)
        if len(zeros) and (zeros == 1).all() and not (spread > 0).any():
            steps = f"all {len(zeros)} recorded steps" if len(zeros) > 1 else "the first step"
            return f"their gradient is 0 in {steps}"
    if activations is not None:
        copies = activations.of_path(layer.path, "twins")
        ends = activations.of_path(layer.path, "near_one")
        early = copies[1:4] if len(copies) > 1 else copies
        share = float(early.min()) if len(early) else 0.0
        stuck = len(ends) > 0 and ends[0] > _SATURATED
        if not (activations.of_path(layer.path, "std") > _VARIES).any():
            share = 0.0  # the same for all samples: nothing reaches the layer
        if (len(copies) > 1 and begun and share >= _COPIES) or (share >= _BY_ITSELF and not stuck):
            moment = f"after {len(early)} recorded steps" if len(copies) > 1 else "in the first step"
            return f"{share:.0%} of the units are copies of the one beside them {moment}"
    following = _following(wiring, layer.path)
    if begun and evidence.curve is None and following is not None and constant(following.initializer):
        return f"so do those of {following.path!r} behind it"
    return None


def _following(wiring: Wiring, path: str) -> LayerFacts | None:
    """The next layer with a kernel: by the graph, else by the order of calls."""
    after = wiring.behind[path]
    while len(after) == 1 and kernel_of(wiring.layers[after[0]]) is None:
        after = wiring.behind[after[0]]
    if len(after) == 1:
        return wiring.layers[after[0]]
    order = list(wiring.layers)
    later = (wiring.layers[each] for each in order[order.index(path) + 1 :])
    return next((each for each in later if kernel_of(each) is not None), None) if not wiring.known else None
