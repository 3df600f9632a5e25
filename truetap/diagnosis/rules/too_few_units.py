"""A bottleneck that is too narrow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.learnt import neighbours_skill, skill
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.wiring import Wiring, kernel_of
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["TooFewUnits"]

_NARROW = 4
_MARGIN = 0.15  # below what neighbours tell: five standard errors of a share of 200
_UNKNOWN = 0.5
_LEARNT = 0.9
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")


class TooFewUnits:
    """A hidden layer of at most four units, all that the next one gets, and labels left unexplained.

    A single unit before three outputs or more is said unless the model learns all the same (skill 0.9). For others,
    and where a model's own `call` hides what else leads around the layer, what the model explains must stay clearly
    below what the labels of the nearest recorded inputs tell (a leave-one-out vote of five), or below half where
    inputs have no distance. Codes of autoencoders may be narrow, down to two.
    """

    name = "too_few_units"
    needs = ("facts", "outputs")
    after = (
        "untracked_weights",
        "zero_initialisation",
        "unscaled_inputs",
        "nan_in_data",
        "learning_rate_too_high",
        "learning_rate_too_low",
        "negative_learning_rate",
        "schedule_dies",
        "clipping_too_tight",
        "penalty_too_strong",
        "misaligned_labels",
        "frozen_by_mistake",
        "broken_graph",
        "loss_unsuited_to_task",
        "loss_activation_mismatch",
        "output_range",
        "logits_as_probabilities",
        "probabilities_as_logits",
        "no_gradient_through_loss",
        "implicit_broadcast",
        "swapped_arguments",
        "zero_sample_weights",
        "early_stopping_wrong_way",
        "too_few_epochs",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the narrowest layer."""
        assert evidence.facts is not None
        wiring = Wiring(evidence.facts)
        narrow = [layer for layer in _necks(wiring) if (layer.units or 0) <= _NARROW]
        if not narrow or not evidence.labelled or evidence.facts.model.own_train_step:
            return
        neck = min(narrow, key=lambda layer: layer.units or 0)
        for output in evidence.labelled:
            said = _starved(evidence, output, neck, wiring)
            if said is None:
                continue
            units = "1 unit" if neck.units == 1 else f"{neck.units} units"
            yield Finding(
                rule=self.name,
                severity=Severity.WARNING,
                seen=f"{neck.path!r} has {units}, and all that reaches {output.words} goes through it: {said[0]}.",
                why="What isn't told apart there can't be told apart behind it.",
                do=f"Give {neck.path!r} more units; as a start at least as many as there are classes or targets.",
                where=neck.path,
                numbers={"units": neck.units or 1, "outputs": output.first.pred.units},
                output=output.name,
                layers=(neck.path,),
                certainty=said[1],
            )
            return


def _necks(wiring: Wiring) -> list[LayerFacts]:
    """Hidden layers whose units are all that the next layer with a kernel gets."""
    order = [layer for layer in wiring.layers.values() if kernel_of(layer) is not None or layer.kind in _RECURRENT]
    found = []
    for layer, following in pairwise(order):
        kernel = kernel_of(following)
        hidden = layer.path not in wiring.ends and (layer in wiring.hidden or layer.kind in _RECURRENT)
        fits = hidden and kernel is not None and layer.units is not None and kernel[-2] == layer.units
        if fits and (wiring.cuts(layer.path) or not wiring.known):
            found.append(layer)
    return found


def _starved(evidence: Evidence, output: OutputEvidence, neck: LayerFacts, wiring: Wiring) -> tuple[str, float] | None:
    """What shows that the neck is too narrow for an output, and how sure that is."""
    units = neck.units or 1
    outputs = int(np.prod(output.first.pred.shape[1:])) if wiring.rebuilds else output.first.pred.units
    if wiring.rebuilds and units > 1:
        return None  # a code is narrow on purpose
    goal = f"{outputs} values are to come of that"
    one_for_many = units == 1 and outputs >= 3 and wiring.known
    values = [skill(output, rows) for rows in (output.last, output.val_last) if rows is not None]
    known = [value for value in values if value is not None]
    if evidence.curve is None or not known:
        return (goal, 0.7) if one_for_many and evidence.curve is None else None
    got = max(known)
    if one_for_many and got < _LEARNT:
        return f"{goal}, and {max(got, 0):.0%} of the labels are explained", 0.85
    told = neighbours_skill(evidence, output)
    if told is None:
        unlearnt = got < _UNKNOWN and units < outputs
        return (f"{goal}, and {max(got, 0):.0%} of the labels are explained", 0.5) if unlearnt else None
    if got < told - _MARGIN:
        return f"{max(got, 0):.0%} of the labels are explained, where the nearest inputs alone tell {told:.0%}", 0.6
    return None
