"""Layers to which no gradient comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.drawn import constant
from truetap.diagnosis.wiring import WEIGHED, Wiring
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["BrokenGraph"]

_FED = (
    "Dense",
    "EinsumDense",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Embedding",
    "LSTM",
    "GRU",
    "SimpleRNN",
    "MultiHeadAttention",
)


class BrokenGraph:
    """Trainable layers without gradient, or with one of 0 in every recorded step, while others have some.

    Certain where TensorFlow and torch give no gradient. JAX gives zeros, as do operations that are flat; these count
    when units of the layer fire (a dead layer has another cause) and, of a single step, when no kernel and no scale of
    the model begins at 0. Layers of a model's own class that its `call` never reaches are said too. Notes only: models
    that train in a train_step of their own, and what leads to outputs without a loss.
    """

    name = "broken_graph"
    needs = ("facts",)
    after = (
        "untracked_weights",
        "zero_initialisation",
        "dead_relu",
        "no_gradient_through_loss",
        "zero_sample_weights",
        "nan_in_data",
        "tiny_batches_under_batch_norm",
        "penalty_too_strong",
        "dropout_too_high",
        "learning_rate_too_high",
        "unscaled_inputs",
        "saturated_units",
        "constant_features",
        "loss_unsuited_to_task",
        "label_encoding",
        "labels_scaled",
        "output_range",
        "softmax_on_one_unit",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for all layers without gradient, one for those that are never called."""
        assert evidence.facts is not None
        facts, wiring = evidence.facts, Wiring(evidence.facts)
        cut = _cut(evidence)
        owned = [layer for layer in facts.model.layers if any(weight.trainable for weight in layer.weights)]
        known = not any(each.own for each in facts.model.losses)
        if cut and (len(cut) < len(owned) or (known and _slope_is_lost(evidence))):
            yield self._finding(evidence, wiring, cut)
        idle = _never_called(evidence, wiring)
        if idle and not cut:
            names = ", ".join(repr(path) for path in idle[:5])
            yield Finding(
                rule=self.name,
                severity=Severity.NOTE if facts.model.own_train_step else Severity.WARNING,
                seen=f"The model has the layers {names}, and its call uses none of them.",
                why="What they were meant to do isn't done, and nobody says so.",
                do="Use them in call, or take them out of __init__.",
                where=idle[0],
                numbers={"layers": len(idle)},
                layers=tuple(idle),
                certainty=0.6,
            )

    def _finding(self, evidence: Evidence, wiring: Wiring, cut: dict[str, str]) -> Finding:
        assert evidence.facts is not None
        first, how = next(iter(cut.items()))
        names = ", ".join(repr(path) for path in list(cut)[:5]) + (", …" if len(cut) > 5 else "")
        place = _place(wiring, list(cut))
        aside = evidence.facts.model.own_train_step or _without_loss(evidence, wiring, list(cut))
        return Finding(
            rule=self.name,
            severity=Severity.NOTE if aside else Severity.ERROR,
            seen=f"{names}: trainable, and {how}.{place}",
            why="Nothing leads back from the loss to these weights: they stay as they began.",
            do=(
                "Look for stop_gradient, round, argmax, a comparison, a cast to whole numbers or a detour over NumPy "
                "behind them, and for a branch that isn't used; if they are meant to stay, set trainable = False."
            ),
            where=first,
            reference="https://keras.io/api/ops/core/#stop_gradient-function",
            numbers={"layers": len(cut)},
            layers=tuple(cut),
            certainty=0.9,
        )


def _cut(evidence: Evidence) -> dict[str, str]:
    """The layers none of whose trainable weights has a gradient, with what shows it."""
    assert evidence.facts is not None
    none = set(evidence.trace.without_gradient)
    zero: set[str] = set()
    steps = 0
    if evidence.gradients is not None:
        each = evidence.gradients.each("zeros")
        zero = {path for path, values in each.items() if len(values) and (values == 1).all()}
        steps = max((len(values) for values in each.values()), default=0)
    if steps <= 1 and (any(constant(layer.initializer) for layer in evidence.facts.model.layers) or _scaled(evidence)):
        zero = set()
    found = {}
    silent = False  # whether nothing reaches a layer that has a gradient: what is before it is dead, not cut off
    for layer in evidence.facts.model.layers:
        paths = [weight.path for weight in layer.weights if weight.trainable]
        kernels = [path for path in paths if not path.endswith("bias")] or paths
        if not paths or not all(path in none or path in zero for path in kernels):
            continue
        if any(path in none for path in kernels):
            found[layer.path] = "without gradient"
        elif _fires(evidence, layer) and all(path in zero for path in paths):
            found[layer.path] = _ZERO if steps > 1 else _ZERO_AT_ONCE
        else:
            silent = True
    return {path: how for path, how in found.items() if not silent or how not in (_ZERO, _ZERO_AT_ONCE)}


