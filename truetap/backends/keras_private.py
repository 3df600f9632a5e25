"""Every private name of Keras that truetap uses, in one place.

| name | for | in Keras |
|---|---|---|
| `Model._compile_loss`, `CompileLoss._user_loss`, `._user_loss_weights`, `._flat_losses` | the loss of
each output, by its path, as `compile` resolved it | 3.10-15 |
| `keras.src.backend.common.masking.get_keras_mask` | the mask that reaches an output or a loss (JAX keeps it beside the
tensor, not on it) | 3.10-15 |
| `.set_keras_mask` | the mask of a loss's values | 3.10-15 |
| `_keras_logits` of a tensor (TF) | what softmax and sigmoid made it of, which Keras' cross-entropies use in its
place | 3.10-15 |
| frames of `Trainer._compute_loss` and `compute_loss`, their locals `x`, `y`, `y_pred`, `sample_weight` | what a
loss isn't given, while it is called | 3.10-15 |
| `Layer._layers`, `Layer._flatten_layers` | the layers inside a layer that is no model | 3.10-15 |
| `CompileLoss._flat_losses` and `.build` replaced for the time of a step | each loss as Keras calls it | 3.10-15 |
| `keras.src.losses.losses.LossFunctionWrapper` | a function as the loss that Keras makes of it | 3.10-15 |
| `keras.src.backend.common.symbolic_scope.in_symbolic_scope` | whether only shapes are being worked out | 3.10-15 |
| `Trainer._symbolic_build` | layers and losses of a model that is built by its first batch (TF) | 3.10-15 |
| `JAXTrainer._make_function` | each of the steps of one execution (`steps_per_execution`) | 3.10-15 |
| `JAXTrainer._enforce_jax_state_sharding`, `._record_training_state_sharding_spec`, `._clear_jax_state_sharding` (until
3.11) | what is added to a step's state has no sharding; a step outside of `fit` | 3.10 |
| `Layer._inbound_nodes`, `KerasTensor._keras_history` | which layers feed a layer of a graph | 3.10-15 |
| `Optimizer._learning_rate` | its schedule | 3.10-15 |
| `CompileMetrics._user_metrics`, `._user_weighted_metrics` of `Model._compile_metrics` | the metrics as `compile`
was given them | 3.10-15 |
| frame of `fit`, its arguments | what of them the callbacks aren't told: batch_size, shuffle, class_weight | 3.10-15 |

Checked on Keras 3.10.0 and 3.15.1 by the tests of docs/capabilities.md. A name that Keras moves raises `ModelError`
with that name, not a wrong number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import Any, NamedTuple

import keras

from truetap.backends.keras_version import NEWEST, OLDEST, check_version, said
from truetap.errors import ModelError

check_version()  # this room is entered by all that needs Keras

__all__ = [
    "ABSENT",
    "ComputeLossCall",
    "OutputLoss",
    "as_loss",
    "build_from",
    "changed_alike",
    "compiled_losses",
    "compute_loss_call",
    "feeding",
    "fit_arguments",
    "function_maker",
    "in_symbolic_scope",
    "inner_layers",
    "keras_mask",
    "layers_built",
    "learning_rate_schedule",
    "output_losses",
    "put_mask",
    "shardings_known",
    "unsharded",
    "user_loss",
    "user_metrics",
    "watched_losses",
]


class OutputLoss(NamedTuple):
    """The loss of one output: the keys that lead to it, the `keras.losses.Loss`, and its weight."""

    path: tuple[str | int, ...]
    loss: Any
    weight: float | None


def output_losses(model: Any, y_true: Any, y_pred: Any) -> list[OutputLoss]:
    """The losses that `model.compile` was given, resolved against values of the model's outputs.

    A fresh `CompileLoss` is built: the model's own is left as it is.

    Args:
        model: A compiled Keras model, or one without a loss.
        y_true: Labels in the structure of `y_pred`.
        y_pred: The model's outputs.

    Returns:
        One entry per output that has a loss; empty for a model without any.
    """
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None:
        return []
    fresh = type(compiled)(
        _private(compiled, "_user_loss"),
        _private(compiled, "_user_loss_weights"),
        output_names=compiled.output_names,
    )
    _untraced(fresh.build, y_true, y_pred)  # for several outputs it makes metrics, whose variables belong to no trace
    return [OutputLoss(tuple(each.path), each.loss, each.loss_weights) for each in _private(fresh, "_flat_losses")]


def compiled_losses(model: Any) -> list[OutputLoss]:
    """The losses that the model trains with, in the order in which Keras calls them; empty before they are built."""
    compiled = getattr(model, "_compile_loss", None)
    if compiled is None or not compiled.built:
        return []
    return [OutputLoss(tuple(each.path), each.loss, each.loss_weights) for each in _private(compiled, "_flat_losses")]


@contextmanager
def watched_losses(model: Any, watch: Callable[[OutputLoss], Callable[..., Any]]) -> Iterator[None]:
    """Lets Keras call `watch(loss)` in the place of each of its compiled losses inside the block.

    Losses that Keras builds only inside the block, at its first step, are watched too.
    """
    compiled = model._compile_loss
    own: list[Any] | None = None

    def stand_in() -> None:
        nonlocal own
        own = _private(compiled, "_flat_losses")
        watched = zip(own, compiled_losses(model), strict=True)
        compiled.__dict__["_flat_losses"] = [each._replace(loss=watch(loss)) for each, loss in watched]

    def build(y_true: Any, y_pred: Any) -> None:
        type(compiled).build(compiled, y_true, y_pred)
        stand_in()

    if compiled.built:
        stand_in()
    else:
        compiled.__dict__["build"] = build
    try:
        yield
    finally:
        compiled.__dict__.pop("build", None)
        if own is not None:
            compiled.__dict__["_flat_losses"] = own


def layers_built(model: Any) -> bool:
    """Whether every layer of a model has its weights."""
    return all(layer.built for layer in model._flatten_layers())


def build_from(model: Any, batch: Any) -> None:
    """Builds what of the model its first batch would build (layers, losses, metrics), from shapes alone.

    Not to be called from inside a trace: variables would be made there.

    Args:
        model: A compiled Keras model.
        batch: Tensors, or their specifications, as the model's step gets them.
    """
    parts = (getattr(model, "_compile_loss", None), getattr(model, "_compile_metrics", None))
    if not layers_built(model) or any(part is not None and not part.built for part in parts):
        _private(model, "_symbolic_build")(data_batch=batch)


def unsharded(model: Any, without: Callable[[Any], Any]) -> dict[str, Any]:
    """Stand-ins by which what is behind the non-trainable values passes through a step of Keras 3.11 or older (JAX).

    Such a step ends by giving each value the sharding of its variable; it has no variable. Empty for a newer Keras.

    Args:
        model: A Keras model.
        without: The non-trainable values alone.
    """
    enforce = getattr(model, "_enforce_jax_state_sharding", None)
    if enforce is None:
        return {}

    def enforced(
        trainable_variables: Any = None,
        non_trainable_variables: Any = None,
        optimizer_variables: Any = None,
        metrics_variables: Any = None,
    ) -> Any:
        values = without(non_trainable_variables or [])
        behind = (non_trainable_variables or [])[len(values) :]
        trained, others, *rest = enforce(trainable_variables, values, optimizer_variables, metrics_variables)
        return trained, [*others, *behind], *rest

    return {"_enforce_jax_state_sharding": enforced}


def function_maker(model: Any) -> Callable[..., Any]:
    """What makes a step of a model the function that `fit` calls, for as many steps as one execution has (JAX)."""
    maker: Callable[..., Any] = _private(model, "_make_function")
    return maker


@contextmanager
def shardings_known(model: Any) -> Iterator[None]:
    """Lets a step of Keras 3.11 or older (JAX) be called outside of `fit`, which tells it the variables' shardings."""
    if not hasattr(model, "_enforce_jax_state_sharding"):
        yield
        return
    _private(model, "_record_training_state_sharding_spec")()
    try:
        yield
    finally:
        _private(model, "_clear_jax_state_sharding")()


