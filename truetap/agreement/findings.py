"""What a comparison found, in words: reasons, variables that stand still, state that isn't kept, what stays open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from truetap.agreement.closeness import Tolerance, norm, ratio
from truetap.agreement.explain import Explained, Explanation
from truetap.agreement.outcome import Outcome, Values
from truetap.agreement.result import Difference, VariableDifference
from truetap.agreement.simulation import Gradients, Simulation
from truetap.agreement.updates import Updates

__all__ = ["BothSteps", "differences", "notes", "of_reasons", "of_state", "of_variables"]

_NAMED = 5  # variables in a sentence
_NONE = "None of the known reasons, alone or three together, explains it."
_NONE_TRIED = "None of the known reasons explains it; of many together not all were tried, which would take too long."
_NOT_TRIED = "The model computes its step or its loss in a way of its own, so the known reasons could not be tried."


@dataclass(frozen=True)
class BothSteps:
    """Both steps, and what is known of them.

    Attributes:
        model: The model.
        simulation: Steps of `fit` with mistakes.
        updates: What both did to the weights.
        before: The model before a step.
        fit: The step of `fit`.
        loop: The loop's.
        gradients: Those of `fit`.
        tolerance: When numbers are the same.
        rows: Samples in the batch.
        same_loss: Whether the loop reports the loss of `fit`, or none.
        same_update: Whether it leaves the same weights.
    """

    model: Any
    simulation: Simulation
    updates: Updates
    before: Values
    fit: Outcome
    loop: Outcome
    gradients: Gradients
    tolerance: Tolerance
    rows: int
    same_loss: bool
    same_update: bool


def of_reasons(it: BothSteps, explained: Explained | None) -> list[Difference]:
    """The mistakes that give the loop's numbers, and what none gives."""
    if explained is None:
        return [_open(it, _NOT_TRIED, loss=not it.same_loss, update=not it.same_update)]
    if explained.together is not None:
        return _of(it, explained.together, "")
    found: list[Difference] = []
    if not it.same_loss and explained.of_loss is not None:
        found += _of(it, explained.of_loss, "Only in the loss that it reports: ")
    stuck = it.updates.none_at_all
    if not it.same_update and not stuck and explained.of_update is not None:
        found += _of(it, explained.of_update, "Only in its update, not in the loss that it reports: ")
    loss = not it.same_loss and explained.of_loss is None
    update = not it.same_update and not stuck and explained.of_update is None
    why = _NONE if explained.complete else _NONE_TRIED
    return found + ([_open(it, why, loss=loss, update=update)] if loss or update else [])


def _of(it: BothSteps, explanation: Explanation, where: str) -> list[Difference]:
    numbers = {"fit": it.fit.loss or 0.0, "with_all": explanation.loss}
    if it.loop.loss is not None:
        numbers["loop"] = it.loop.loss
    found = []
    for reason in explanation.combination.reasons:
        alone = it.simulation.loss(reason.variant)
        said = f" This alone makes the loss {alone:.6g} in the place of {it.fit.loss:.6g}."
        found.append(Difference(reason.rule, where + reason.text + said, numbers | {"alone": alone}))
    factor = explanation.factor
    if factor is not None:
        data = "" if factor.of_all or not it.simulation.extras else " on the data"
        named = f", {factor.name}" if factor.name else ""
        text = (
            f"The loop's loss{data} is {factor.value:.6g} times that of fit{named}. Fit takes the mean over the batch, "
            "or what the reduction of the compiled loss says; compute the loss by model.compute_loss, or divide by "
            "the same number."
        )
        found.append(Difference("scale", where + text, numbers | {"factor": factor.value}))
    for each in explanation.otherwise:
        extra = {} if each.factor is None else {"factor": each.factor}
        found.append(Difference(each.rule, each.text, numbers | extra))
    return found


def _open(it: BothSteps, why: str, *, loss: bool, update: bool) -> Difference:
    parts, numbers = [], {}
    if loss and it.loop.loss is not None and it.fit.loss is not None:
        numbers = {"fit": it.fit.loss, "loop": it.loop.loss}
        times = f", {it.loop.loss / it.fit.loss:.6g} times it" if it.fit.loss else ""
        parts.append(f"the loss is {it.loop.loss:.6g} where fit has {it.fit.loss:.6g}{times}")
    if update:
        ours, theirs = it.updates.of_fit, it.updates.changes
        across = norm(np.concatenate([(a - b).ravel() for a, b in zip(ours, theirs, strict=True)]))
        size = norm(np.concatenate([a.ravel() for a in ours]))
        numbers |= {"update": across, "update_of_fit": size}
        parts.append(f"the weights change otherwise, by {across:.3g} where fit's whole change is {size:.3g}")
    if it.simulation.mode_matters:
        why += " If the model draws random numbers (dropout), a loop that draws others has another loss."
    return Difference("unexplained", f"{' and '.join(parts)[:1].upper()}{' and '.join(parts)[1:]}. {why}", numbers)


