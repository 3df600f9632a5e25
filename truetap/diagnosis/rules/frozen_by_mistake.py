"""Layers that are frozen as they were drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from truetap.diagnosis.drawn import drawn, still_as_drawn
from truetap.diagnosis.learnt import best_skill
from truetap.diagnosis.wiring import Wiring
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["FrozenByMistake"]

_LEARNT = 0.9
_LEARNT_OF_MANY = 0.5
_MANY = 3  # times as many units as inputs: random features


class FrozenByMistake:
    """Frozen layers whose weights still are what their initializer draws, in a model that leaves labels unexplained.

    Mean and deviation of the kernel within five standard errors of the initializer's, and biases of 0: pretrained
    weights have neither. A warning below a skill of 0.9; of random features, layers at least three times as wide as
    their input, below 0.5. A model of which nothing is trainable is an error. In `lint`, which sees no learning,
    and above these skills it is a note.
    """

    name = "frozen_by_mistake"
    needs = ("facts",)
    after = ("untracked_weights", "nan_in_data", "negative_learning_rate")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all layers that are so."""
        assert evidence.facts is not None
        model = evidence.facts.model
        wiring = Wiring(evidence.facts)
        random = [layer for layer in model.layers if _frozen(layer) and _as_drawn(evidence, layer)]
        if model.weights and not any(weight.trainable for weight in model.weights.values()) and _kernels(wiring):
            yield self._finding(
                evidence, list(_kernels(wiring)), Severity.ERROR, "Nothing in the model is trainable", None
            )
            return
        if not random:
            return
        got = best_skill(evidence) if evidence.curve is not None else None
        enough = _LEARNT_OF_MANY if all(_widens(layer) for layer in random) else _LEARNT
        sound = evidence.curve is None or model.own_train_step or (got is not None and got >= enough)
        names = ", ".join(repr(layer.path) for layer in random[:4]) + (", …" if len(random) > 4 else "")
        what = f"{names}: not trainable, and still as {random[0].initializer} draws them"
        yield self._finding(evidence, random, Severity.NOTE if sound else Severity.WARNING, what, got)

    def _finding(
        self, evidence: Evidence, layers: list[LayerFacts], severity: Severity, what: str, got: float | None
    ) -> Finding:
        learnt = "" if got is None else f"; the model explains {max(got, 0):.0%} of its labels"
        return Finding(
            rule=self.name,
            severity=severity,
            seen=f"{what}{learnt}.",
            why="What goes through them is mixed at random, and no training changes that.",
            do="Set trainable = True and compile again, or load the weights that they were frozen for.",
            where=layers[0].path,
            reference="https://keras.io/guides/transfer_learning/",
            numbers={"layers": len(layers), **({} if got is None else {"skill": got})},
            layers=tuple(layer.path for layer in layers),
            certainty=0.8 if got is not None or severity is Severity.ERROR else 0.6,
        )


def _kernels(wiring: Wiring) -> tuple[LayerFacts, ...]:
    return tuple(layer for layer in wiring.layers.values() if any(len(weight.shape) > 1 for weight in layer.weights))


def _frozen(layer: LayerFacts) -> bool:
    return bool(layer.weights) and not any(weight.trainable for weight in layer.weights)


def _widens(layer: LayerFacts) -> bool:
    shapes = [weight.shape for weight in layer.weights if len(weight.shape) == 2]
    return bool(shapes) and layer.kind != "Embedding" and shapes[0][1] >= _MANY * shapes[0][0]


def _as_drawn(evidence: Evidence, layer: LayerFacts) -> bool:
    """Whether a layer's weights are those of its initializer."""
    if evidence.weights is None:
        return False
    kernels = 0
    for weight in layer.weights:
        mean, spread = evidence.weights.of_path(weight.path, "mean"), evidence.weights.of_path(weight.path, "std")
        if not len(mean):
            return False
        if len(weight.shape) == 1:
            if weight.path.endswith("bias") and (mean[-1] != 0 or spread[-1] != 0):
                return False
            continue
        expected = drawn(layer.initializer, weight.shape)
        if expected is None or not still_as_drawn(expected, float(mean[-1]), float(spread[-1]), weight.size):
            return False
        kernels += 1
    return kernels > 0
