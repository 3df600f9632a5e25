"""The facts of a compiled model, read from its attributes: no value of a variable is touched.

That matters on JAX, where the model's variables hold nothing while `fit` runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from truetap.backends.keras_private import OutputLoss, feeding, learning_rate_schedule, user_metrics
from truetap.facts.reading_code import drops_always
from truetap.facts.types import (
    LayerFacts,
    LossFacts,
    MetricFacts,
    ModelFacts,
    OptimizerFacts,
    OutputFacts,
    Setting,
    WeightFacts,
)
from truetap.facts.untracked import untracked
from truetap.hints import hints, loss_name
from truetap.loss_context import innermost
from truetap.pairing import Outputs
from truetap.selection import layers_by_path, variables_by_path
from truetap.structure import flatten

__all__ = ["model_facts", "settings_of"]

_ACTIVATIONS = {
    "ReLU": "relu",
    "Softmax": "softmax",
    "LeakyReLU": "leaky_relu",
    "ELU": "elu",
    "PReLU": "prelu",
}
# functions of keras.ops, as a graph has them
_OPERATIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Softplus": "softplus",
    "Tanh": "tanh",
    "Exp": "exponential",
}
_PASS_ON = ("Reshape", "Flatten", "Dropout", "Permute", "Identity", "Masking")  # change no value that goes on
# what rules read of a layer, a metric or a callback
_SHOWN = frozenset(
    (
        "momentum",
        "epsilon",
        "mask_zero",
        "input_dim",
        "output_dim",
        "kernel_size",
        "strides",
        "padding",
        "pool_size",
        "return_sequences",
        "stateful",
        "go_backwards",
        "axis",
        "scale",
        "center",
        "threshold",
        "negative_slope",
        "num_heads",
        "key_dim",
        "causal",
        "seed",
        "mode",
        "factor",
        "monitor",
        "patience",
        "baseline",
        "min_delta",
        "start_from_epoch",
        "stopped_epoch",
        "restore_best_weights",
        "min_lr",
        "cooldown",
        "from_logits",
        "thresholds",
        "num_classes",
        "class_id",
        "top_k",
        "ignore_class",
        "name",
    )
)

_OF_OPTIMIZERS = (
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "weight_decay",
    "momentum",
    "nesterov",
    "beta_1",
    "beta_2",
    "rho",
    "epsilon",
    "gradient_accumulation_steps",
    "use_ema",
)


def model_facts(
    model: Any, outputs: Outputs | None, losses: list[OutputLoss], makers: Mapping[str, str] | None = None
) -> ModelFacts:
    """What is static of a model.

    Args:
        model: A Keras model.
        outputs: Its outputs, if known.
        losses: Its losses as Keras calls them.
        makers: Of each output by name, the layer that was seen to make it in a trace.
    """
    layers = layers_by_path(model)
    path_of = {id(layer): path for path, layer in layers.items()}
    variables = variables_by_path(model)
    path_of_variable = {id(variable): path for path, variable in variables.items()}
    trained = {id(variable) for variable in model.trainable_variables}
    owned: dict[int, str] = {}
    for path, layer in layers.items():  # the innermost comes last
        owned.update({id(variable): path for variable in layer.variables})
    weights: dict[str, list[WeightFacts]] = {}
    for variable in variables.values():
        if _is_seed(variable):
            continue
        facts = WeightFacts(
            path_of_variable[id(variable)],
            tuple(int(each) for each in variable.shape),
            id(variable) in trained,
        )
        weights.setdefault(owned.get(id(variable), ""), []).append(facts)
    feeds = feeding(model)
    described = []
    for path, layer in layers.items():
        after = tuple(path_of[each] for each in feeds.get(id(layer), ()) if each in path_of)
        described.append(_layer(path, layer, tuple(weights.get(path, ())), after))
    if weights.get(""):
        described.append(LayerFacts("", type(model).__name__, own=True, weights=tuple(weights[""])))
    made = [] if outputs is None else _outputs(model, outputs, losses, makers or {}, layers, path_of)
    return ModelFacts(
        model.name,
        _kind(model),
        tuple(described),
        tuple(made),
        tuple(_losses(outputs, losses)),
        tuple(_metrics(user_metrics(model), () if outputs is None else outputs.names)),
        _optimizer(getattr(model, "optimizer", None)),
        type(model).train_step is not keras.Model.train_step,
        untracked(model),
    )


def _is_seed(variable: Any) -> bool:
    return str(variable.dtype).startswith(("uint", "int")) or "seed" in str(variable.name)


def _kind(model: Any) -> str:
    if isinstance(model, keras.Sequential):
        return "sequential"
    return "functional" if hasattr(model, "input_spec") and getattr(model, "outputs", None) else "subclassed"


def activation_of(layer: Any) -> str | None:
    """The name of a layer's activation, None for layers that have no such thing."""
    if type(layer).__name__ in _ACTIVATIONS and type(layer).__module__.startswith("keras."):
        return _ACTIVATIONS[type(layer).__name__]
    if isinstance(layer, keras.layers.TimeDistributed | keras.layers.Bidirectional):
        return activation_of(layer.layer if hasattr(layer, "layer") else layer.forward_layer)
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear" if hasattr(layer, "activation") else None
    name = getattr(activation, "__name__", None)
    return str(name) if name else type(activation).__name__.lower()


