"""Features of very large magnitude, or of very different ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.sampled import Sampled, sampled
from truetap.diagnosis.wiring import SQUASHING
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

__all__ = ["UnscaledInputs"]

Array = npt.NDArray[np.float64]

_LARGE = 10.0  # root mean square of a feature; 1 after scaling
_ANSWER = 3.0  # of a first layer's outputs; below 1 for scaled inputs under every initializer of Keras
_STUCK = 0.5  # of a squashing first layer's outputs are at their ends
_SMALL = 0.01  # no value of the inputs is larger
_APART = 1e3  # between the scales of features
_GATED = ("LSTM", "GRU", "Bidirectional")  # with gates that are shut or open for good, states are 0 or 1
_SCALERS = ("Normalization", "Rescaling", "BatchNormalization", "LayerNormalization", "GroupNormalization")


class UnscaledInputs:
    """Features with a root mean square above 10 (1 after standardising) that reach the first layer as they are.

    Whether they do is seen in what the first layer with weights gives in the first step: beyond 3, or stuck at its
    ends, where scaled inputs give below 1 (He et al. 2015 for the variance of outputs; LeCun et al. 1998 for why). So a
    model that scales inside is let be, whatever does it; one that normalises right behind its first layer is a note.
    Numbers that are looked up in an Embedding have no scale.
    """

    name = "unscaled_inputs"
    needs = ("inputs", "facts")
    after = ("nan_in_data", "constant_features")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding, of the worst input."""
        worst = [(_scales(each).max(), each) for each in sampled(evidence) if _has_scale(each)]
        if not worst:
            return
        _, some = max(worst, key=lambda pair: pair[0])
        answer = _answer(evidence)
        if answer is None or answer.scaled:
            return
        scales = _scales(some)
        low, high = float(some.values.min()), float(some.values.max())
        beyond = max(abs(low), abs(high))
        apart = _apart(some, scales)
        if scales.max() > _LARGE and (answer.large or answer.stuck):
            severity = Severity.NOTE if answer.normalised else Severity.WARNING
            what = f"{_opening(some)} are from {low:.4g} to {high:.4g}{_and_apart(apart)}"
        elif 0 < beyond < _SMALL and answer.rms < _SMALL:
            severity, what = Severity.WARNING, f"{_opening(some)} are nowhere beyond {beyond:.2g}"
        elif apart is not None and apart.ratio > _APART:
            severity, what = Severity.NOTE, f"{_opening(some)} are from {low:.4g} to {high:.4g}{_and_apart(apart)}"
        else:
            return
        stuck = f" {answer.stuck_share:.0%} of its units are at their ends." if answer.stuck else ""
        yield Finding(
            rule=self.name,
            severity=severity,
            seen=(
                f"{what}, and {answer.layer.path!r}, the first layer, gives {answer.rms:.3g} (root mean square).{stuck}"
            ),
            why=(
                "Steps are as large as the largest feature bears: the others are hardly learnt, or training leaps "
                "about."
            ),
            do=(
                "Bring each feature to mean 0 and deviation 1 (keras.layers.Normalization, adapted to the training "
                "data), "
                "pixels to 0 to 1 (keras.layers.Rescaling(1 / 255))."
            ),
            where=some.path,
            reference="https://doi.org/10.1007/978-3-642-35289-8_3",
            numbers={
                "low": low,
                "high": high,
                "scale": float(scales.max()),
                "apart": 1.0 if apart is None else apart.ratio,
                "feature": int(scales.argmax()),
                "answer": answer.rms,
            },
            layers=(answer.layer.path,),
            certainty=0.85,
        )


@dataclass(frozen=True)
class _Apart:
    """How many times the scale of the smallest feature the largest has, and which these are."""

    ratio: float
    largest: int
    smallest: int


@dataclass(frozen=True)
class _Answer:
    """What the first layer with weights gives in the first step."""

    layer: LayerFacts
    rms: float
    stuck_share: float
    scaled: bool
    normalised: bool = False

    @property
    def large(self) -> bool:
        return bool(self.rms > _ANSWER)

    @property
    def stuck(self) -> bool:
        return self.layer.activation in SQUASHING and self.stuck_share > _STUCK


def _answer(evidence: Evidence) -> _Answer | None:
    """Of several first layers the one that gives most; None where no activations are known."""
    assert evidence.facts is not None
    series, layers = evidence.activations, evidence.facts.model.by_path
    if series is None:
        return None
    first = {name: series.first(name) for name in ("near_one", "near_zero")}
    found: list[_Answer] = []
    graph = evidence.facts.model.kind != "subclassed"
    for call in evidence.trace.calls:
        layer = layers.get(call.partition("#")[0])
        if layer is None or layer.kind == "Embedding":
            continue
        if layer.kind in _SCALERS:
            if not found:
                return _Answer(layer, 0.0, 0.0, True)
            found[-1] = replace(found[-1], normalised=True)
            break
        if not any(len(weight.shape) > 1 for weight in layer.weights) or "/" in call:
            continue
        if found and (layer.after or not graph):
            break
        size = series.size(call)
        rms = float(size[0]) if len(size) else np.nan
        ends = first["near_one"].get(call, 0.0)
        ends += first["near_zero"].get(call, 0.0) if "sigmoid" in str(layer.activation) or layer.kind in _GATED else 0.0
        found.append(_Answer(layer, rms, ends, False))
    return max(found, key=lambda each: np.nan_to_num(each.rms, nan=np.inf), default=None)


def _has_scale(some: Sampled) -> bool:
    return not some.looked_up and bool(some.finite.all()) and some.values.size > 0


def _opening(some: Sampled) -> str:
    return some.words[0].upper() + some.words[1:]


def _scales(some: Sampled) -> Array:
    """The root mean square of each feature of a table, of each channel of images and series."""
    flat = some.values.reshape(-1, some.values.shape[-1]) if some.values.ndim > 1 else some.values.reshape(-1, 1)
    return np.asarray(np.sqrt((flat**2).mean(axis=0)))


def _apart(some: Sampled, scales: Array) -> _Apart | None:
    """Of dense features; None of fewer than two such."""
    flat = some.values.reshape(-1, some.values.shape[-1]) if some.values.ndim > 1 else some.values.reshape(-1, 1)
    dense = np.flatnonzero((np.ptp(flat, axis=0) > 0) & ((flat == 0).mean(axis=0) < 0.5))
    if len(dense) < 2:
        return None
    largest, smallest = dense[scales[dense].argmax()], dense[scales[dense].argmin()]
    return _Apart(float(scales[largest] / scales[smallest]), int(largest), int(smallest))


def _and_apart(apart: _Apart | None) -> str:
    if apart is None or apart.ratio < _LARGE:
        return ""
    return f", feature {apart.largest} {apart.ratio:.3g} times the scale of feature {apart.smallest} (counted from 0)"
