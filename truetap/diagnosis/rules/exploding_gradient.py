"""Gradients grow through depth or time until nothing else matters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.movement import Movement
from truetap.rules.finding import Finding, Severity

__all__ = ["ExplodingGradient"]

_PULL = 1e3  # times the loss per weight's own size; 0.1 to 100 in sound models of all kinds
_OVER_LAST = 100.0  # times that of the kernel nearest to the loss
_THROUGH_TIME = 1e3  # times its inputs that the outputs of a recurrent layer are
_THROUGH_DEPTH = 1.5, 4, 300.0  # of each layer, over so many layers, together
_LEAP = 1e3  # times all gradients before
_RECURRENT = ("SimpleRNN", "LSTM", "GRU", "ConvLSTM2D", "Bidirectional", "RNN")


class ExplodingGradient:
    """The gradient explodes.

    Said at the first step, before any update, where (a) a kernel's gradient, made free of units by the kernel's norm
    over the loss, is beyond 1e3 and beyond 100 times that of the last kernel (Pascanu et al. 2013: it grew on its way
    back; AutoTrainer takes 70), or the loss is finite and the gradient isn't; where (b) values grow a thousandfold
    through time in a recurrent layer or, layer by layer, through depth, and gradients with them; and of a run in which
    (c) a recorded gradient is a thousand times longer than all before, after short steps, behind a recurrent layer.
    """

    name = "exploding_gradient"
    needs = ("gradients",)
    after = ("nan_in_data", "log_or_root_of_zero", "unscaled_inputs", "implicit_broadcast", "labels_out_of_range")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        movement = Movement(evidence)
        found = _backwards(evidence, movement) or _forwards(evidence) or _suddenly(evidence, movement)
        if found is None:
            return
        seen, layers, numbers, steps = found
        recurrent = any(each in _recurrent(evidence) for each in layers)
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=seen,
            why="A step along such a gradient says nothing of where the loss falls: it throws the weights away.",
            do=(
                "Take an orthogonal recurrent_initializer, tanh in recurrent layers or LSTM and GRU, and clip "
                "(clipnorm=1.0)."
                if recurrent
                else "Take smaller initial weights (he_normal before ReLU, glorot_uniform else), normalise between "
                "layers, and clip (clipnorm=1.0)."
            ),
            where=layers[0] if layers else None,
            reference="https://arxiv.org/abs/1211.5063",
            numbers=numbers,
            layers=layers,
            steps=steps,
            certainty=0.8,
        )


_Found = tuple[str, tuple[str, ...], dict[str, float], tuple[int, ...]]


def _backwards(evidence: Evidence, movement: Movement) -> _Found | None:
    """Through layers or time, on the way back."""
    pulls = movement.pulls
    if len(pulls) < 2:
        return None
    worst = max(pulls, key=lambda path: pulls[path])
    nearest = list(pulls)[-1] if worst != list(pulls)[-1] else next(iter(pulls))
    least = min(pulls[nearest], float(np.median(list(pulls.values()))))
    if not (pulls[worst] > _PULL and pulls[worst] > _OVER_LAST * least):
        return None
    seen = (
        f"At the first step, changing {worst!r} by its own size along its gradient would change the loss by "
        f"{pulls[worst]:.2g} times its size; for {nearest!r} it is {pulls[nearest]:.2g} times."
    )
    return seen, (_layer_of(evidence, worst),), {"pull": pulls[worst], "nearest": pulls[nearest]}, ()


def _forwards(evidence: Evidence) -> _Found | None:
    """Values that grow through time or depth; gradients, which are products with them, do too."""
    activations = evidence.activations
    if activations is None:
        return None
    sizes = {path: value for path, value in _sizes(evidence).items() if np.isfinite(value) and value > 0}
    order = [path for path in evidence.trace.calls if path in sizes] or [p for p in activations.paths if p in sizes]
    before = _input_size(evidence)
    least, layers, together = _THROUGH_DEPTH
    grown: list[tuple[str, float]] = []
    for path in order:
        factor = sizes[path] / before if before else np.nan
        if path.partition("#")[0] in _recurrent(evidence) and factor > _THROUGH_TIME:
            seen = (
                f"Through time the values of {path!r} grow to {sizes[path]:.2g}, {factor:.2g} times what goes in, and "
                "the gradient grows with them on its way back."
            )
            return seen, (path.partition("#")[0],), {"growth": factor}, ()
        before = sizes[path]
        grown = [*grown, (path, factor)] if factor > least else grown
    whole = float(np.prod([factor for _, factor in grown])) if grown else 0.0
    if len(grown) >= layers and whole > together and len(grown) >= 0.6 * len(order):
        seen = (
            f"Values grow through {len(grown)} layers, by {whole ** (1 / len(grown)):.2g} times in each and "
            f"{whole:.2g} times together (in {grown[-1][0]!r} they reach {sizes[grown[-1][0]]:.2g}); so does the "
            "gradient on its way back."
        )
        return seen, tuple(path.partition("#")[0] for path, _ in grown), {"growth": whole}, ()
    return None


def _suddenly(evidence: Evidence, movement: Movement) -> _Found | None:
    """In the middle of a training that took short steps."""
    if evidence.gradients is None or not _recurrent(evidence) or movement.first_ratio > 0.1:
        return None
    for path in movement.kernels:
        values = evidence.gradients.of_path(path, "norm")
        for place in range(3, len(values)):
            before, now = float(values[:place].max()), float(values[place])
            if np.isfinite(now) and now > _LEAP * before > 0:
                step = int(evidence.gradients.steps[path]["norm"][place])
                seen = f"The gradient of {path!r} leaps to {now:.2g} in step {step}, from {before:.2g}."
                return seen, (_layer_of(evidence, path),), {"norm": now}, (step,)
    return None


def _recurrent(evidence: Evidence) -> frozenset[str]:
    layers = () if evidence.facts is None else evidence.facts.model.layers
    return frozenset(each.path for each in layers if each.kind in _RECURRENT)


def _layer_of(evidence: Evidence, weight: str) -> str:
    layers = () if evidence.facts is None else evidence.facts.model.layers
    owner = [each.path for each in layers if any(own.path == weight for own in each.weights)]
    layer = owner[0] if owner else weight.rpartition("/")[0]
    around = layer.rpartition("/")[0]  # of a cell
    return around if around in _recurrent(evidence) else layer


def _sizes(evidence: Evidence) -> dict[str, float]:
    """The root mean square of each layer's values at the first step."""
    assert evidence.activations is not None
    sizes = {path: evidence.activations.size(path) for path in evidence.activations.paths}
    return {path: float(size[0]) for path, size in sizes.items() if len(size)}


def _input_size(evidence: Evidence) -> float:
    """The root mean square of the inputs; 1 where they aren't known."""
    found = [np.sqrt(np.mean(values[np.isfinite(values)] ** 2)) for values in (evidence.inputs or {}).values()]
    return float(max(found, default=1.0)) or 1.0
