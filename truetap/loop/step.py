"""`LoopStep`: one step of a loop that the user wrote, or the trace of one.

Inside the block the model's own calls are seen as they are under `fit`: inputs and outputs of the model, layers,
`compute_loss`, what reaches the optimizer, `tt.tap`. What the loop computes by itself it says by `log`. The block may
stand around eager code, or inside the function that the user compiles; there it is traced once, and calls the host
whenever the function runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self

import keras
import numpy as np
from keras import ops

from truetap.backends.autograph import as_it_is
from truetap.backends.keras_private import in_symbolic_scope
from truetap.backends.loops import Variables, loops
from truetap.capture.extras import extras
from truetap.capture.feed import Feed, at_epoch_end
from truetap.capture.plan import Plan
from truetap.capture.step import RecordedStep
from truetap.capture.watch import Watch
from truetap.errors import LengthError, TapError
from truetap.loop.logged import Logged
from truetap.observe import replaced
from truetap.structure import leaves, map_leaves
from truetap.taps import Gradients

__all__ = ["Arrive", "LoopStep"]

EPOCH = "epoch"


class Arrive(Protocol):
    """Takes what left a step, on the host."""

    def __call__(
        self, replica: int, replicas: int, values: Mapping[str, Any], before: Variables, after: Variables
    ) -> None:
        """Values by name, and those of variables before and after the step by the variables' identity.

        Of a loop that holds no variables itself the latter two are empty: the model has them.
        """


class LoopStep:
    """One step; made by `recorder.step(…)`.

    Args:
        step: What is known of the steps of this phase.
        feed: Says what is due.
        optimizer: The Keras optimizer that the loop applies, or None.
        epoch: A tensor or number that goes with the step, or None.
        turn: Is told the epoch before a step that isn't compiled.
        due: Given the epoch, says which taps are due in the step that a compiled function begins.
        arrive: Takes what left the step.
    """

    def __init__(
        self,
        step: RecordedStep,
        feed: Feed,
        optimizer: Any,
        epoch: Any,
        turn: Callable[[int], None],
        due: Callable[[Any], list[bool]],
        arrive: Arrive,
    ) -> None:
        self._step = step
        self._feed = feed
        self._optimizer = optimizer
        self._epoch = epoch
        self._turn = turn
        self._due = due
        self._arrive = arrive
        self._logged = Logged()
        self._stack = ExitStack()
        self._before: Variables = {}
        self._after: Variables = {}
        self._reached: dict[str, Any] = {}
        self._inputs: Any = None
        self._outputs: Any = None
        self._plan: Plan = step.plan
        self._entered = False
        self._flags: Sequence[Any] = ()

    @as_it_is
    def log(
        self,
        *,
        ids: Any = None,
        x: Any = None,
        y_true: Any = None,
        y_pred: Any = None,
        loss: Any = None,
        sample_weight: Any = None,
        total_loss: Any = None,
        gradients: Any = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Says what of the step a recorder can't see by itself; may be called several times.

        Args:
            ids: A name for each sample, shape (n,), whole numbers or (outside of a compiled function) strings; else
                the samples are known by the fingerprint of their input.
            x: The inputs; by default those that the model was called with first inside the block.
            y_true: The labels, in the structure of the outputs.
            y_pred: The outputs; by default what that call of the model gave.
            loss: The loss of each sample before it is reduced, shape (n,) or (n, …), of which the mean over all
                axes but the first is taken; or, of several outputs, a dict by their names, whose sum is the
                sample's loss.
            sample_weight: What the loop weighs the losses with: shape (n,), or over as many leading axes of `loss` as
                it has.
            total_loss: The scalar that is minimised; by default the mean of the weighted losses.
            gradients: Gradients in the order of `model.trainable_variables`, where no Keras optimizer gets them.
            metrics: Scalars by name, kept as `running/<name>`.

        Raises:
            LossError: When the block ends: the loss is a table of n by n, of labels (n,) against outputs (n, 1); or it
                is a scalar; or the weights don't lie over it.
            LengthError: When the block ends: there aren't as many gradients as variables.
        """
        self._logged.add(
            ids=ids,
            x=x,
            y_true=y_true,
            y_pred=y_pred,
            loss=loss,
            sample_weight=sample_weight,
            total_loss=total_loss,
            gradients=gradients,
            metrics=metrics,
        )

    # --- the block -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._entered:
            raise TapError("This step was recorded already. Expected: `with recorder.step(model) as step:` for each.")
        self._entered = True
        backend, plan = loops(), self._step.plan
        self._compiled = backend.compiled()
        self._replica, self._replicas = backend.replica()
        if self._replicas > 1:
            _check_replicas(plan)
        in_step = plan.in_step
        if not self._compiled:
            if self._epoch is not None:
                self._turn(int(ops.convert_to_numpy(self._epoch)))
            due = self._feed.begin()
            self._plan = self._step.only(due)
            self._flags = [True] * len(self._plan.in_step)
            if not backend.stateless:
                self._feed.before(backend.read)
        elif any(each.reducers and not each.tap.always for each in in_step):
            self._flags = backend.ask(self._due, self._epoch, len(in_step))
        else:
            self._flags = [True] * len(in_step)
        self._watch = Watch(
            self._step.model,
            self._plan,
            self._step.learned,
            lambda key, value: backend.through(self._reached, key, value),
        )
        if self._compiled and not backend.stateless:
            self._before = self._around(backend.read, "updates")
        if self._replicas == 1:
            try:
                self._install()
            except BaseException:
                self._stack.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is None:
            self._leave()

    def _install(self) -> None:
        model, watch, step = self._step.model, self._watch, self._step
        call = model.call

        def seen(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            if self._outputs is None and not in_symbolic_scope():
                self._inputs = args[0] if args else next(iter(kwargs.values()))
                self._outputs = result
            return result

        def given(gradients: Sequence[Any], variables: Sequence[Any]) -> None:
            step.gradients_given(watch, gradients, variables, self._optimizer)

        optimizer = self._optimizer if self._plan.phase == "train" else None
        self._stack.enter_context(watch.installed())
        self._stack.enter_context(replaced(model, call=seen))
        self._stack.enter_context(loops().watched(model, optimizer, given, self._before, self._after))

    # --- what leaves it --------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        backend, watch, logged = loops(), self._watch, self._logged
        watch.settle(self._reached, self._before, self._after)
        said = None if logged.x is None else map_leaves(ops.convert_to_tensor, logged.x)
        x = self._value(said, self._inputs)
        if x is not None and logged.x is None and _narrowed(self._step.model, x):
            raise TapError(
                f"The model casts its inputs to {self._step.model.compute_dtype} before its call is seen, so samples "
                "would have other fingerprints than under fit. Expected: step.log(x=x) with the inputs as they were."
            )
        if x is None:
            raise TapError(
                "recorder.step saw no inputs: the model was not called inside the block, or inside another compiled "
                "function there. Expected: the block inside the function that is compiled, or step.log(x=…, y_true=…, "
                "y_pred=…, loss=…) with what it returns."
            )
        self._columns(watch, x)
        self._gradients(watch)
        result = {name: ops.convert_to_tensor(value) for name, value in (logged.metrics or {}).items()}
        values = extras(watch, (x,), result, self._flags, self._plan, self._step.packing, self._reached)
        if logged.ids is not None:
            values["sample_id"] = logged.ids if self._compiled else np.asarray(logged.ids)
        if backend.stateless:
            self._check_variables()
        elif self._compiled:
            self._after = self._around(backend.read)
        if self._compiled:
            self._deliver(values)
        else:
            self._arrive(0, 1, values, self._before, self._after)

    def _columns(self, watch: Watch, x: Any) -> None:
        logged = self._logged
        y_pred = self._value(logged.y_pred, self._outputs)
        said = logged.y_true is not None or logged.y_pred is not None
        if y_pred is not None and (said or not watch.paired):
            watch.keep_outputs(y_pred, logged.y_true, logged.sample_weight, [])
        for name, value in logged.losses(leaves(y_pred), leaves(logged.y_true)).items():
            watch.seen[name] = ops.stop_gradient(value)
        loss: Any = watch.seen.get("loss")
        if logged.total_loss is not None:
            watch.seen["total_loss"] = ops.stop_gradient(ops.convert_to_tensor(logged.total_loss))
        elif "total_loss" not in watch.seen and loss is not None:
            watch.seen["total_loss"] = ops.mean(watch.seen.get("weighted_loss", loss))

    def _gradients(self, watch: Watch) -> None:
        """Those that no optimizer of Keras was given."""
        if not self._plan.of_kind(Gradients) or "learning_rate" in watch.around:
            return
        variables = self._step.model.trainable_variables
        gradients = self._logged.gradients
        if gradients is None:
            gradients = [loops().gradient_left(variable) for variable in variables]
            if all(gradient is None for gradient in gradients):
                return
        gradients = list(gradients)
        if len(gradients) != len(variables):
            raise LengthError(
                f"step.log(gradients=…) takes one for each of model.trainable_variables. Received: {len(gradients)} "
                f"for {len(variables)} variables."
            )
        watch.keep_gradients(gradients, variables, None, None, None)

    def _value(self, said: Any, seen: Any) -> Any:
        """What the user said, else what was seen, unless that exists inside another compiled function alone."""
        if said is not None:
            return said
        return None if seen is None else self._watch.taken(seen)

    def _around(self, read: Callable[[Any], Any], kind: str | None = None) -> Variables:
        """Values of the variables that taps want, by identity.

        Those that are wanted once an epoch are left in the model until `begin_epoch` reads them; not where the epoch
        is an argument of the compiled function, whose turn is known only after the next step.
        """
        wanted = [each for each in self._step.plan.around if kind is None or each.tap.kind == kind]
        wanted = [each for each in wanted if self._epoch is not None or not at_epoch_end(each)]
        return {id(variable): read(variable) for each in wanted for variable in each.members.values()}

    def _deliver(self, values: dict[str, Any]) -> None:
        """Hands on to the host all at once, whenever the compiled function runs."""
        wanted = {id(v): v for each in self._step.plan.around for v in each.members.values()}
        found = {f"before:{key}": value for key, value in self._before.items() if key in wanted}
        found |= {f"after:{key}": value for key, value in self._after.items() if key in wanted}
        found |= {} if self._epoch is None else {EPOCH: self._epoch}
        arrive, replica, replicas = self._arrive, self._replica, self._replicas

        def arrived(arrays: Mapping[str, Any]) -> None:
            parts: dict[str, dict[Any, Any]] = {"before": {}, "after": {}, "": {}}
            for name, array in arrays.items():
                kind, _, key = name.partition(":")
                if kind in ("before", "after"):
                    parts[kind][int(key)] = array
                else:
                    parts[""][name] = array
            arrive(replica, replicas, parts[""], parts["before"], parts["after"])

        loops().deliver(arrived, values | found)

    def _check_variables(self) -> None:
        for each in self._step.plan.around:
            missing = [path for path, variable in each.members.items() if id(variable) not in self._after]
            if missing:
                raise TapError(
                    f"{type(each.tap).__name__} of {', '.join(missing)} can't be seen: the loop holds them, and no "
                    "call inside the block gave new values. Expected: model.stateless_call(…) and "
                    "optimizer.stateless_apply(…) inside the block, with recorder.step(model, optimizer=optimizer) if "
                    "the optimizer isn't the one that the model was compiled with; or leave the tap out."
                )


def _narrowed(model: Any, x: Any) -> bool:
    """Whether floats among the inputs were cast to 16 bits."""
    halves = ("float16", "bfloat16")
    return model.compute_dtype in halves and any(
        keras.backend.standardize_dtype(leaf.dtype) in halves for leaf in leaves(x) if leaf is not None
    )


def _check_replicas(plan: Plan) -> None:
    taken = [type(each.tap).__name__ for each in (*plan.in_step, *plan.around) if each.tap.kind != "tapped"]
    if taken:
        raise TapError(
            f"{', '.join(taken)} can't be had under a strategy with several replicas: each sees its own part alone. "
            "Expected: tt.Outputs(), with what step.log(x=…, y_true=…, y_pred=…, loss=…) is given."
        )
