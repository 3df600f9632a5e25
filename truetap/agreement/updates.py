"""Whether gradients explain what a loop did to the weights: as the model's optimizer applies them, or otherwise.

A gradient inside a compiled function can't be seen. So the optimizer is run on the gradients that are
assumed, and its weights and moments are compared with those that the loop left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.agreement.closeness import Tolerance, norm, ratio
from truetap.agreement.outcome import Outcome, Values
from truetap.agreement.simulation import Gradients, Simulation, optimizers

__all__ = ["Otherwise", "Updates"]

Array = npt.NDArray[Any]
_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of a weight that an update is added to
_NOISE = 1e-6  # of the largest gradient, below which another is only rounding (a bias before batch normalisation)
_MOST_FACTORS = 6
_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


@dataclass(frozen=True)
class Otherwise:
    """What a loop does with its gradients that the model's optimizer doesn't; `factor` where that is a number."""

    rule: str
    text: str
    factor: float | None = None


class Updates:
    """What a loop did to a model's variables, to be compared with what gradients would do.

    Args:
        model: The model.
        simulation: Applies gradients by the model's optimizer.
        before: The model before a step.
        fit: The step of `fit`.
        loop: The loop's.
        tolerance: When two changes are the same.

    Attributes:
        uses_optimizer: Whether the loop updates by the model's optimizer.
        untouched: Positions of trainable variables that `fit` changes and the loop doesn't.
        changes: What the loop did to each trainable variable.
        of_fit: What `fit` did.
    """

    def __init__(
        self, model: Any, simulation: Simulation, before: Values, fit: Outcome, loop: Outcome, tolerance: Tolerance
    ) -> None:
        self._model = model
        self._simulation = simulation
        self._before = before
        self._fit = fit
        self._loop = loop
        self._tolerance = tolerance
        self.uses_optimizer = loop.after.iterations > before.iterations
        scale = simulation.loss_scale if self.uses_optimizer else 1.0
        self._seen = None if loop.gradients is None else _unscaled(loop.gradients, before.trainable, scale)
        self.changes = self._changes(loop.after)
        self.of_fit = self._changes(fit.after)
        places = range(len(self.changes))
        moves = [norm(self.of_fit[at]) > self.rounding(at) for at in places]
        self.untouched = [at for at in places if moves[at] and not self.changes[at].any()]
        self._compared = [at for at in places if at not in self.untouched]

    @property
    def none_at_all(self) -> bool:
        """Whether the loop changes no weight, and `fit` does."""
        return bool(self.untouched) and not any(change.any() for change in self.changes)

    def rounding(self, at: int) -> float:
        """The norm of what is only rounding in the change of a variable."""
        return _ROUNDING * norm(self._before.trainable[at])

    def noise(self, gradients: Gradients) -> set[int]:
        """Positions of variables whose gradient is only rounding: an optimizer such as Adam makes it large."""
        sizes = [norm(each) / max(each.size, 1) ** 0.5 for each in gradients]
        return {at for at, size in enumerate(sizes) if size < _NOISE * max(sizes, default=0.0)}

    def same_as_fit(self, gradients: Gradients) -> bool:
        """Whether the loop left what `fit` leaves; `gradients` are those of `fit` if its step is plain."""
        if self.untouched or (self.uses_optimizer and self._loop.after.iterations != self._fit.after.iterations):
            return False
        finite = all(np.isfinite(each).all() for each in gradients)
        seen = not finite or self._seen is None or self._near(self._seen, gradients)
        return (seen or not self.fit_is_plain(gradients)) and self._like(self._fit.after, gradients)

    def fit_is_plain(self, gradients: Gradients) -> bool:
        """Whether `fit` does with its gradients what its optimizer does, so that steps like it can be made."""
        finite = all(np.isfinite(each).all() for each in gradients)
        after = self._changes(self._simulation.after(gradients))
        pairs = [(self.of_fit[at], after[at], self.rounding(at)) for at in self._told(gradients)]
        return not finite or all(self._tolerance.same(*each) for each in pairs)

    def explained(self, gradients: Gradients, *, otherwise: bool) -> tuple[Otherwise, ...] | None:
        """Whether a step with these gradients would leave what the loop left.

        Args:
            gradients: By trainable variable.
            otherwise: Whether they may be applied otherwise than by the model's optimizer as it is.

        Returns:
            () if so; one thing that is done otherwise, if that explains it; None if nothing does.
        """
        if self._seen is not None and not self._near(self._seen, gradients):
            return self._scaled(gradients, [ratio(self._seen, gradients)]) if otherwise else None
        after = self._simulation.after(gradients)
        if self._like(after, gradients):
            return ()
        if not otherwise:
            return None
        return (
            self._without(gradients)
            or self._scaled(gradients, self._factors(gradients, after))
            or self._proportional(gradients, after)
            or self._applied_otherwise()
        )

    def _without(self, gradients: Gradients) -> tuple[Otherwise, ...] | None:
        """The optimizer without its clipping or weight decay."""
        parts = optimizers(self._model)
        clipping = {name: getattr(o, name) for o in parts for name in _CLIPPING if getattr(o, name, None) is not None}
        decay = next((o.weight_decay for o in parts if getattr(o, "weight_decay", None)), None)
        if clipping and self._like(self._simulation.after(gradients, tuple(clipping)), gradients):
            said = ", ".join(f"{name}={value}" for name, value in clipping.items())
            text = (
                f"The loop doesn't clip its gradients; the compiled optimizer does ({said}). Update by model.optimizer."
            )
            return (Otherwise("clipping", text),)
        if decay is not None and self._like(self._simulation.after(gradients, ("weight_decay",)), gradients):
            text = f"The loop leaves out the compiled optimizer's weight_decay={decay}. Update by model.optimizer."
            return (Otherwise("weight_decay", text),)
        return None

    def _factors(self, gradients: Gradients, after: Values) -> list[float | None]:
        """By how much the gradients may have been larger, from what they left behind, beyond what none would leave.

        An update or a first moment grows with the gradient, a second moment with its square.
        """
        if not self.uses_optimizer:
            return []
        none = self._simulation.after([0.0 * each for each in gradients])
        pairs = [(self._loop.after.optimizer[at], after.optimizer[at], none.optimizer[at]) for at in self._slots()]
        pairs += [(self._loop.after.trainable[at], after.trainable[at], none.trainable[at]) for at in self._compared]
        ratios = [ratio([theirs - base], [ours - base]) for theirs, ours, base in pairs]
        found = [each for each in ratios if each is not None and abs(each) > 1e-12]
        every = found + [each**0.5 for each in found if each > 0]
        distinct: dict[str, float | None] = {f"{each:.2g}": each for each in every if f"{each:.2g}" != "1"}
        return list(distinct.values())[:_MOST_FACTORS]

    def _scaled(self, gradients: Gradients, factors: list[float | None]) -> tuple[Otherwise, ...] | None:
        """A constant times the gradients."""
        for factor in factors:
            if factor is None or factor == 0.0 or not np.isfinite(factor):
                continue
            scaled = [factor * each for each in gradients]
            if self._seen is not None and not self._near(self._seen, scaled):
                continue
            if self._like(self._simulation.after(scaled), scaled):
                return (Otherwise("gradient_scale", self._scale_said(factor), factor),)
        return None

    def _scale_said(self, factor: float) -> str:
        said = f"The loop's gradients are {factor:.6g} times those of fit. "
        if (
            abs(factor * self._simulation.loss_scale - 1) < self._tolerance.gradient
            and self._simulation.loss_scale != 1
        ):
            return said + (
                "That is 1 / the loss scale of mixed precision: the optimizer divides by it, and the loop doesn't "
                "multiply. Differentiate model.optimizer.scale_loss(loss)."
            )
        return said + "Differentiate the mean loss of the batch, neither its sum nor one divided by another number."

    def _proportional(self, gradients: Gradients, after: Values) -> tuple[Otherwise, ...] | None:
        """A constant times the update, or times the gradient."""
        if self.uses_optimizer:
            return None
        name = type(optimizers(self._model)[-1]).__name__
        for base, rule, text in (
            (self._changes(after), "learning_rate", "The loop's updates are {:.6g} times those of the compiled {}."),
            (gradients, "optimizer", "The loop's updates are {:.6g} times the gradients; fit updates by {}."),
        ):
            factor = ratio(self._picked(self.changes), self._picked(base))
            expected = [factor * each for each in base] if factor else None
            if factor and expected and all(self._same(at, expected[at]) for at in self._told(gradients)):
                said = text.format(factor, name) + " Update by model.optimizer, or compile with what the loop uses."
                return (Otherwise(rule, said, factor),)
        return None

    def _applied_otherwise(self) -> tuple[Otherwise, ...] | None:
        """Gradients that were seen and are right, with an update that isn't."""
        if self._seen is None:
            return None
        name = type(optimizers(self._model)[-1]).__name__
        text = (
            f"The loop's gradients are those expected, but its update is not that of the compiled {name}. Update by "
            "model.optimizer, once per step."
        )
        return (Otherwise("optimizer", text),)

    def _changes(self, after: Values) -> list[Array]:
        return [now - then for now, then in zip(after.trainable, self._before.trainable, strict=True)]

    def _picked(self, values: list[Array]) -> list[Array]:
        return [values[at] for at in self._compared]

    def _told(self, gradients: Gradients) -> list[int]:
        noise = self.noise(gradients)
        return [at for at in self._compared if at not in noise]

    def _same(self, at: int, change: Array) -> bool:
        return self._tolerance.same(self.changes[at], change, self.rounding(at))

    def _near(self, seen: Gradients, gradients: Gradients) -> bool:
        floor = _NOISE * max(map(norm, gradients), default=0.0)
        return all(self._tolerance.same(seen[at], gradients[at], floor) for at in self._compared)

    def _like(self, after: Values, gradients: Gradients) -> bool:
        """Whether weights, and the optimizer's moments, are those that the loop left."""
        changes = self._changes(after)
        if not all(self._same(at, changes[at]) for at in self._told(gradients)):
            return False
        if not self.uses_optimizer or self.untouched:
            return True
        ours, theirs = after.optimizer, self._loop.after.optimizer
        floor = _NOISE * max((norm(ours[at]) for at in self._slots()), default=0.0)
        return all(self._tolerance.same(theirs[at], ours[at], floor) for at in self._slots())

    def _slots(self) -> list[int]:
        return [at for at, value in enumerate(self._before.optimizer) if value.ndim]


def _unscaled(gradients: list[Array | None], like: list[Array], scale: float) -> Gradients:
    pairs = zip(gradients, like, strict=True)
    return [np.zeros(value.shape) if each is None else each / scale for each, value in pairs]
