"""Weights that begin so large that outputs and loss do too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.drawn import drawn
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.wiring import Wiring, kernel_of
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["InitialWeightsTooLarge"]

_TIMES = 4.0
_ENDS = 0.5
_NORMS = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization", "RMSNormalization")


class InitialWeightsTooLarge:
    """A kernel at least four times as large as He's, and a first step that shows it.

    He et al. (2015) keep the size of values by a deviation of sqrt(2 / inputs). What shows it: a first cross-entropy
    of at least four times that of equal probabilities, predictions whose mean square is 16 times that of the
    targets, or half of a tanh or sigmoid layer at its ends. Large weights that are normalised behind, or whose
    outputs are of the right size (random features), are no fault.
    """

    name = "initial_weights_too_large"
    needs = ("facts",)
    after = ("nan_in_data",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all kernels that are so."""
        assert evidence.facts is not None
        wiring = Wiring(evidence.facts)
        large = {
            path: times
            for path, layer in wiring.layers.items()
            if (times := _times(evidence, layer)) is not None and times >= _TIMES and not _normalised(wiring, path)
        }
        shown = _shown(evidence, wiring, tuple(large)) if large else None
        if shown is None:
            return
        first = max(large, key=lambda path: large[path])
        layer = wiring.layers[first]
        begun = f" (kernel_initializer {layer.initializer})" if layer.initializer else ""
        many = f"; {len(large) - 1} more are too large" if len(large) > 1 else ""
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=f"The kernel of {first!r} begins {large[first]:.0f} times as large as He's{begun}{many}. {shown}",
            why="Training first spends its steps on shrinking the outputs, or never gets out of the flat ends.",
            do='Take kernel_initializer="he_normal" before ReLU, "glorot_uniform" else.',
            where=first,
            reference="https://arxiv.org/abs/1502.01852",
            numbers={"times": large[first], "layers": len(large)},
            layers=tuple(large),
            certainty=0.85,
        )


def _times(evidence: Evidence, layer: LayerFacts) -> float | None:
    """The root mean square of a kernel before the first step, against He's; None where it can't be told."""
    shape = kernel_of(layer)
    if shape is None or "Depthwise" in layer.kind:
        return None
    he = np.sqrt(2 / np.prod(shape[:-1]))
    path = next(weight.path for weight in layer.weights if weight.shape == shape)
    if evidence.updates is not None:
        norm, ratio = evidence.updates.of_path(path, "norm"), evidence.updates.of_path(path, "ratio")
        if len(norm) and len(ratio) and norm[0] > 0 and 0 < ratio[0] < np.inf:
            return float(norm[0] / ratio[0] / np.sqrt(np.prod(shape)) / he)
    expected = drawn(layer.initializer, shape)
    return None if expected is None else float(np.hypot(expected.mean, expected.std) / he)


def _normalised(wiring: Wiring, path: str) -> bool:
    after = wiring.behind[path]
    return len(after) == 1 and wiring.layers[after[0]].kind in _NORMS


def _shown(evidence: Evidence, wiring: Wiring, large: tuple[str, ...]) -> str | None:
    """What the first step shows of it."""
    for output in evidence.labelled or ():
        said = _loss(output)
        if said is not None:
            return said
    if evidence.activations is not None:
        for path in large:
            if path in wiring.ends or wiring.layers[path].activation not in ("tanh", "sigmoid"):
                continue
            ends = evidence.activations.of_path(path, "near_one")[:1]
            if wiring.layers[path].activation == "sigmoid":
                ends = ends + evidence.activations.of_path(path, "near_zero")[:1]
            if len(ends) and ends[0] >= _ENDS:
                kind = wiring.layers[path].activation
                return f"{ends[0]:.0%} of the values of {path!r} are at the ends of its {kind} in the first step."
    return None


def _loss(output: OutputEvidence) -> str | None:
    rows = output.first
    begin = rows.steps == rows.steps.min()
    name = output.loss_name
    if rows.loss is not None and "crossentropy" in name:
        loss = float(np.mean(rows.loss[begin]))
        even = np.log(max(rows.pred.units, 2)) if "categorical" in name else np.log(2)
        if loss >= _TIMES * even:
            return f"The first loss is {loss:.3g}, of equal probabilities it would be {even:.3g}."
    if output.meant == "regression" and rows.y_true is not None:
        pred, true = np.asarray(rows.y_pred[begin], np.float64), np.asarray(rows.y_true[begin], np.float64)
        size, whole = float(np.sqrt(np.mean(pred**2))), float(np.sqrt(np.mean(true**2)))
        if whole > 0 and size >= _TIMES * whole:
            return f"The first predictions have a size of {size:.3g}, the targets of {whole:.3g} (root mean squares)."
    return None
