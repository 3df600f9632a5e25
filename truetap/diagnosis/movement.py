"""How the steps moved the weights: what the loss pulled at, and how far each step went.

Two numbers without a unit tell a rate that is too high or too low from other reasons of the same curve: an update's
norm over its weight's ("ratio", near 1e-3 in a healthy training), and how far the loss would change if a weight
changed by its own size along the gradient ("pull": norm of the gradient times norm of the weight over the loss).
Kernels alone count: a bias begins at 0, and anything is much to it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["ADAPTIVE", "Movement"]

Array = npt.NDArray[Any]

# whose steps don't grow with the gradient
ADAPTIVE = frozenset({"Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adadelta", "Lion", "Adafactor", "Lamb", "Muon"})


class Movement:
    """How recorded steps moved the kernels: trainable weights of two axes or more.

    Args:
        evidence: Of a run or of a single step, with updates.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        """The paths of the kernels of which updates are recorded, in the order of the layers."""
        updates, facts = self.evidence.updates, self.evidence.facts
        if updates is None or facts is None:
            return ()
        known = facts.model.weights
        return tuple(
            path for path, each in known.items() if path in updates.values and each.trainable and len(each.shape) > 1
        )

    @property
    def inertia(self) -> float:
        """How many times its own length a gradient moves the weights in the end: 1 / (1 - momentum) of plain SGD."""
        optimizer = None if self.evidence.facts is None else self.evidence.facts.model.optimizer
        momentum = 0.0 if optimizer is None or optimizer.kind != "SGD" else optimizer.settings.get("momentum")
        return 1 / (1 - momentum) if isinstance(momentum, float) and 0 < momentum < 1 else 1.0

    @cached_property
    def ratios(self) -> dict[str, Array]:
        """Of each kernel, the recorded updates' norms over the weight's, those that are finite, in order."""
        updates = self.evidence.updates
        found = {} if updates is None else {path: updates.of_path(path, "ratio") for path in self.kernels}
        finite = {path: values[np.isfinite(values)] for path, values in found.items()}
        return {path: values for path, values in finite.items() if len(values)}

    @cached_property
    def first_ratio(self) -> float:
        """The median over kernels of the first step's ratio, times the inertia; NaN without."""
        return (
            self.inertia * float(np.median([values[0] for values in self.ratios.values()])) if self.ratios else np.nan
        )

    @cached_property
    def usual_ratio(self) -> float:
        """The median over kernels of the median ratio; NaN without."""
        return float(np.median([np.median(values) for values in self.ratios.values()])) if self.ratios else np.nan

    @cached_property
    def travel(self) -> float:
        """How far all steps together could have moved the kernel that moved most, in its own norms; NaN without.

        A bound: as far as if all had gone in one direction.
        """
        curve = self.evidence.curve
        if curve is None or not self.ratios:
            return np.nan
        return len(curve) * max(float(values.mean()) for values in self.ratios.values())

    @cached_property
    def descent(self) -> float:
        """By how many times its own size the first update would lower the loss, were it a plane; NaN without.

        The sum over weights of the norms of gradient and update, over the loss: for plain SGD the rate over Polyak's
        (1987): beyond 2 a step makes a convex loss worse.
        """
        gradients, updates = self.evidence.gradients, self.evidence.updates
        size = self.loss_size
        if gradients is None or updates is None or not size > 0:
            return np.nan
        pulls, moves = gradients.first("norm"), updates.first("norm")
        return self.inertia * sum(pulls[path] * moves[path] for path in moves if path in pulls) / size

    @cached_property
    def pulls(self) -> dict[str, float]:
        """Of each kernel at the first step, the norm of gradient times that of weight over the loss."""
        gradients, updates = self.evidence.gradients, self.evidence.updates
        size = self.loss_size
        if gradients is None or updates is None or not size > 0:
            return {}
        norms, moves, ratios = gradients.first("norm"), updates.first("norm"), updates.first("ratio")
        found = {
            path: norms[path] * moves[path] / ratios[path] / size
            for path in self.kernels
            if path in norms and ratios.get(path, 0) > 0
        }
        return {path: value for path, value in found.items() if not np.isnan(value)}

    @cached_property
    def loss_size(self) -> float:
        """What the first step's loss is worth: its mean or its spread over samples, whichever is more; NaN without."""
        total = 0.0
        for output in self.evidence.outputs or ():
            rows = output.first
            if rows.loss is None or not len(rows.steps):
                return np.nan
            losses = np.asarray(rows.loss, np.float64)[rows.steps == rows.steps[0]]
            weight = 1.0 if output.loss is None or output.loss.weight is None else abs(output.loss.weight)
            total += weight * max(abs(float(losses.mean())), float(losses.std()))
        return total
