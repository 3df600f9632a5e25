"""Gradients are clipped to next to nothing in every step: the limit has become the length of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.course import Course
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.movement import ADAPTIVE, Movement
from truetap.rules.finding import Finding, Severity

__all__ = ["ClippingTooTight"]

Array = npt.NDArray[np.float64]

_SHORTENED = 10.0  # times, in the median step
_SHORT, _NEAR = 1e-3, 0.5  # the usual ratio of update to weight, and how far all steps together could go
_LEARNT = 0.7
_EPSILON = 1e-7  # of adaptive optimizers: gradients near it are no longer made longer


@dataclass(frozen=True, slots=True)
class _Limit:
    """A setting, how long gradients were, and how many times clipping made them shorter, by recorded step."""

    setting: str
    value: float
    norms: Array
    factors: Array
    element: float  # what is left of an element's size


class ClippingTooTight:
    """`clipnorm`, `global_clipnorm` or `clipvalue` makes gradients at least ten times shorter in the median step.

    Norms recorded are those before clipping (Pascanu et al. 2013, who clip what is above the usual norm). It is said
    only where the steps that are left lead nowhere: less than 1e-3 of a weight's norm each and 0.5 together, while
    less than 0.7 was learnt. Optimizers that divide by the gradient's size don't mind, until the limit comes near
    their epsilon.
    """

    name = "clipping_too_tight"
    needs = ("curve", "gradients", "updates", "facts")
    after = ("nan_in_data", "log_or_root_of_zero", "unscaled_inputs")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the limit that is in force."""
        course, movement = Course(evidence), Movement(evidence)
        limit = _limit(evidence)
        if limit is None:
            return
        factor = float(np.median(limit.factors))
        usual, travel = movement.usual_ratio, movement.travel
        if not factor >= _SHORTENED or not (usual < _SHORT and travel < _NEAR) or usual * factor < _SHORT / 10:
            return
        optimizer = None if evidence.facts is None else evidence.facts.model.optimizer
        if optimizer is None or (optimizer.kind in ADAPTIVE and limit.element > 10 * _EPSILON):
            return
        learnt = course.learnt()
        if learnt is not None and learnt >= _LEARNT:
            return
        norm = float(np.median(limit.norms))
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"{limit.setting}={limit.value:g}, and gradients have norms of {norm:.3g}: clipping makes them "
                f"{factor:.2g} times shorter in the median of {len(limit.factors)} recorded steps. An update is "
                f"{usual:.1g} of a weight's norm."
            ),
            why="The limit is meant for rare steps; here it is the length of all, and they lead nowhere.",
            do=f"Set {limit.setting} above the usual norm, such as {_above(limit):.1g}, or take it away.",
            where=f"optimizer {optimizer.kind}",
            reference="https://arxiv.org/abs/1211.5063",
            numbers={"limit": limit.value, "norm": norm, "factor": factor, "ratio": usual, "travel": travel},
            certainty=0.9,
        )


def _limit(evidence: Evidence) -> _Limit | None:
    """The limit that is set, against the norms of all gradients at the recorded steps."""
    optimizer = None if evidence.facts is None else evidence.facts.model.optimizer
    if optimizer is None or evidence.gradients is None or evidence.facts is None:
        return None
    norms = evidence.gradients.each("norm")
    steps = min((len(each) for each in norms.values()), default=0)
    if not steps:
        return None
    table = np.asarray([each[:steps] for each in norms.values()], np.float64)
    whole = np.sqrt((table**2).sum(axis=0))
    usable = np.isfinite(whole) & (whole > 0)
    table, whole = table[:, usable], whole[usable]
    if not len(whole):
        return None
    weights = evidence.facts.model.weights
    sizes = np.sqrt([float(weights[path].size) if path in weights else 1.0 for path in norms])
    for setting in ("clipvalue", "clipnorm", "global_clipnorm"):
        value = optimizer.settings.get(setting)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            continue
        if setting == "global_clipnorm":
            left = np.minimum(whole, value)
        else:  # of clipvalue at most this much is left
            limits = value * sizes if setting == "clipvalue" else np.full(len(sizes), float(value))
            left = np.sqrt((np.minimum(table, limits[:, np.newaxis]) ** 2).sum(axis=0))
        element = float(value) / (1.0 if setting == "clipvalue" else float(sizes.max()))
        return _Limit(setting, float(value), whole, whole / left, element)
    return None


def _above(limit: _Limit) -> float:
    """A limit above nine in ten recorded gradients, or elements of them."""
    high = float(np.quantile(limit.norms, 0.9))
    return high if limit.setting != "clipvalue" else max(1.0, high / 10)
