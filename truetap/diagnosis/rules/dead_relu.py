"""ReLU units that never fire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.learnt import best_skill
from truetap.diagnosis.wiring import Wiring
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["DeadRelu"]

_MOST = 0.7  # AutoTrainer (Zhang et al., ICSE 2021)
_DIED = 0.9
_FEWEST_UNITS = 4
_FEWEST_ROWS = 8  # of a batch: in fewer a sound unit is often silent
_LEARNT = 0.9


class DeadRelu:
    """At least 70% of a hidden layer's ReLU units are 0 for a whole batch, in every recorded step.

    The threshold is that of AutoTrainer (ICSE 2021), for each batch instead of gradients at an epoch's end. Deep
    stacks that begin as Keras has them reach 45%. Units that fire at first and are nearly all dead (90%) at the end
    died of something else, said with less certainty. A note where the model explains its labels all the same.
    """

    name = "dead_relu"
    needs = ("facts", "activations")
    after = (
        "zero_initialisation",
        "unscaled_inputs",
        "learning_rate_too_high",
        "negative_learning_rate",
        "exploding_gradient",
        "penalty_too_strong",
        "dropout_too_high",
        "nan_in_data",
        "constant_features",
        "training_flag_ignored",
        "inverted_class_weights",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all layers that are so."""
        assert evidence.facts is not None
        assert evidence.activations is not None
        wiring = Wiring(evidence.facts)
        rows = (
            evidence.curve.samples
            if evidence.curve is not None
            else [len(evidence.outputs[0].first)]
            if evidence.outputs
            else [0]
        )
        if np.median(rows) < _FEWEST_ROWS:
            return
        stuck: dict[str, float] = {}
        died: dict[str, float] = {}
        for path, layer in wiring.layers.items():
            if layer.activation not in ("relu", "relu6") or path in wiring.ends:
                continue
            dead = evidence.activations.of_path(path, "dead")
            if not len(dead) or _width(wiring, path) < _FEWEST_UNITS or not np.isfinite(dead).all():
                continue
            if dead.min() >= _MOST:
                stuck[path] = float(dead.min())
            elif dead[:3].max() < _MOST and dead[-3:].min() >= _DIED:
                died[path] = float(dead[-3:].min())
        found = stuck or died
        if not found:
            return
        first, share = next(iter(found.items()))
        learnt = best_skill(evidence) if evidence.curve is not None else None
        sound = learnt is not None and learnt >= _LEARNT
        when = "from the first recorded step on" if stuck else "at the end, though not at the beginning"
        many = f" The same of {len(found) - 1} more layers." if len(found) > 1 else ""
        yield Finding(
            rule=self.name,
            severity=Severity.NOTE if sound else Severity.WARNING,
            seen=(
                f"{share:.0%} of the units of {first!r} are 0 for all samples of each batch, {when}."
                f"{_start(evidence, first)}{many}"
            ),
            why="A ReLU unit that never fires gives nothing and has no gradient: it can't come back.",
            do=(
                "Let kernels begin around 0 (he_normal) and biases at 0, centre the inputs, or take LeakyReLU or ELU."
                if stuck
                else "Lower the learning rate, or take LeakyReLU or ELU."
            ),
            where=first,
            reference="https://arxiv.org/abs/1903.06733",
            numbers={"dead": share, "layers": len(found)},
            layers=tuple(found),
            certainty=0.85 if stuck else 0.5,
        )


def _width(wiring: Wiring, path: str) -> int:
    """The units of a layer, or of what feeds it; many where that isn't known."""
    layer = wiring.layers[path]
    while layer.units is None and len(layer.after) == 1 and layer.after[0] in wiring.layers:
        layer = wiring.layers[layer.after[0]]
    return _FEWEST_UNITS if layer.units is None else layer.units


def _start(evidence: Evidence, path: str) -> str:
    """Of a kernel or bias that lies below 0, how far."""
    if evidence.facts is None or evidence.weights is None:
        return ""
    said = []
    for weight in evidence.facts.model.by_path[path].weights:
        means, spreads = evidence.weights.of_path(weight.path, "mean"), evidence.weights.of_path(weight.path, "std")
        if len(means) and means[0] < -spreads[0]:
            said.append(f" {weight.path!r} averages {means[0]:.3g}.")
    return "".join(said)
