"""Next to no gradient in the first layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.learnt import best_skill
from truetap.diagnosis.wiring import SQUASHING, Wiring, kernel_of
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["VanishingGradient"]


_FALL = 1e-3  # AutoTrainer (Zhang et al., ICSE 2021)
_FALL_UNLEARNT = 1e-2
_FALL_ALONE = 1e-5  # without layers that would explain it
_FEWEST = 4
_STEPS = 6
_DOWNHILL = 0.7
_LEARNT = 0.8
_UNLEARNT = 0.3
_KEEPING = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "Add")
_LONG = 30


class VanishingGradient:
    """The first layer's gradient against the last one's: below 1e-3, falling from layer to layer.

    The threshold is AutoTrainer's (ICSE 2021), here over the first recorded steps and along the whole depth, of at
    least four layers with kernels. Three squashing activations without normalisation or residuals explain it; without
    them the fall must be below 1e-5. A fall below 1e-2 counts where squashing layers also leave the labels
    unexplained. A model that learns (skill 0.8) is let be. Through time no gradient is recorded: a SimpleRNN over 30
    steps and more that explains less than 0.3 of its labels is said with little certainty.
    """

    name = "vanishing_gradient"
    needs = ("facts", "gradients")
    after = (
        "zero_initialisation",
        "dead_relu",
        "broken_graph",
        "no_gradient_through_loss",
        "unscaled_inputs",
        "nan_in_data",
        "saturated_units",
        "learning_rate_too_high",
        "negative_learning_rate",
        "exploding_gradient",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the model."""
        assert evidence.facts is not None
        wiring = Wiring(evidence.facts)
        learnt = best_skill(evidence) if evidence.curve is not None else None
        if learnt is not None and learnt >= _LEARNT:
            return
        chain = _norms(evidence, wiring)
        squashing = [path for path, _ in chain[:-1] if wiring.activation(path) in SQUASHING]
        kept = any(layer.kind in _KEEPING for layer in wiring.layers.values())
        explained = len(squashing) >= 3 and not kept
        if len(chain) >= _FEWEST:
            norms = np.asarray([norm for _, norm in chain])
            fall = norms[0] / norms[-1]
            downhill = np.mean(np.diff(np.log(norms)) > 0)
            unlearnt = learnt is not None and learnt < _UNLEARNT
            limit = (_FALL_UNLEARNT if unlearnt else _FALL) if explained else _FALL_ALONE
            if fall < limit and downhill >= _DOWNHILL:
                yield self._finding(wiring, chain, float(fall), squashing if explained else [])
                return
        yield from self._through_time(evidence, wiring, learnt)

    def _finding(self, wiring: Wiring, chain: list[tuple[str, float]], fall: float, squashing: list[str]) -> Finding:
        (first, low), (last, high) = chain[0], chain[-1]
        kinds = sorted({str(wiring.activation(path)) for path in squashing})
        cause = f" {len(squashing)} of the layers between are {' or '.join(kinds)}." if squashing else ""
        return Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=f"The gradient of {first!r} is {fall:.1e} of that of {last!r} ({low:.2g}, {high:.2g}).{cause}",
            why="The first layers stay as they began, and pass on little more than noise.",
            do="Take ReLU with he_normal in hidden layers, or batch norm or residual connections between them.",
            where=first,
            reference="https://proceedings.mlr.press/v9/glorot10a.html",
            numbers={"ratio": fall, "first": low, "last": high, "layers": len(chain)},
            layers=(first, last),
            certainty=0.85 if squashing else 0.6,
        )

    def _through_time(self, evidence: Evidence, wiring: Wiring, learnt: float | None) -> Iterator[Finding]:
        simple = [path for path, layer in wiring.layers.items() if layer.kind == "SimpleRNN"]
        lengths = [each.shape[1] or 0 for each in evidence.trace.x if len(each.shape) > 1]
        if not simple or learnt is None or learnt >= _UNLEARNT or max(lengths, default=0) < _LONG:
            return
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"{simple[0]!r} is a SimpleRNN over {max(lengths)} steps, and the model explains "
                f"{max(learnt, 0):.0%} of its labels."
            ),
            why="The gradient of a plain recurrent layer shrinks with each step: what is long past isn't learnt.",
            do="Take an LSTM or GRU, or convolutions before it.",
            where=simple[0],
            reference="https://ieeexplore.ieee.org/document/279181",
            numbers={"steps": max(lengths), "skill": learnt},
            layers=(simple[0],),
            certainty=0.4,
        )


def _norms(evidence: Evidence, wiring: Wiring) -> list[tuple[str, float]]:
    """The layers with kernels in order, with the median norm of their gradient over the first recorded steps."""
    assert evidence.gradients is not None
    found = []
    for path, layer in wiring.layers.items():
        by_weight = {weight: evidence.gradients.of_path(weight.path, "norm")[:_STEPS] for weight in layer.weights}
        each = [norms for norms in by_weight.values() if len(norms)]  # of frozen weights none, nor of what wasn't asked
        matrices = [weight for weight, norms in by_weight.items() if len(norms) and len(weight.shape) > 1]
        if kernel_of(layer) is None or not matrices or len({len(norms) for norms in each}) != 1:
            continue
        norms = np.sqrt(np.sum(np.square(each), axis=0))
        known = norms[np.isfinite(norms) & (norms > 0)]
        if len(known):
            found.append((path, float(np.median(known))))
    return found
