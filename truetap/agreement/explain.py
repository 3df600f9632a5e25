"""The smallest set of known mistakes that gives the loop's loss and its update.

A set counts only if a step of `fit` with these mistakes gives both. Where no set does, loss and update
are explained apart; what is left is said as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from truetap.agreement.closeness import Tolerance
from truetap.agreement.reasons import Combination, Reason, combinations, known_factors, possible_reasons
from truetap.agreement.simulation import Simulation
from truetap.agreement.updates import Otherwise, Updates
from truetap.agreement.variant import Variant

__all__ = ["Explained", "Explanation", "Search"]

_MOST = 3  # mistakes at once
_SEEN = 3e-7  # of a loss: less is rounding


@dataclass(frozen=True)
class Factor:
    """A constant in the loss; `name` says what number it is, and is "" if that isn't known."""

    value: float
    name: str
    of_all: bool  # of model.losses too


@dataclass(frozen=True)
class Explanation:
    """A set of mistakes, and the loss of a step that makes them."""

    combination: Combination
    loss: float
    factor: Factor | None = None
    otherwise: tuple[Otherwise, ...] = ()


@dataclass(frozen=True)
class Explained:
    """What explains a loop.

    Attributes:
        together: What explains loss and update at once.
        of_loss: What explains the reported loss alone.
        of_update: What explains the update alone.
        complete: Whether all sets that were worth a gradient had one.
    """

    together: Explanation | None = None
    of_loss: Explanation | None = None
    of_update: Explanation | None = None
    complete: bool = True


class Search:
    """The search for one loop.

    Args:
        simulation: Steps with mistakes.
        updates: What the loop did.
        loss: What the loop reported, or None.
        rows: Samples in the batch.
        tolerance: When two losses are the same.

    Attributes:
        complete: Whether all sets that were worth a gradient had one.
    """

    def __init__(
        self, simulation: Simulation, updates: Updates, loss: float | None, rows: int, tolerance: Tolerance
    ) -> None:
        self._simulation = simulation
        self._updates = updates
        self._loss = loss
        self._tolerance = tolerance
        self.complete = True
        self._base = simulation.loss(Variant())
        self._factors = known_factors(simulation, rows)
        reasons = [each for each in possible_reasons(simulation) if self._shows(each)]
        self._sets = [list(combinations(reasons, size)) for size in range(_MOST + 1)]
        self._same_loss = loss is not None and tolerance.same_loss(loss, self._base)

    def _shows(self, reason: Reason) -> bool:
        """Whether a mistake makes a difference on this batch; in broadcasting, weights alike make none, for one."""
        return abs(self._simulation.loss(reason.variant) - self._base) > _SEEN * abs(self._base)

    def run(self, *, same_update: bool) -> Explained:
        """Explains what isn't the same."""
        nothing = Explanation(self._sets[0][0], self._base)
        if self._loss is None:
            done = same_update or self._updates.none_at_all
            of_update = None if done else self._of_update()
            return Explained(of_update=of_update, complete=self.complete)
        if self._updates.none_at_all:
            return Explained(of_loss=nothing if self._same_loss else self._of_loss())
        together = self._together()
        if together is not None:
            return Explained(together)
        of_loss = nothing if self._same_loss else self._of_loss()
        of_update = nothing if same_update else self._of_update()
        return Explained(None, of_loss, of_update, self.complete)

    def _together(self) -> Explanation | None:
        for size in range(_MOST + 1):
            for each in self._of_that_loss(size):
                if self._leaves(each, otherwise=False) is not None:
                    return each
            for each in self._of_that_loss(size - 1):
                found = self._leaves(each, otherwise=True)
                if found is not None:
                    return Explanation(each.combination, each.loss, each.factor, found)
        return None

    def _of_loss(self) -> Explanation | None:
        for size in range(_MOST + 1):
            for each in self._of_that_loss(size):
                if each.factor is None or each.factor.name:
                    return each
        return None

    def _of_update(self) -> Explanation | None:
        for size in range(_MOST + 1):
            for each, otherwise in self._of_any_loss(size):
                found = self._leaves(each, otherwise=otherwise)
                if found is not None:
                    return Explanation(each.combination, each.loss, each.factor, found)
        return None

    def _of_any_loss(self, size: int) -> Iterator[tuple[Explanation, bool]]:
        """All sets of so many mistakes, and whether one more is in how the gradients are applied."""
        factors = self._factors if self._loss is None else {}
        for each in self._sets[size]:
            yield Explanation(each, self._simulation.loss(each.variant)), False
        for each in self._sets[size - 1] if size else ():
            loss = self._simulation.loss(each.variant)
            for value, name in factors.items():
                yield Explanation(each, loss, Factor(value, name, of_all=False)), False
            yield Explanation(each, loss), True

    def _of_that_loss(self, size: int) -> Iterator[Explanation]:
        """All sets of so many mistakes, a constant counted as one, that give the loop's loss."""
        assert self._loss is not None
        if size < 0:
            return
        for each in self._sets[size]:
            loss = self._simulation.loss(each.variant)
            if self._tolerance.same_loss(self._loss, loss):
                yield Explanation(each, loss)
        if not size or self._same_loss:
            return
        scaled = [found for each in self._sets[size - 1] for found in self._scaled(each)]
        yield from sorted(scaled, key=lambda found: found.factor is None or not found.factor.name)

    def _scaled(self, each: Combination) -> Iterator[Explanation]:
        """A set with a constant that makes its loss that of the loop."""
        assert self._loss is not None
        data, extra = self._simulation.parts(each.variant)
        if self._tolerance.same_loss(self._loss, data + extra):
            return
        values = [((self._loss - extra) / data, False)] if data else []
        values += [(self._loss / (data + extra), True)] if extra and data + extra else []
        for value, of_all in values:
            yield Explanation(each, self._loss, Factor(value, self._named(value), of_all))

    def _named(self, value: float) -> str:
        near = [(number, name) for number, name in self._factors.items() if self._tolerance.same_loss(number, value)]
        return near[0][1] if near else ""

    def _leaves(self, each: Explanation, *, otherwise: bool) -> tuple[Otherwise, ...] | None:
        scale = 1.0 if each.factor is None else each.factor.value
        variant = each.combination.variant
        if not self._simulation.affords(variant):
            self.complete = False
            return None
        if each.factor is not None and each.factor.of_all:
            gradients = [scale * gradient for gradient in self._simulation.gradients(variant)]
        else:
            gradients = self._simulation.gradients(variant, scale)
        found = self._updates.explained(gradients, otherwise=otherwise)
        if found is None or each.factor is None or each.factor.name:
            return found
        # A free constant fits any loss: it counts only if the update shows it, which that of Adam alone doesn't.
        unscaled = self._simulation.gradients(variant)
        return found if self._updates.explained(unscaled, otherwise=False) is None else None