def _scaled(evidence: Evidence) -> bool:
    """Whether some scale, such as the last of a residual branch, begins at 0: what is before it learns a step later."""
    assert evidence.facts is not None
    if evidence.updates is None:
        return False
    return any(
        np.isnan(evidence.updates.of_path(path, "ratio")[:1]).any()  # over a norm of 0
        for path, weight in evidence.facts.model.weights.items()
        if weight.trainable and path.rpartition("/")[2] not in ("bias", "beta")
    )


_ZERO = "the gradient is 0 in every recorded step"
_ZERO_AT_ONCE = "the gradient is 0"


def _fires(evidence: Evidence, layer: LayerFacts) -> bool:
    """Whether something comes out of a layer, and differs: of a dead one the gradient is 0 for another reason."""
    if evidence.activations is None:
        return True
    dead, spread = evidence.activations.of_path(layer.path, "dead"), evidence.activations.of_path(layer.path, "std")
    return not len(dead) or bool(dead.min() < 0.5 and spread.max() > 0)


def _slope_is_lost(evidence: Evidence) -> bool:
    """Of a model without any gradient and losses of Keras', whether it isn't the end of a sigmoid or softmax."""
    if evidence.trace.without_gradient:
        return True
    for output in evidence.labelled or ():
        pred, truth = output.first.pred, output.first.truth
        inside = output.activation in (None, "linear") or (pred.low > 0.01 and pred.high < 0.99 and pred.std > 0)
        if (
            truth is None
            or not truth.std > 0
            or not inside
            or output.activation == "relu"
            or pred.units == 1 == pred.low
        ):
            return False
    return bool(evidence.labelled)


def _place(wiring: Wiring, cut: list[str]) -> str:
    """The layer behind the last of them, where that is one that may stop gradients."""
    path = cut[-1]
    for _ in range(len(wiring.layers)):
        after = wiring.behind.get(path, ())
        if len(after) != 1:
            return ""
        path = after[0]
        layer = wiring.layers[path]
        if layer.kind == "Lambda" or layer.own:
            return f" Behind them is {path!r} ({layer.kind})."
        if layer.weights:
            return ""
    return ""


def _without_loss(evidence: Evidence, wiring: Wiring, cut: list[str]) -> bool:
    """Whether they only lead to outputs that have no loss."""
    assert evidence.facts is not None
    model = evidence.facts.model
    silent = {each.layer for each in model.outputs} - {
        each.layer for each in model.outputs if any(loss.output == each.name for loss in model.losses)
    }
    ends: set[str] = set()
    waiting = list(cut)
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        after = wiring.behind.get(path, ())
        ends |= set() if after else {path}
        waiting += after
    return bool(silent) and ends <= silent


def _never_called(evidence: Evidence, wiring: Wiring) -> list[str]:
    """Layers with kernels, of a model with a call of its own, that the trace never met."""
    assert evidence.facts is not None
    called = {path.partition("#")[0] for path in evidence.trace.calls}
    if not called or evidence.facts.model.kind != "subclassed":
        return []
    return [
        path
        for path, layer in wiring.layers.items()
        if path not in called
        and layer.kind in WEIGHED | set(_FED)
        and not layer.own
        and layer.trainable
        and not any(path.startswith(f"{each}/") and not _made_of(evidence, each) for each in called)
    ]


def _made_of(evidence: Evidence, path: str) -> bool:
    """Whether the layers inside a layer are met one by one: those of models and of a user's layers are."""
    assert evidence.facts is not None
    layer = evidence.facts.model.by_path.get(path)
    return layer is not None and (layer.own or layer.kind in ("Sequential", "Functional", "Model"))