def of_variables(it: BothSteps, explained: Explained | None) -> list[Difference]:
    """Variables that only one of both changes, and updates made several times."""
    why = None if explained is None else explained.together or explained.of_update
    gradients = it.gradients if why is None else it.simulation.gradients(why.combination.variant)
    found = []
    trainable = it.model.trainable_variables
    if it.updates.none_at_all:
        text = "The loop changes no weight. Apply the gradients, and on JAX return the new state."
        found.append(Difference("no_update", text, {"variables": len(trainable)}))
    elif it.updates.untouched:
        still = [trainable[at].path for at in it.updates.untouched if gradients[at].any()]
        text = (
            f"The loop doesn't train {_named(still)}, which fit does. Differentiate by and apply to "
            "model.trainable_variables."
        )
        found += [Difference("not_trained", text, {"variables": len(still)})] if still else []
    frozen = [
        variable.path
        for variable, start, fit, loop in _others(it)
        if not _is_integer(variable) and np.array_equal(fit, start) and not np.array_equal(loop, start)
    ]
    if frozen:
        text = f"The loop changes {_named(frozen)}, which fit leaves alone. Update model.trainable_variables only."
        found.append(Difference("frozen", text, {"variables": len(frozen)}))
    times = it.loop.after.iterations - it.before.iterations
    expected = it.fit.after.iterations - it.before.iterations
    if times > expected:
        text = f"The loop's step updates {times} times by model.optimizer, fit {expected} time. Apply gradients once."
        found.append(Difference("iterations", text, {"loop": times, "fit": expected}))
    return found


def of_state(it: BothSteps, *, inference: bool) -> list[Difference]:
    """Moving statistics and seeds; `inference` says that the loop was already found to run in inference mode."""
    moved = [each for each in _others(it) if not np.array_equal(each[2], each[1])]
    still = [each[0].path for each in moved if np.array_equal(each[3], each[1])]
    if still and not inference:
        text = (
            f"The loop doesn't change {_named(still)}, which a forward pass in training mode does: moving statistics "
            "stay as they were, dropout draws the same numbers again. Call model(x, training=True); on JAX return "
            "the non_trainable_variables that stateless_call gave."
        )
        return [Difference("state_not_kept", text, {"variables": len(still)})]
    floats = [each for each in moved if not _is_integer(each[0]) and each[0].path not in still]
    wrong = [
        each for each in floats if not it.tolerance.same(each[3] - each[1], each[2] - each[1], 1e-6 * norm(each[1]))
    ]
    if not wrong:
        return []
    factor = ratio([loop - start for _, start, _, loop in wrong], [fit - start for _, start, fit, _ in wrong]) or 0.0
    text = (
        f"The loop changes {_named([each[0].path for each in wrong])} {factor:.4g} times as far as fit. Between 1 and "
        "2 it is a second forward pass in training mode: call the model once per step."
    )
    return [Difference("state", text, {"factor": factor, "variables": len(wrong)})]


def differences(it: BothSteps) -> tuple[VariableDifference, ...]:
    """Every variable of the model, side by side."""
    noise = it.updates.noise(it.gradients)
    found = []
    rows = [
        (variable, True, at in noise, it.updates.rounding(at), *values)
        for at, (variable, *values) in enumerate(_trainable(it))
    ]
    rows += [(variable, False, False, 1e-6 * norm(values[0]), *values) for variable, *values in _others(it)]
    for variable, trainable, is_noise, floor, start, fit, loop in rows:
        larger = max(norm(fit - start), norm(loop - start))
        apart = norm(loop - fit)
        found.append(
            VariableDifference(
                path=variable.path,
                trainable=trainable,
                fit=norm(fit - start),
                loop=norm(loop - start),
                max_abs=float(np.max(np.abs(loop - fit), initial=0.0)),
                relative=apart / larger if larger else 0.0,
                agrees=is_noise or it.tolerance.same(loop - start, fit - start, floor),
            )
        )
    return tuple(found)


def notes(it: BothSteps) -> tuple[str, ...]:
    """What this batch or this loop doesn't let one see."""
    found = []
    if it.loop.loss is None:
        found.append("The loop returned no loss: only what it changes was compared.")
    if not it.updates.uses_optimizer and not it.updates.none_at_all:
        found.append(
            "The loop doesn't update by model.optimizer: what an optimizer of its own holds is not compared, and was "
            "not put back."
        )
    if it.rows == 1:
        found.append("The batch has one sample: means, sums and broadcasting give the same. Use several.")
    return tuple(found)


def _trainable(it: BothSteps) -> list[tuple[Any, ...]]:
    values = (it.before.trainable, it.fit.after.trainable, it.loop.after.trainable)
    return list(zip(it.model.trainable_variables, *values, strict=True))


def _others(it: BothSteps) -> list[tuple[Any, ...]]:
    values = (it.before.other, it.fit.after.other, it.loop.after.other)
    return list(zip(it.model.non_trainable_variables, *values, strict=True))


def _is_integer(variable: Any) -> bool:
    return "int" in str(variable.dtype)


def _named(paths: Sequence[str]) -> str:
    shown = ", ".join(map(repr, paths[:_NAMED]))
    return shown + (f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else "")
