"""The gradient by the outputs: is there one, and is it the derivative of the loss?

The derivative is taken by central differences along random directions, in float32: steps of several sizes have to
agree with each other before they count against the gradient, so that corners (relu, abs, hinge) are no alarm.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.loss_checks.evidence import Array, Evidence
from truetap.loss_checks.numbers import probabilities, shown
from truetap.loss_checks.paths import way_to
from truetap.rules.finding import Finding, Severity

__all__ = ["GradientRaises", "NoGradient", "WrongGradient"]

_STEPS = (3e-2, 1e-2, 3e-3)  # of the size of the values
_DIRECTIONS = 6


class GradientRaises:
    """The loss can be computed, its gradient can't: `evaluate` works, and `fit` stops at its first step.

    Exact: the gradient by `y_pred` raises on the batch.
    """

    name = "gradient_raises"
    needs: tuple[str, ...] = ("values",)
    after = ("value_in_python", "does_not_trace", "does_not_run")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        error = evidence.sloped.error
        if error is not None:
            yield Finding(
                self.name,
                Severity.ERROR,
                f"The loss of y_true {evidence.y_true.shape} and y_pred {evidence.y_pred.shape} can be computed; its "
                f"gradient raises {type(error).__name__}: {' '.join(str(error).split())[:200]}",
                "fit stops at the first step; evaluate, which needs no gradient, works.",
                "Use other operations, or reshape both to two axes before the loss, as (n, classes).",
            )


class NoGradient:
    """No gradient reaches the outputs: nothing is trained.

    It is missing, or exactly 0, at the batch and at two random ones of its kind: where all is right already it may
    vanish. The trace of the loss says at which operation it ends: argmax, round, a comparison, a cast to integers.
    """

    name = "no_gradient"
    needs: tuple[str, ...] = ("values", "graph", "slope")
    after = ("value_in_python", "swapped_arguments", "not_finite")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        assert evidence.graph is not None
        if any(_moves(evidence, at) for at in _points(evidence)):
            return
        way = way_to(evidence.graph, evidence.graph.y_pred)
        if way.blocks:
            seen = f"The gradient by y_pred is zero or missing: it ends at {' and '.join(way.blocks)}."
        elif not way.connected:
            seen = "The loss doesn't depend on y_pred."
        else:
            seen = "The gradient by y_pred is zero at the batch and around it: the loss is flat there."
        yield Finding(
            self.name,
            Severity.ERROR,
            seen,
            "The weights never move: TensorFlow says so in some cases, JAX and torch train without a word.",
            "Replace it by something smooth (a sigmoid for a threshold, probabilities for argmax), and keep the other "
            "as a metric.",
            where=way.blocks[0] if way.blocks else "y_pred",
            reference="keras-team/keras#4175",
        )


class WrongGradient:
    """The gradient isn't the derivative of the loss.

    Along six random directions central differences of three step sizes (0.03, 0.01, 0.003 of the values) are compared
    with it. Directions count in which the three agree within 10%: half of them at least must, and in three quarters of
    those the gradient must be off by more than 10%. A note where the loss stops the gradient by `stop_gradient`.
    """

    name = "wrong_gradient"
    needs: tuple[str, ...] = ("values", "slope", "graph", "repeatable")
    after = ("no_gradient", "not_finite", "value_in_python", "swapped_arguments")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        pairs = [pair for pair in self._measured(evidence) if pair is not None]
        wrong = [(by_steps, by_gradient) for by_steps, by_gradient in pairs if not _agree(by_steps, by_gradient)]
        if len(pairs) < _DIRECTIONS // 2 or len(wrong) < 0.75 * len(pairs):
            return
        assert evidence.graph is not None
        blocks = way_to(evidence.graph, evidence.graph.y_pred).blocks
        deliberate = "stop_gradient" in blocks
        by_steps, by_gradient = max(wrong, key=lambda pair: abs(pair[0] - pair[1]))
        yield Finding(
            self.name,
            Severity.NOTE if deliberate else Severity.ERROR,
            f"Along {len(wrong)} of {len(pairs)} random directions the gradient isn't the derivative: by differences "
            f"{shown(by_steps)}, by gradient {shown(by_gradient)}.",
            "The steps of training don't lead where the loss says."
            + (" The loss stops the gradient on one of its ways." if deliberate else ""),
            "If that is meant, nothing; else let the gradient through."
            if deliberate
            else "Check the custom gradient of the loss, or compute it with differentiable operations only.",
            where="stop_gradient" if deliberate else None,
        )

    def _measured(self, evidence: Evidence) -> Iterator[tuple[float, float] | None]:
        """For each direction the derivative by differences and by gradient; None where steps don't agree."""
        rng = evidence.rng()
        assert evidence.slope is not None
        if evidence.slope.slope is None:
            return
        slope = evidence.slope.slope.astype(np.float64)
        room = _room(evidence.y_pred)
        for _ in range(_DIRECTIONS):
            direction = rng.normal(size=evidence.y_pred.shape).clip(-2, 2) * room
            found = [self._difference(evidence, direction, step) for step in _STEPS]
            steady = [each for each in found if each is not None]
            if len(steady) < len(_STEPS) or not all(_agree(each, steady[1]) for each in steady):
                yield None
            else:
                yield steady[1], float(np.sum(slope * direction))

    def _difference(self, evidence: Evidence, direction: Array, step: float) -> float | None:
        ahead, behind = (evidence.y_pred + sign * step * direction for sign in (1, -1))
        high, low = (evidence.total(evidence.y_true, each.astype(np.float32)).value for each in (ahead, behind))
        if high is None or low is None or not np.isfinite([high, low]).all():
            return None
        if abs(high - low) < 3e-5 * max(abs(high), abs(low), 1e-6):  # rounding
            return None
        return (high - low) / (2 * step)


def _agree(one: float, other: float) -> bool:
    return abs(one - other) <= 0.1 * max(abs(one), abs(other))


def _room(y_pred: Array) -> Array:
    """How far each output may be moved: probabilities stay probabilities."""
    if probabilities(y_pred):
        return np.asarray(0.3 * np.minimum(y_pred, 1 - y_pred))
    return np.full(y_pred.shape, max(float(np.abs(y_pred).mean()), 1e-3))


def _points(evidence: Evidence) -> Iterator[Array]:
    """The outputs as given, and others of their kind: a gradient may vanish where all is right already."""
    yield evidence.y_pred
    rng, shape = evidence.rng(), evidence.y_pred.shape
    spread = max(float(np.abs(evidence.y_pred).max()), 1.0)
    for _ in range(2):
        inside = rng.uniform(0.05, 0.95, shape) if probabilities(evidence.y_pred) else rng.normal(0, spread, shape)
        yield inside.astype(np.float32)


def _moves(evidence: Evidence, y_pred: Array) -> bool:
    found = evidence.gradient(evidence.y_true, y_pred).value
    return found is not None and found.slope is not None and bool(np.any(found.slope != 0))
