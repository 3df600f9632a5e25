"""`compare_with_fit`: runs a step of `fit` and a step of a loop on one batch, and says in words what differs.

It costs a few steps run op by op where the two agree, and some dozens where they don't. The model is
afterwards as it was before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from truetap.agreement.batch import read_batch, rows_of
from truetap.agreement.closeness import tolerance_of
from truetap.agreement.explain import Explained, Search
from truetap.agreement.findings import BothSteps, differences, notes, of_reasons, of_state, of_variables
from truetap.agreement.outcome import Values, run_fit, run_keras, run_loop
from truetap.agreement.result import Agreement
from truetap.agreement.simulation import Simulation
from truetap.agreement.state import State, every_metric
from truetap.agreement.updates import Updates
from truetap.agreement.variant import Variant
from truetap.backends.comparing import Comparing, comparing, is_train_step
from truetap.backends.keras_private import build_from
from truetap.errors import ModelError

__all__ = ["compare_with_fit"]

_INSTEAD = "The loop is the model's own train_step: fit means here a step of keras.Model, which it takes the place of."


def compare_with_fit(model: Any, loop_step: Callable[..., Any], batch: Any) -> Agreement:
    """Compares one step of a hand-written loop with one step of `fit`, on the same batch from the same state.

    Both run in training mode with the same random numbers. Compared are the loss, what happens to every weight,
    to other state (moving statistics, seeds) and to the optimizer. Where they differ, known mistakes are made on
    purpose in the step of `fit` (labels broadcast, `model.losses` left out, weights or mask not applied, inference
    mode, sum for mean, ...), alone and up to three together, until one of these steps gives the loop's numbers.

    The same to tolerance, in float32: a loss to 1e-5 of itself, and the change of a variable to 1e-3 of its norm;
    5e-3 and 5e-2 for models that compute in float16, 3e-2 and 2e-1 in bfloat16.

    Everything is put back: weights, optimizer, metrics, seeds, the generators of Python, NumPy and torch; also when
    a step raises. A model or optimizer that wasn't built is built by this and stays so. What the loop holds itself,
    such as another optimizer, can't be put back; a loop that updates by `model.optimizer` is compared best.

    A loop that is the `train_step` of the model's own class, as it is or compiled, is compared with that of
    `keras.Model`; any other loop with the `train_step` that the model has. Metrics of the model are reset first, so
    that a loss which is read from one is that of this batch.

    Args:
        model: A compiled Keras model.
        loop_step: One step of the loop. On TensorFlow and torch it is called as `loop_step(*batch)` if it takes as
            many arguments, else as `loop_step(batch)`; it updates the model and returns its loss, a scalar, or a
            dict with "loss", or None. On JAX it is called as `loop_step(state, batch)` and returns
            `(loss, state)`, where state is `(trainable_variables, non_trainable_variables, optimizer_variables)`,
            with `metrics_variables` as a fourth if the loop unpacks four: lists in the model's order, as in
            Keras' guide to custom loops. It may be compiled (`tf.function`, `jax.jit`).
        batch: `(x, y)` or `(x, y, sample_weight)`: arrays or tensors of shape (n, ...), or structures of
            them, as `fit` takes them.

    Returns:
        The `Agreement`: true if they do the same; `print` it to read what differs.

    Raises:
        ModelError: The model isn't a compiled Keras model.
        DataError: The batch can't be read.
        LossError: The step of `fit` doesn't run or has no finite loss, or the loop's step can't be called or returns
            something else.

    Example:
        A model's `train_step` is a loop too; on every backend it has the form that is asked for.

        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile(optimizer="sgd", loss="mse")
        >>> batch = keras.ops.ones((4, 2)), keras.ops.zeros((4, 1))
        >>> compare_with_fit(model, model.train_step, batch).agrees
        True
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"Expected: a Keras model. Received: {type(model).__name__}.")
    if not model.compiled or model.optimizer is None:
        raise ModelError(
            "The model isn't compiled with an optimizer, so there is no step of fit to compare with. Expected: "
            "model.compile(optimizer=..., loss=...) first."
        )
    if not callable(loop_step):
        raise ModelError(f"Expected: loop_step, a function that makes one step. Received: {type(loop_step).__name__}.")
    steps, parts = comparing(), read_batch(batch)
    build_from(model, parts)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    before = State(model, steps)
    try:
        for metric in every_metric(model):
            metric.reset_state()
        found, by_chance = _compared(model, loop_step, parts, steps)
        if by_chance and steps.other is not None:
            again, by_chance = _compared(model, loop_step, parts, steps.other)
            return found if by_chance else again
        return found
    finally:
        before.restore()


def _compared(
    model: Any, loop_step: Callable[..., Any], batch: tuple[Any, ...], steps: Comparing
) -> tuple[Agreement, bool]:
    """The agreement, and whether it may only be random numbers that it doesn't explain."""
    tolerance, start = tolerance_of(model), Values.of(model)
    before = State(model, steps)
    instead = _is_own_step(model, loop_step)
    fit = (run_keras if instead else run_fit)(model, batch, before, steps)
    loop = run_loop(model, loop_step, batch, before, steps)
    assert fit.loss is not None

    simulation = Simulation(model, batch, before, steps)
    updates = Updates(model, simulation, start, fit, loop, tolerance)
    gradients = simulation.gradients(Variant())
    it = BothSteps(
        model=model,
        simulation=simulation,
        updates=updates,
        before=start,
        fit=fit,
        loop=loop,
        gradients=gradients,
        tolerance=tolerance,
        rows=rows_of(batch),
        same_loss=loop.loss is None or tolerance.same_loss(fit.loss, loop.loss),
        same_update=updates.same_as_fit(gradients),
    )
    if it.same_loss and it.same_update:
        found = of_variables(it, None) + of_state(it, inference=False)
    else:
        explained = _explained(it)
        found = of_reasons(it, explained) + of_variables(it, explained)
        found += of_state(it, inference=any(finding.rule == "training" for finding in found))
    by_chance = any(finding.rule == "unexplained" for finding in found) and simulation.mode_matters
    said = (_INSTEAD, *notes(it)) if instead else notes(it)
    return Agreement(not found, tuple(found), fit.loss, loop.loss, differences(it), said), by_chance


def _is_own_step(model: Any, loop_step: Callable[..., Any]) -> bool:
    """Whether a loop is a `train_step` that the model has in the place of Keras'."""
    own = getattr(model.train_step, "__func__", model.train_step)
    return is_train_step(model, loop_step) and own is not keras.Model.train_step


def _explained(it: BothSteps) -> Explained | None:
    """What explains the loop; None if the model's step or loss isn't one that mistakes can be made in."""
    assert it.fit.loss is not None
    same = it.tolerance.same_loss(it.fit.loss, it.simulation.loss(Variant()))
    if not same or not it.updates.fit_is_plain(it.gradients):
        return None
    search = Search(it.simulation, it.updates, it.loop.loss, it.rows, it.tolerance)
    return search.run(same_update=it.same_update)
