"""The mistakes that are tried: which of them this model and batch allow, and what each is in words."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from truetap.agreement.simulation import Simulation
from truetap.agreement.variant import CallFacts, Variant

__all__ = ["Combination", "Reason", "combinations", "known_factors", "possible_reasons"]


@dataclass(frozen=True)
class Reason:
    """One mistake.

    Attributes:
        rule: Its name.
        changes: The fields of a `Variant` that it sets.
        text: What the loop does, and what to do.
    """

    rule: str
    changes: tuple[tuple[str, Any], ...]
    text: str

    @property
    def variant(self) -> Variant:
        """A step with this mistake alone."""
        return replace(Variant(), **dict(self.changes))


@dataclass(frozen=True)
class Combination:
    """Several mistakes at once, and the step that has them."""

    reasons: tuple[Reason, ...]
    variant: Variant


def possible_reasons(simulation: Simulation) -> list[Reason]:
    """The mistakes that could make a difference, the most frequent first."""
    calls = simulation.calls
    found = list(_of_ranks(calls))
    if simulation.extras:
        text = (
            "The loop leaves out model.losses (regularisation and add_loss). Add sum(model.losses) to its loss, or "
            "compute it by model.compute_loss."
        )
        found.append(Reason("regularisation", (("extra", False),), text))
    found += _of_weights(calls)
    found += _of_masks(calls)
    if simulation.takes_training:
        text = (
            "The loop runs the model in inference mode: dropout is off, batch normalisation uses its moving "
            "statistics. Call model(x, training=True)."
        )
        found.append(Reason("training", (("training", False),), text))
    return found + list(_of_outputs(calls)) + list(_of_arguments(calls))


def combinations(reasons: Sequence[Reason], size: int) -> Iterator[Combination]:
    """All sets of so many mistakes that can be made at once."""
    for chosen in itertools.combinations(reasons, size):
        changes = [change for reason in chosen for change in reason.changes]
        fields = [name for name, _ in changes]
        if len(set(fields)) == len(fields):
            yield Combination(chosen, replace(Variant(), **dict(changes)))


def known_factors(simulation: Simulation, rows: int) -> dict[float, str]:
    """Numbers that a loss is often multiplied with or divided by, and what they are."""
    known: dict[float, str] = {}

    def add(number: float, words: str) -> None:
        if number > 0 and abs(number - 1) > 1e-6:
            known.setdefault(float(number), words)

    for call in simulation.calls:
        add(call.values, f"the number of loss values of {call.name!r}")
    add(rows, "the number of samples in the batch")
    for call in simulation.calls:
        extent = call.y_pred[-1] if len(call.y_pred) > 1 else 1
        add(extent, "the length of an output's last axis")
        add(extent * call.values, "the number of elements of an output")
        add(call.values / rows, "the number of loss values of a sample")
    for each in simulation.weights_sums:
        add(each, "the sum of the weights")
    add(simulation.loss_scale, "the loss scale of mixed precision")
    add(len(simulation.calls), "the number of outputs")
    return known | {1 / number: f"1 / {words}" for number, words in known.items()}


def _of_ranks(calls: Sequence[CallFacts]) -> Iterator[Reason]:
    unequal = next((call for call in calls if call.unequal), None)
    if unequal is None:
        return
    true, pred = unequal.y_true, unequal.y_pred
    shape = f"({', '.join(map(str, (-1, *pred[1:])))}{',' * (len(pred) == 1)})"
    table = (
        f"The loop's loss broadcasts labels of shape {true} with outputs of shape {pred}: it compares every label with "
        "every output, and the model learns the mean of the labels. Give both one shape, such as "
        f"keras.ops.reshape(y, {shape})."
    )
    yield Reason("broadcast", (("ranks", "table"),), table)
    if unequal.weighted:
        yield Reason("broadcast", (("ranks", "table by label"),), table)
    yield Reason(
        "broadcast_in_fit",
        (("ranks", "aligned"),),
        f"It is fit that is wrong: its loss {unequal.name!r} broadcasts labels of shape {true} with outputs of shape "
        f"{pred} to a table, and the loop gives both one shape. Give fit labels of shape {pred}, or make the loss a "
        "function, whose ranks Keras aligns.",
    )


def _of_weights(calls: Sequence[CallFacts]) -> Iterator[Reason]:
    if not any(call.weighted for call in calls):
        return
    yield Reason(
        "sample_weight",
        (("weights", "left out"),),
        "The loop doesn't apply sample_weight. Pass it to the loss: loss_fn(y, y_pred, sample_weight=sample_weight).",
    )
    yield Reason(
        "weight_sum",
        (("weights", "by sum"),),
        "The loop divides by the sum of the weights, fit by the number of samples. Divide by the number of samples, or "
        "compile with a loss of reduction='mean_with_sample_weight'.",
    )


def _of_masks(calls: Sequence[CallFacts]) -> Iterator[Reason]:
    if not any(call.masked for call in calls):
        return
    yield Reason(
        "mask",
        (("mask", "left out"),),
        "The loop ignores the mask that the model hands to its loss: padding counts like data. Compute the loss by "
        "model.compute_loss, or multiply by the mask and divide by its sum.",
    )
    yield Reason(
        "mask_mean",
        (("mask", "over all"),),
        "The loop sets masked losses to 0 and divides by the number of all, so that the loss falls with the amount of "
        "padding. Divide by the number of valid elements.",
    )


def _of_outputs(calls: Sequence[CallFacts]) -> Iterator[Reason]:
    weights = [call.weight for call in calls]
    if any(weight not in (None, 1.0) for weight in weights):
        yield Reason(
            "loss_weights",
            (("loss_weights", False),),
            f"The loop doesn't apply the loss_weights of compile, {weights}. Multiply each output's loss by its own.",
        )
    if len(calls) > 1:
        for number, call in enumerate(calls):
            yield Reason(
                "output",
                (("without", number),),
                f"The loop leaves out the loss {call.name!r} of output {number}, of shape {call.y_pred}. Add it.",
            )


def _of_arguments(calls: Sequence[CallFacts]) -> Iterator[Reason]:
    changed = [(call.name, call.arguments) for call in calls if call.arguments]
    if changed:
        said = "; ".join(f"{name}({', '.join(f'{k}={v!r}' for k, v in given.items())})" for name, given in changed)
        yield Reason(
            "loss_arguments",
            (("arguments", "default"),),
            f"The loop uses the loss with its default arguments; compiled is {said}. Use the same.",
        )
    if calls and all(call.swappable for call in calls):
        yield Reason(
            "swapped",
            (("arguments", "swapped"),),
            "The loop gives y_pred in the place of y_true. Expected: loss_fn(y_true, y_pred).",
        )
