"""JAX: extras leave the jitted step beside the logs.

What is seen inside the differentiated function leaves it as its output: `stateless_call` and
`stateless_compute_loss` give the non-trainable values with a dict behind the last, which fills while
the function is traced, comes out with the new state, and is taken off there. So it works for every
`train_step` that hands the non-trainable values on as Keras asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import jax
import keras
import numpy as np

from truetap.backends.jax_in_step import spread
from truetap.backends.jax_processes import check_processes, laid_out, own_parts
from truetap.backends.keras_private import keras_mask, put_mask, unsharded
from truetap.backends.training import MAKERS, Feed, Recorded, StepLike
from truetap.capture.watch import Watch, inputs_of
from truetap.observe import replaced
from truetap.store import Worker

__all__ = ["JaxTraining", "through", "watched_apply"]


class JaxTraining:
    """See `truetap.backends.training.Training`."""

    exhausted: tuple[type[BaseException], ...] = (StopIteration,)

    def record(self, model: Any, phase: str, step: StepLike, feed: Feed) -> Recorded:
        check_processes(phase)
        kind = MAKERS[phase]
        name = f"{kind}_function"
        inner = getattr(model, f"{kind}_step")
        known: dict[tuple[bool, ...], Any] = {}  # flags on the device
        of_this_process = own_parts if spread() else dict

        def recorded(state: Any, packed: Any) -> Any:
            data, flags = packed
            return _traced(model, phase, step, inner, state, data, flags)

        late = {"predict_step": recorded} if kind == "predict" else {}  # Keras looks it up whenever it traces

        def one_step(step_function: Callable[..., Any]) -> Callable[..., Any]:
            def one(state: Any, data: Any) -> Any:
                due = tuple(feed.begin())
                if due not in known:
                    known[due] = jax.numpy.asarray(due, bool)
                feed.before(_reader(model, state))
                with replaced(model, **late):
                    out, state = step_function(state, (data, known[due]))
                feed.end(of_this_process(out["extras"]), _reader(model, state))
                return out["result"], state

            return one

        make = model._make_function
        before = getattr(model, name)
        stand_ins = {
            f"{kind}_step": recorded,
            "_make_function": lambda function, **options: make(one_step(function), **options),
        }
        with replaced(model, **stand_ins):
            try:
                getattr(model, f"make_{name}")(force=True)
                return getattr(model, name)  # type: ignore[no-any-return]
            finally:
                setattr(model, name, before)

    def once_built(self, model: Any, phase: str, make: Callable[[], Recorded]) -> Recorded:
        return make()

    def worker(self) -> Worker:
        if not jax.distributed.is_initialized():  # asking how many there are would start JAX, for one process
            return Worker()
        return Worker(jax.process_index(), jax.process_count())

    def snapshot(self, variable: Any) -> Any:
        return np.array(variable.value)


def _traced(
    model: Any, phase: str, step: StepLike, inner: Callable[..., Any], state: Any, data: Any, flags: Any
) -> tuple[dict[str, Any], Any]:
    reached: dict[str, Any] = {}
    watch = Watch(model, step.plan, step.learned, lambda key, value: through(reached, key, value))
    with ExitStack() as stack:
        stack.enter_context(watch.installed())
        beside = {"seen": watch.seen, "layers": watch.layers}
        stack.enter_context(replaced(model, **_routes(model, beside)))
        optimizer = getattr(model, "optimizer", None)
        if phase == "train" and optimizer is not None:

            def given(gradients: Any, variables: Any) -> None:
                step.gradients_given(watch, gradients, variables)

            stack.enter_context(replaced(optimizer, stateless_apply=watched_apply(model, optimizer, given)))
        result, state = inner(state, data)
    values = state if phase == "predict" else state[1]
    came = values.pop() if values and isinstance(values[-1], dict) else None
    if came is None:
        step.learned.say(
            "The step doesn't return the non-trainable values that stateless_call gave it, so what was seen in its "
            "forward pass can't leave it. Expected: a step that hands them on, as in Keras' guide."
        )
        watch.seen, watch.layers = {}, {}
    else:
        watch.seen = came["seen"] or watch.seen
        watch.layers = came["layers"]
    extras = step.run_stateless(watch, data, [flags[i] for i in range(flags.shape[0])], result, reached)
    if spread():
        extras = laid_out(extras, inputs_of(data), step.plan)
    return {"result": result, "extras": extras}, state


def _routes(model: Any, beside: dict[str, Any]) -> dict[str, Any]:
    """Stand-ins that carry `beside` with the non-trainable values."""
    call, compute_loss = model.stateless_call, model.stateless_compute_loss

    def stateless_call(trainable: Any, others: Any, *args: Any, **kwargs: Any) -> Any:
        outputs, others, *losses = call(trainable, _without(others), *args, **kwargs)
        return (outputs, [*others, beside], *losses)

    def stateless_compute_loss(trainable: Any, others: Any, *args: Any, **kwargs: Any) -> Any:
        loss, (trainable, others, metrics) = compute_loss(trainable, _without(others), *args, **kwargs)
        return loss, (trainable, [*others, beside], metrics)

    routes = {"stateless_call": stateless_call, "stateless_compute_loss": stateless_compute_loss}
    return routes | unsharded(model, _without)


def _without(values: Any) -> Any:
    return values[:-1] if len(values) and isinstance(values[-1], dict) else values


def watched_apply(
    model: Any, optimizer: Any, given: Callable[[Sequence[Any], Sequence[Any]], None]
) -> Callable[..., Any]:
    """The optimizer's own `stateless_apply`, which tells `given` what it gets first."""
    apply = optimizer.stateless_apply

    def stateless_apply(optimizer_variables: Any, gradients: Any, trainable_variables: Any) -> Any:
        mapping = list(zip(optimizer.variables, optimizer_variables, strict=False))
        with keras.StatelessScope(state_mapping=mapping):
            given(list(gradients), model.trainable_variables)
        return apply(optimizer_variables, gradients, trainable_variables)

    return stateless_apply


def _reader(model: Any, state: Any) -> Callable[[Any], Any]:
    """Copies of values out of a step's state, whose arrays the next step takes over."""

    def read(variable: Any) -> Any:
        groups = [model.trainable_variables, model.non_trainable_variables]
        if len(state) == 4:
            groups.append(model.optimizer.variables)
        for variables, values in zip(groups, state, strict=False):
            for known, value in zip(variables, values, strict=False):
                if known is variable:
                    return np.array(value)
        raise KeyError(variable.path)

    return read


def through(reached: dict[str, Any], key: str, value: Any) -> Any:
    """The same value; what goes back through it is kept, by a function that runs while the step is traced."""

    def same(array: Any) -> Any:
        return array

    def forward(array: Any) -> Any:
        return array, None

    def backward(_: Any, upstream: Any) -> Any:
        reached.setdefault(key, upstream)
        return (upstream,)

    identity = jax.custom_vjp(same)
    identity.defvjp(forward, backward)
    if not jax.numpy.issubdtype(value.dtype, jax.numpy.floating):
        return value
    mask = keras_mask(value)
    going_on = identity(value)
    if mask is not None:
        put_mask(going_on, mask)
    return going_on


TRAINING = JaxTraining()
