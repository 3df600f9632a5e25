"""The weight penalty outweighs the loss."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.learnt import best_skill, neighbours_skill
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["PenaltyTooStrong"]

_AT_ONCE = 20.0  # times the loss, in the first step
_SHRUNK = 0.5
_LEARNT = 0.8
_MARGIN = 0.1
_UNLEARNT = 0.6
_STEPS_TO_NOTHING = 200  # in which decoupled weight decay takes a weight to 1/e


class PenaltyTooStrong:
    """Penalised kernels, or values, that shrink to less than half of their first size, and labels left unexplained.

    Kernels grow while something is learnt; sound penalties slow that. Unexplained is clearly less than the labels of
    the nearest recorded inputs tell, or less than 0.6 where inputs have no distance. Of a single step: a penalty of
    20 times the loss (the default of "l2", 0.01, gives 5 on a large dense network). Weight decay of the optimizer
    counts where it takes a weight to 1/e within 200 steps.
    """

    name = "penalty_too_strong"
    needs = ("facts",)
    after = ("nan_in_data", "negative_learning_rate", "zero_initialisation")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the model."""
        assert evidence.facts is not None
        penalised = [layer for layer in evidence.facts.model.layers if layer.penalty > 0]
        decay = _decay(evidence)
        if not penalised and not decay:
            return
        share = _share(evidence) if penalised else None
        got = best_skill(evidence) if evidence.curve is not None else None
        if evidence.curve is None or got is None:
            wrong = share is not None and share >= _AT_ONCE
            which, shrunk = "", None
        else:
            kernels = _shrinking(evidence, penalised or list(evidence.facts.model.layers))
            sizes = {"The kernels": kernels, "Its values": _quieter(evidence, penalised)}
            known = {name: size for name, size in sizes.items() if size is not None}
            which, shrunk = min(known.items(), key=lambda item: item[1], default=("", None))
            wrong = shrunk is not None and shrunk <= _SHRUNK and got < _LEARNT and _unlearnt(evidence, got)
        if not wrong:
            return
        strongest = max(penalised, key=lambda layer: layer.penalty) if penalised else None
        if strongest is not None:
            what = f"{strongest.path!r} has a penalty of {strongest.penalty:g}"
            what += f" ({len(penalised)} layers have one)" if len(penalised) > 1 else ""
        else:
            what = f"The optimizer's weight decay takes {decay:.1%} of each weight in a step"
        times = "" if share is None else f"; in the first step the penalties are {share:.2g} times the loss"
        left = "" if shrunk is None else f". {which} end at {shrunk:.1%} of the size they began with"
        learnt = "" if got is None else f", and the model explains {max(got, 0):.0%} of its labels"
        yield Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=f"{what}{times}{left}{learnt}.",
            why="What lowers the penalty most is weights of 0, and the labels hardly count.",
            do="Begin with 1e-4 (L2) or 1e-5 (L1), and raise it while validation gets better.",
            where=None if strongest is None else strongest.path,
            reference="https://keras.io/api/layers/regularizers/",
            numbers={
                **({} if strongest is None else {"penalty": strongest.penalty}),
                **({} if share is None else {"times": share}),
                **({} if shrunk is None else {"shrunk": shrunk}),
            },
            layers=tuple(layer.path for layer in penalised),
            certainty=0.85 if shrunk is not None else 0.7,
        )


def _decay(evidence: Evidence) -> float:
    """The share of each weight that decoupled decay takes in a step, where that is much; else 0."""
    assert evidence.facts is not None
    optimizer = evidence.facts.model.optimizer
    given = None if optimizer is None else optimizer.settings.get("weight_decay")
    if not isinstance(given, int | float) or isinstance(given, bool) or evidence.curve is None:
        return 0.0
    rates = evidence.curve.learning_rate[np.isfinite(evidence.curve.learning_rate)]
    taken = float(np.median(rates)) * given if len(rates) else 0.0
    return taken if taken >= 1 / _STEPS_TO_NOTHING else 0.0


def _share(evidence: Evidence) -> float | None:
    """The penalties of the first step, in units of its loss; None where these can't be told apart."""
    outputs = evidence.labelled
    if evidence.facts is None or evidence.run is None or outputs is None or len(outputs) != 1:
        return None
    rows, loss = outputs[0].first, outputs[0].loss
    if rows.loss is None or rows.weight is not None or rows.mask is not None or loss is None or loss.weight is not None:
        return None
    if loss.reduction != "sum_over_batch_size":
        return None
    table = evidence.run.scalars("train")
    steps, totals = table.column("step").to_numpy(), table.column("loss").to_pylist()
    first = int(np.argmin(steps))
    own = float(np.mean(rows.loss[rows.steps == steps[first]]))
    total = totals[first]
    return (total - own) / own if total is not None and np.isfinite(total) and own > 0 else None


def _shrinking(evidence: Evidence, layers: list[LayerFacts]) -> float | None:
    """The size of the kernels at the end, in units of that before the first step: the median over layers."""
    if evidence.weights is None or evidence.updates is None:
        return None
    found = []
    for layer in layers:
        for weight in layer.weights:
            norm, ratio = evidence.updates.of_path(weight.path, "norm"), evidence.updates.of_path(weight.path, "ratio")
            last = evidence.weights.of_path(weight.path, "norm")
            if len(weight.shape) > 1 and len(norm) and len(last) and norm[0] > 0 and 0 < ratio[0] < np.inf:
                found.append(float(last[-1] * ratio[0] / norm[0]))
    return float(np.median(found)) if found else None


def _quieter(evidence: Evidence, layers: list[LayerFacts]) -> float | None:
    """The size of what comes out of penalised layers at the end, in units of that of the first step: the least."""
    if evidence.activations is None:
        return None
    sizes = [evidence.activations.size(layer.path) for layer in layers]
    return min((float(size[-1] / size[0]) for size in sizes if len(size) and size[0] > 0), default=None)


def _unlearnt(evidence: Evidence, got: float) -> bool:
    told = [neighbours_skill(evidence, output) for output in evidence.labelled or ()]
    known = [each for each in told if each is not None]
    return got < max(known) - _MARGIN if known else got < _UNLEARNT