def _layer(path: str, layer: Any, weights: tuple[WeightFacts, ...], after: tuple[str, ...]) -> LayerFacts:
    units = getattr(layer, "units", None) or getattr(layer, "filters", None) or getattr(layer, "output_dim", None)
    rate, own = _rate(layer), not type(layer).__module__.startswith("keras.")
    return LayerFacts(
        path=path,
        kind=type(layer).__name__,
        own=own,
        activation=activation_of(layer),
        units=int(units) if isinstance(units, int) else None,
        trainable=bool(layer.trainable),
        rate=rate,
        penalty=_penalty(layer),
        after=after,
        initializer=_initializer(layer),
        weights=weights,
        settings=settings_of(layer) | _rank(layer) | ({"drops_always": True} if own and drops_always(layer) else {}),
    )


def _rate(layer: Any) -> float | None:
    """What is dropped, of a layer of recurrent cells in the inputs or the state, whichever is more."""
    cell = getattr(layer, "cell", None)
    if cell is not None:
        rates = [getattr(cell, name, None) for name in ("dropout", "recurrent_dropout")]
        return max((float(rate) for rate in rates if isinstance(rate, int | float)), default=0.0) or None
    rate = getattr(layer, "rate", None)
    return float(rate) if isinstance(rate, int | float) else None


def _rank(layer: Any) -> dict[str, Setting]:
    """Of batch normalisation, how many axes its inputs have: whether positions beside rows are averaged over."""
    rank = getattr(getattr(layer, "input_spec", None), "ndim", None)
    return {"ndim": rank} if isinstance(layer, keras.layers.BatchNormalization) and isinstance(rank, int) else {}


def _penalty(layer: Any) -> float:
    total = 0.0
    for place in ("kernel", "embeddings", "bias", "activity", "recurrent"):
        regularizer = getattr(layer, f"{place}_regularizer", None)
        if regularizer is not None and type(regularizer).__module__.startswith("keras."):
            strengths = regularizer.get_config()  # attributes are tensors in some of them
            total += sum(float(strengths[key]) for key in ("l1", "l2") if isinstance(strengths.get(key), int | float))
    return total


def _initializer(layer: Any) -> str | None:
    found = getattr(layer, "kernel_initializer", None) or getattr(layer, "embeddings_initializer", None)
    if found is None:
        return None
    name = getattr(found, "__name__", None) or type(found).__name__
    plain = [
        f"{key}={value:g}"
        for key in ("value", "mean", "stddev", "minval", "maxval", "scale", "gain")
        if isinstance(value := getattr(found, key, None), int | float)
    ]
    return f"{name}({', '.join(plain)})" if plain else str(name)


def settings_of(thing: Any) -> dict[str, Setting]:
    """The plain values among a thing's attributes that rules read."""
    found: dict[str, Setting] = {}
    for name, value in vars(thing).items():
        if name not in _SHOWN:
            continue
        if isinstance(value, bool | int | float | str):
            found[name] = value
        elif isinstance(value, tuple | list) and value and all(isinstance(each, int | float) for each in value):
            found[name] = ",".join(f"{each:g}" for each in value)
    return found


def _outputs(
    model: Any,
    outputs: Outputs,
    losses: list[OutputLoss],
    makers: Mapping[str, str],
    layers: Mapping[str, Any],
    path_of: Mapping[int, str],
) -> Iterable[OutputFacts]:
    said = hints(model, outputs, losses)
    from_graph = _makers_of_graph(model, outputs)
    for name in outputs.names:
        maker = from_graph.get(name)
        layer = maker if isinstance(maker, keras.Layer) else None
        if maker is None and name in makers:
            layer = layers.get(makers[name].partition("#")[0])
        path = None if layer is None else path_of.get(id(layer))
        activation = said[name].activation
        if maker is not None and layer is None:
            activation = _OPERATIONS.get(type(maker).__name__)
        if layer is not None:
            activation = _last_activation(layer, feeding(model), {id(each): each for each in layers.values()})
        units = None if layer is None else getattr(layer, "units", None) or getattr(layer, "filters", None)
        yield OutputFacts(name, path, activation, units if isinstance(units, int) else None)


