"""The step that is compiled in the place of the model's own: it runs that, and gives extras beside.

Two forms, for the two kinds of trainers: one whose state lives in the model (TensorFlow, torch), and
one that is a function of its state (JAX).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from truetap.capture.extras import Packing, extras
from truetap.capture.learned import Learned
from truetap.capture.plan import Plan
from truetap.capture.watch import Watch
from truetap.observe import applied
from truetap.structure import leaves

__all__ = ["RecordedStep"]

Inner = Callable[..., Any]


class RecordedStep:
    """What runs inside the compiled function of one phase.

    Args:
        model: The Keras model.
        plan: What is wanted.
        jit_compile: Whether XLA compiles the step; matters on TensorFlow.

    Attributes:
        learned: What is known once it was traced.
        packing: How packed vectors are laid out.
    """

    def __init__(self, model: Any, plan: Plan, *, jit_compile: bool = False) -> None:
        self.model = model
        self.plan = plan
        self.learned: Learned = Learned()
        self.packing: Packing = Packing()
        self._jit_compile = jit_compile
        self._plans: dict[tuple[bool, ...], Plan] = {}

    def run(
        self,
        inner: Inner,
        data: Any,
        flags: Sequence[Any],
        through: Callable[[dict[str, Any], str, Any], Any],
        plan: Plan | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Runs a step whose state lives in the model.

        Args:
            inner: The model's own step.
            data: The batch.
            flags: Whether each tap is due.
            through: `(reached, key, value)`: gives a tensor in the place of a layer's output that puts its
                gradient into `reached[key]`.
            plan: What is wanted of this step alone, where a step isn't compiled.

        Returns:
            The model's result, and the extras.
        """
        reached: dict[str, Any] = {}
        plan = self.plan if plan is None else plan
        watch = Watch(self.model, plan, self.learned, lambda key, value: through(reached, key, value))
        with watch.installed(), self._optimizer(watch):
            result = inner(data)
        return result, self._extras(watch, data, result, flags, reached, plan)

    def only(self, due: Sequence[bool]) -> Plan:
        """The plan of a step in which some taps aren't due."""
        key = tuple(due)
        if key not in self._plans:
            self._plans[key] = self.plan.only(due)
        return self._plans[key]

    def _optimizer(self, watch: Watch) -> Any:
        optimizer = getattr(self.model, "optimizer", None) if self.plan.phase == "train" else None
        return applied(self.model, optimizer, lambda *given: self.gradients_given(watch, *given))

    def gradients_given(
        self, watch: Watch, gradients: Sequence[Any], variables: Sequence[Any], optimizer: Any = None
    ) -> None:
        """Hands what reaches an optimizer (by default the model's) to the watch; its variables hold values there."""
        optimizer = self.model.optimizer if optimizer is None else optimizer
        scale = skipped = None  # copies: the optimizer goes on to assign to its variables
        if hasattr(optimizer, "dynamic_scale") or hasattr(optimizer, "inner_optimizer"):
            built = getattr(optimizer, "built", True)
            scale = ops.copy(ops.cast(optimizer.dynamic_scale if built else optimizer.initial_scale, "float32"))
            skipped = ops.logical_not(optimizer.check_finite(list(gradients)))
        elif getattr(optimizer, "loss_scale_factor", None) is not None:
            scale = ops.convert_to_tensor(optimizer.loss_scale_factor, "float32")
        rate = ops.copy(ops.cast(optimizer.learning_rate, "float32"))
        watch.keep_gradients(gradients, variables, scale, rate, skipped)

    def run_stateless(
        self, watch: Watch, data: Any, flags: Sequence[Any], result: Any, reached: dict[str, Any]
    ) -> dict[str, Any]:
        """The extras of a step that was a function of its state; the backend has led it through `watch`."""
        return self._extras(watch, data, result, flags, reached, self.plan)

    def _say_unused_weights(self, watch: Watch, data: Any) -> None:
        """A step that unpacks its data itself may leave the weights out, and nobody would notice."""
        weights = data[2] if isinstance(data, list | tuple) and len(data) > 2 else None
        if self.plan.phase == "predict" or watch.weighted or all(leaf is None for leaf in leaves(weights)):
            return
        self.learned.say(
            "The data hold sample weights, or class_weight made some, and the step gave none to compute_loss, nor, if "
            "it doesn't call that, to compute_metrics. Expected: self.compute_loss(x, y, y_pred, sample_weight)."
        )

    def _pair_otherwise(self, watch: Watch, result: Any, data: Any) -> None:
        """Outputs of a step that went through no hook: of `predict`, its result."""
        if watch.paired:
            return
        if self.plan.phase != "predict":
            self.learned.say(
                "The step calls neither compute_loss nor compute_metrics: y_true and y_pred are not recorded. "
                "Expected: a train_step that calls self.compute_loss(x, y, y_pred, sample_weight)."
            )
            return
        y = data[1] if isinstance(data, list | tuple) and len(data) > 1 else None
        watch.keep_outputs(result, y, None, [])

    def _extras(
        self, watch: Watch, data: Any, result: Any, flags: Sequence[Any], reached: dict[str, Any], plan: Plan
    ) -> dict[str, Any]:
        self._pair_otherwise(watch, result, data)
        self._say_unused_weights(watch, data)
        return extras(watch, data, result, flags, plan, self.packing, reached, jit_compile=self._jit_compile)