def as_loss(function: Any) -> Any:
    """The `keras.losses.Loss` that Keras makes of a function of `y_true` and `y_pred`, with its name; a loss itself."""
    if isinstance(function, keras.losses.Loss):
        return function
    name = getattr(function, "__name__", None)
    return _private(keras.src.losses.losses, "LossFunctionWrapper")(function, name=name)


def in_symbolic_scope() -> bool:
    """Whether Keras only works out shapes, as when it builds a layer."""
    return bool(_private(keras.src.backend.common.symbolic_scope, "in_symbolic_scope")())


def keras_mask(tensor: Any) -> Any:
    """The mask that Keras attached to a tensor, or None."""
    return _private(keras.src.backend.common.masking, "get_keras_mask")(tensor)


def put_mask(tensor: Any, mask: Any) -> None:
    """Attaches a mask to a tensor as Keras does."""
    _private(keras.src.backend.common.masking, "set_keras_mask")(tensor, mask)


def changed_alike(tensor: Any, change: Callable[[Any], Any]) -> Any:
    """`change(tensor)`, with the logits that TensorFlow's softmax and sigmoid leave on it changed alike."""
    changed = change(tensor)
    logits = getattr(tensor, "_keras_logits", None)
    if logits is not None and logits.shape == tensor.shape:
        changed._keras_logits = change(logits)
    return changed


def user_loss(model: Any) -> Any:
    """What `model.compile(loss=…)` was given, or None."""
    compiled = getattr(model, "_compile_loss", None)
    return None if compiled is None else _private(compiled, "_user_loss")


