"""A step while Keras runs it: what goes through its public hooks is seen, and nothing is changed.

For the time of a trace (on torch: of a step) `compute_loss`, `compute_metrics`, `call` of the chosen
layers and the optimizer's `apply` stand on the instances as functions that call the real ones. On JAX
what is seen inside the differentiated function can leave it only as its output: `seen` is a dict that
the backend hands out with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from keras import ops

from truetap.about import column
from truetap.backends import current
from truetap.backends.autograph import as_it_is
from truetap.backends.keras_private import compiled_losses, in_symbolic_scope, keras_mask
from truetap.capture.learned import Learned
from truetap.capture.losses import LossCall, loss_calls, share_of_samples
from truetap.capture.plan import Plan
from truetap.errors import DataError, TapError
from truetap.hints import hints
from truetap.observe import observed, owner, replaced
from truetap.pairing import Outputs, declared_outputs, pair
from truetap.sample_loss import lies_over
from truetap.structure import flatten, is_nested, leaves, map_leaves, skeleton
from truetap.tapping import listening
from truetap.taps import Outputs as OutputsTap

__all__ = ["Watch", "inputs_of"]


class Watch:
    """One run, or trace, of a step.

    Args:
        model: The Keras model.
        plan: What is wanted.
        learned: Filled with what is static.
        through: For each output of a layer whose gradient is wanted: gives the tensor that goes on in its
            place, and reports the gradient by the key it is given.

    Attributes:
        seen: Values by name, seen where the loss is computed: columns of samples, "total_loss".
        layers: Layer outputs by key, seen in the same place.
        gradients: Gradients of weights by path, with the loss scale divided out.
        around: What the optimizer knew: "learning_rate", "loss_scale", "skipped"; scalars.
        tapped: What `tt.tap` was given, by name, on the level of the step.
    """

    def __init__(
        self, model: Any, plan: Plan, learned: Learned, through: Callable[[str, Any], Any] | None = None
    ) -> None:
        self._model = model
        self._plan = plan
        self.learned = learned
        self._through = through
        self.seen: dict[str, Any] = {}
        self.layers: dict[str, Any] = {}
        self.gradients: dict[str, Any] = {}
        self.around: dict[str, Any] = {}
        self.tapped: dict[str, Any] = {}
        self._heard: set[str] = set()
        self._results: dict[int, tuple[str, Any]] = {}  # what layers gave; held, so that no id comes twice
        self._wanted = [each.tap for each in plan.taps if each.tap.kind == "tapped"]
        self._level = current().level()
        self._paired = False
        self._weighted: bool | None = None  # what compute_loss was given, else compute_metrics

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stands in the place of the model's hooks inside the block."""
        model = self._model
        with ExitStack() as stack:
            if self._wanted:
                stack.enter_context(listening(self))
            if self._plan.layers:
                through = self._pass if self._plan.with_gradient else None
                self.layers = stack.enter_context(observed(self._plan.layers, through, self._called))
            if self._plan.phase != "predict":
                stack.enter_context(replaced(model, compute_loss=self._compute_loss(model.compute_loss)))
                stack.enter_context(replaced(model, compute_metrics=self._compute_metrics(model.compute_metrics)))
            yield
        called = {owner(key, self._plan.layers) for key in self.layers}
        idle = [path for path in self._plan.layers if path not in called]
        if idle:
            self.learned.say(f"These layers were selected and did not run in this step: {', '.join(idle)}.")

    def hear(self, name: str, value: Any, per_sample: bool | None) -> None:
        """See `truetap.tapping.Listener`."""
        if in_symbolic_scope():
            return
        found = flatten(value, name)
        count = 0
        while any(self._numbered(key, name, count) in self._heard for key in found):
            count += 1
        for key, leaf in found.items():
            numbered = self._numbered(key, name, count)
            self._heard.add(numbered)
            self.learned.rows_of.setdefault(numbered, per_sample)
            if leaf is None or not any(tap.takes(numbered) for tap in self._wanted):
                continue
            try:
                taken = current().taken(leaf, self._level)
            except TapError as error:
                raise TapError(f"tt.tap(…, {name!r}) can't be recorded. {error}") from None
            self.tapped[numbered] = current().dense(ops.convert_to_tensor(taken))[0]

    def taken(self, value: Any) -> Any:
        """A structure of values as the step has them, or None if it doesn't have one of them."""
        try:
            return map_leaves(lambda leaf: leaf if leaf is None else current().taken(leaf, self._level), value)
        except TapError:
            return None

    def settle(self, reached: dict[str, Any], *others: dict[int, Any]) -> None:
        """Brings what was seen onto the level of the step; what exists only deeper inside it is left out and said.

        Args:
            reached: Gradients of layer outputs, which come along.
            others: Values of variables, which do so too.
        """
        every: list[dict[Any, Any]] = [self.seen, self.layers, self.gradients, self.around, reached, *others]
        for values in every:
            for name, value in list(values.items()):
                taken = self.taken(value)
                if taken is not None:
                    values[name] = taken
                    continue
                del values[name]
                if isinstance(name, str):
                    self.learned.say(
                        f"{name!r} was computed inside another compiled function, a loop or a branch, and is not "
                        "recorded. Expected: recorder.step inside the function that is compiled."
                    )

    @staticmethod
    def _numbered(key: str, name: str, count: int) -> str:
        return f"{name}#{count}{key[len(name) :]}" if count else key

    def _called(self, key: str, given: Mapping[str, Any], result: Any) -> None:
        training = given.get("training")
        self.learned.training.setdefault(key, training if isinstance(training, bool) else None)
        if any("mask" in name and any(leaf is not None for leaf in leaves(each)) for name, each in given.items()):
            self.learned.masked.add(key)
        self._results[id(result)] = (key, result)

    def _pass(self, path: str, key: str, value: Any) -> Any:
        if path not in self._plan.with_gradient or self._through is None:
            return value
        return self._through(key, value)

    def _compute_loss(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @as_it_is
        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(("x", "y", "y_pred", "sample_weight"), args, strict=False)) | kwargs
            weights = map_leaves(lambda leaf: leaf if leaf is None else ops.copy(leaf), given.get("sample_weight"))
            with loss_calls(self._model) as calls:
                total = original(*args, **kwargs)
            self._weighted = bool(self._weighted) or any(leaf is not None for leaf in leaves(weights))
            if self._paired:
                self.learned.say("The step computes its loss several times; what is recorded is the first.")
                return total
            if total is not None:
                self.seen["total_loss"] = ops.stop_gradient(current().replicated_loss(total))
            self._paired = True
            if not calls and self._plan.of_kind(OutputsTap):
                self.learned.say(
                    "compute_loss of this model doesn't call a compiled loss, so there is no loss per sample; the loss "
                    "of each step is in run.scalars()."
                )
            self.keep_outputs(given.get("y_pred"), given.get("y"), weights, calls)
            return total

        return compute_loss

    def _compute_metrics(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @as_it_is
        def compute_metrics(x: Any, y: Any, y_pred: Any, sample_weight: Any = None, **kwargs: Any) -> Any:
            if not self._paired:
                self._paired = True
                self._weighted = any(leaf is not None for leaf in leaves(sample_weight))
                self.metrics_seen(y_pred, y, sample_weight)
            return original(x, y, y_pred, sample_weight=sample_weight, **kwargs)

        return compute_metrics

    def metrics_seen(self, y_pred: Any, y: Any, sample_weight: Any) -> None:
        """Outputs of a step that computes its loss without `compute_loss`."""
        self.learned.say(
            "The step doesn't call compute_loss: y_true and y_pred are those given to compute_metrics, and there is "
            "no loss per sample."
        )
        self.keep_outputs(y_pred, y, sample_weight, [])

    @property
    def paired(self) -> bool:
        """Whether the outputs of the step were seen."""
        return self._paired

    @property
    def weighted(self) -> bool:
        """Whether the loss of the step was given sample weights; True where that can't be told."""
        return self._weighted is not False

    def keep_outputs(self, y_pred: Any, y: Any, sample_weight: Any, calls: Sequence[LossCall]) -> None:
        """Makes columns of samples of what a loss was given."""
        if y_pred is None:
            return
        outputs = self._outputs(y_pred)
        for name, value in outputs.flat(y_pred).items():
            self.learned.keep_shape(f"y_pred/{name}", value)
            if id(value) in self._results:
                self.learned.makers.setdefault(name, self._results[id(value)][0])
            dense, ragged = current().dense(value)
            self.seen[column("y_pred", name)] = ops.stop_gradient(dense)
            mask = keras_mask(value)
            mask = ragged if mask is None else mask
            if mask is not None and lies_over(mask, dense):
                self.seen[column("mask", name)] = mask
        by_name: dict[str, list[LossCall]] = {}
        for call in calls:
            by_name.setdefault(str(outputs.name_at(call.loss.path)), []).append(call)
        first = {name: several[0] for name, several in by_name.items()}
        self._keep_labels(y, outputs, first)
        self._keep_weights(sample_weight, first, outputs)
        self._keep_losses(by_name)

    def _outputs(self, y_pred: Any) -> Outputs:
        """The model's outputs; worked out once, since an eager step comes here every time."""
        known = self.learned.outputs
        if known is not None and known.shape == (skeleton(y_pred) if is_nested(y_pred) else ""):
            return known
        outputs = self.learned.outputs = declared_outputs(self._model, y_pred)
        self.learned.losses = compiled_losses(self._model)
        self.learned.hints = hints(self._model, outputs, self.learned.losses)
        return outputs

    def _keep_labels(self, y: Any, outputs: Outputs, calls: dict[str, LossCall]) -> None:
        labels = {name: call.y_true for name, call in calls.items()}
        order = list(outputs.shape) if isinstance(outputs.shape, Mapping) else []
        if len(labels) > 1 and isinstance(y, list | tuple) and sorted(order) != order:
            self.learned.say(
                "The labels are a list and the outputs a dict: Keras gives them to the losses in the sorted order of "
                f"the keys, {sorted(order)}, and not in that of the model, {order}. What is recorded is what the "
                "losses got. Expected: the labels as a dict with these keys."
            )
        if y is not None and len(labels) < len(outputs.names):
            try:
                labels = {k: v for k, v in pair(y, outputs)[0].items() if v is not None} | labels
            except DataError as error:
                self.learned.say(str(error))
        for name in outputs.names:
            if name not in labels:
                continue
            if is_nested(labels[name]):
                self.learned.say(f"The labels of output {name!r} are nested: they were not recorded.")
                continue
            self.learned.keep_shape(f"y/{name}", labels[name])
            self.seen[column("y_true", name)] = current().dense(ops.convert_to_tensor(labels[name]))[0]

    def _keep_weights(self, sample_weight: Any, calls: dict[str, LossCall], outputs: Outputs) -> None:
        if sample_weight is None:
            return
        if not is_nested(sample_weight):
            self.seen["sample_weight"] = ops.convert_to_tensor(sample_weight)
            return
        weights = {name: call.sample_weight for name, call in calls.items()}
        if not calls:
            try:
                weights = pair(sample_weight, outputs, what="sample weights")[0]
            except DataError as error:
                self.learned.say(str(error))
        for name, value in weights.items():
            if value is not None:
                self.seen[column("sample_weight", name)] = ops.convert_to_tensor(value)

    def _keep_losses(self, calls: dict[str, list[LossCall]]) -> None:
        """The losses of samples; an output may have several."""
        found: dict[str, list[tuple[Any, Any, float]]] = {}
        for name, several in calls.items():
            for call in several:
                try:
                    if call.values is None:
                        raise ValueError(
                            f"The loss of output {name!r} has no method call: there is no loss per sample."
                        )
                    loss, share = share_of_samples(call)
                except ValueError as error:
                    self.learned.say(str(error))
                    return
                weight = 1.0 if call.loss.weight is None else call.loss.weight
                found.setdefault(name, []).append((loss, share, weight))
        if not found:
            return
        for name, parts in found.items():
            if len(found) > 1 and name:
                self.seen[column("loss", name)] = sum(loss for loss, _, _ in parts)
        every = [part for parts in found.values() for part in parts]
        self.seen["loss"] = sum(loss * factor for loss, _, factor in every)
        if any(share is not None for _, share, _ in every):
            self.seen["weighted_loss"] = sum(
                (loss if share is None else share) * factor for loss, share, factor in every
            )

    def keep_gradients(
        self, gradients: Sequence[Any], variables: Sequence[Any], scale: Any, learning_rate: Any, skipped: Any
    ) -> None:
        """What reached the optimizer.

        Args:
            gradients: Gradients, None where there is none; scaled.
            variables: The variables they belong to.
            scale: The loss scale, a scalar tensor, or None.
            learning_rate: A scalar tensor, or None.
            skipped: Whether the update is left out for an overflow: a bool tensor, or None.
        """
        by_variable = {id(variable): gradient for variable, gradient in zip(variables, gradients, strict=False)}
        if learning_rate is not None:
            self.around["learning_rate"] = learning_rate
        if scale is not None:
            self.around["loss_scale"] = scale
        if skipped is not None:
            self.around["skipped"] = skipped
        for each in self._plan.taps:
            if each.tap.kind != "gradients":
                continue
            for path, variable in each.members.items():
                gradient = by_variable.get(id(variable))
                if gradient is None:
                    self.learned.without_gradient.add(path)
                    self.learned.say(f"No gradient reaches {path!r}: the loss does not depend on it.")
                    continue
                gradient = current().summed_gradient(current().dense(gradient)[0])
                if path not in self.gradients:
                    self.gradients[path] = gradient if scale is None else gradient / ops.cast(scale, gradient.dtype)


def inputs_of(data: Any) -> Any:
    """The inputs of a batch as Keras unpacks it: x of `(x, y, sample_weight)`, or the whole."""
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data
    return data[0]