def _makers_of_graph(model: Any, outputs: Outputs) -> dict[str, Any]:
    """Of a graph, the layer or operation behind each output."""
    declared = getattr(model, "output", None) if getattr(model, "outputs", None) else None
    tensors = outputs.flat(declared) if set(flatten(declared)) == set(outputs.paths) else {}
    found = {}
    for name, tensor in tensors.items():
        history = getattr(tensor, "_keras_history", None)
        operation = getattr(history, "operation", None)
        while isinstance(operation, keras.Model) and len(getattr(operation, "outputs", None) or []) == 1:
            operation = operation.outputs[0]._keras_history.operation
        if operation is not None:
            found[name] = operation
    return found


def _last_activation(layer: Any, feeds: Mapping[int, list[int]], layers: Mapping[int, Any]) -> str | None:
    """What was applied last on the way to a layer's output, past layers that change no value."""
    seen = 0
    while type(layer).__name__ in _PASS_ON and seen < 20:
        before = [layers[each] for each in feeds.get(id(layer), ()) if each in layers]
        if len(before) != 1:
            return None
        layer, seen = before[0], seen + 1
    if isinstance(layer, keras.Model):
        return None
    return activation_of(layer)


def _losses(outputs: Outputs | None, losses: list[OutputLoss]) -> Iterable[LossFacts]:
    for each in losses:
        loss = innermost(each.loss)
        function = getattr(loss, "fn", None)
        source = loss if function is None else function
        module = str(getattr(source, "__module__", None) or type(source).__module__)
        name = outputs.name_at(each.path) if outputs is not None else ""
        smoothing = getattr(loss, "label_smoothing", None)
        from_logits, ignored = getattr(loss, "from_logits", None), getattr(loss, "ignore_class", None)
        yield LossFacts(
            output=str(name),
            name=loss_name(loss),
            own=not module.startswith(("keras.", "truetap.")),
            from_logits=None if from_logits is None else bool(from_logits),
            reduction=getattr(each.loss, "reduction", None),
            weight=None if each.weight is None else float(each.weight),
            label_smoothing=float(smoothing) if isinstance(smoothing, int | float) else None,
            ignore_class=ignored if isinstance(ignored, int) else None,
        )


def _metrics(given: list[Any], outputs: tuple[str, ...]) -> Iterable[MetricFacts]:
    """The metrics, then the weighted ones, each of them for one output, by name, or by place."""
    for each in given:
        if isinstance(each, Mapping):
            by_name = each.items()
        elif isinstance(each, list | tuple) and any(isinstance(one, list | tuple) for one in each):
            by_name = dict(zip(outputs, each, strict=False)).items()
        else:
            by_name = {None: each}.items()
        for name, some in by_name:
            for one in some if isinstance(some, list | tuple) else [some]:
                yield from _metric(one, None if name is None else str(name))


def _metric(given: Any, output: str | None) -> Iterable[MetricFacts]:
    if given is None:
        return
    if isinstance(given, str):
        yield MetricFacts(output, given, "name")
    elif isinstance(given, keras.metrics.Metric):
        settings = settings_of(given)
        threshold = getattr(given, "threshold", None)
        if isinstance(threshold, int | float):
            settings["threshold"] = float(threshold)
        yield MetricFacts(output, str(given.name), type(given).__name__, settings)
    else:
        name = getattr(given, "__name__", type(given).__name__)
        yield MetricFacts(output, str(name), "function" if inspect.isfunction(given) else type(given).__name__)


def _optimizer(optimizer: Any) -> OptimizerFacts | None:
    if optimizer is None:
        return None
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    settings: dict[str, Setting] = {}
    for name in _OF_OPTIMIZERS:
        value = getattr(inner, name, None)
        if isinstance(value, bool | int | float):
            settings[name] = value
    schedule = learning_rate_schedule(inner)
    if schedule is not None:
        plain = schedule.get_config() if hasattr(schedule, "get_config") else {}
        settings |= {f"schedule/{k}": v for k, v in plain.items() if isinstance(v, bool | int | float | str)}
    return OptimizerFacts(type(inner).__name__, None if schedule is None else type(schedule).__name__, settings)