ABSENT: Any = object()


class ComputeLossCall(NamedTuple):
    """A call of `compute_loss` that is under way; `ABSENT` is what it doesn't know."""

    model: Any
    x: Any
    y: Any
    y_pred: Any
    sample_weight: Any


def compute_loss_call() -> ComputeLossCall | None:
    """The nearest call of a Keras model's `compute_loss` on the stack, or None.

    Keras' own `compute_loss` drops x before it calls a loss. So x is taken from a caller of it that is a
    `compute_loss` too (one of the user's, or the `_compute_loss` that every step of Keras goes through), for the
    same model and the very same outputs: whoever computes a loss of something else has another x.
    Only the locals of these frames are read, and no frame is kept.
    """
    found: ComputeLossCall | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        # AutoGraph calls what it has rewritten tf__<name>
        if code.co_argcount and code.co_name.removeprefix("tf__") in ("compute_loss", "_compute_loss"):
            known = frame.f_locals
            model = known.get(code.co_varnames[0])
            if isinstance(model, keras.Model) and "y_pred" in known:
                x, y, y_pred, weight = (known.get(name, ABSENT) for name in ("x", "y", "y_pred", "sample_weight"))
                if found is None:
                    found = ComputeLossCall(model, x, y, y_pred, weight)
                elif model is not found.model or y_pred is not found.y_pred:
                    return found
                elif x is not ABSENT:
                    found = found._replace(x=x)
                if found.x is not ABSENT:
                    return found
        frame = frame.f_back
    return found


def feeding(model: Any) -> dict[int, list[int]]:
    """Of a model that is a graph, the layers that feed each layer, both as `id(layer)`; empty for another.

    A layer of a model inside the graph is fed by what is behind that model's input.
    """
    found: dict[int, list[int]] = {}

    def behind(operation: Any, outer: list[int]) -> list[int]:
        if isinstance(operation, keras.layers.InputLayer):
            return outer
        last = _last_inside(operation)
        return [id(last)] if isinstance(last, keras.Layer) else []

    def visit(graph: Any, outer: list[int]) -> None:
        inside = {id(layer) for layer in graph.layers}
        for layer in graph.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            parents = [
                each
                for node in _private(layer, "_inbound_nodes")
                for parent in node.parent_nodes
                if id(parent.operation) in inside or isinstance(parent.operation, keras.layers.InputLayer)
                for each in behind(parent.operation, outer)
            ]
            found.setdefault(id(layer), []).extend(each for each in parents if each not in found.get(id(layer), ()))
            if _is_graph(layer):
                visit(layer, parents)

    if _is_graph(model):
        visit(model, [])
    return found


def _is_graph(layer: Any) -> bool:
    return isinstance(layer, keras.Model) and bool(getattr(layer, "outputs", None))


def _last_inside(operation: Any) -> Any:
    """Of a model with one output, the layer that makes it."""
    while _is_graph(operation) and len(operation.outputs) == 1:
        operation = _private(operation.outputs[0], "_keras_history").operation
    return operation


def learning_rate_schedule(optimizer: Any) -> Any:
    """The schedule, or function, by which an optimizer's learning rate changes; None when it is a number."""
    rate = _private(optimizer, "_learning_rate")
    schedule = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return rate if schedule or (callable(rate) and not isinstance(rate, keras.Variable)) else None


def user_metrics(model: Any) -> list[Any]:
    """The metrics, then the weighted ones, as `compile` was given them."""
    compiled = getattr(model, "_compile_metrics", None)
    if compiled is None:
        return []
    given = [_private(compiled, "_user_metrics"), _private(compiled, "_user_weighted_metrics")]
    return [each for each in given if each is not None]


def fit_arguments() -> dict[str, Any]:
    """The arguments of the nearest call of `fit` of a Keras model on the stack; empty when there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "fit" and "keras" in frame.f_globals.get("__name__", ""):
            known = frame.f_locals
            if isinstance(known.get("self"), keras.Model):
                names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
                return {name: known[name] for name in names if name in known and name != "self"}
        frame = frame.f_back
    return {}


def _untraced(function: Callable[..., Any], *args: Any) -> None:
    """Calls a function that only looks at shapes as if no step was traced: a trace belongs to its thread."""
    if keras.backend.backend() == "torch":
        function(*args)
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function, *args).result()


def inner_layers(layer: Any) -> list[Any]:
    """The layers directly inside a layer."""
    if isinstance(layer, keras.Model):
        return list(layer.layers)
    return list(_private(layer, "_layers"))


def _private(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        raise ModelError(
            f"This Keras ({keras.__version__}) has no {getattr(owner, '__name__', type(owner).__name__)}.{name}, which "
            f"truetap reads. Expected: Keras {said(OLDEST)} to {said(NEWEST)}. Please install one of these."
        ) from None
