"""What differs in how two runs were trained, from the facts in their manifests.

Names that Keras gave by counting (`dense_3`) are no difference: layers are put side by side by what they are, as lines
of two texts are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from truetap.facts.types import ArrayFacts, CallbackFacts, Facts, FitFacts, LayerFacts, MetricFacts, ModelFacts

__all__ = ["Setting", "Trained", "compare_settings"]


class Setting(NamedTuple):
    """Something that differs: a plain value in each run, None where it isn't there."""

    what: str
    here: Any
    there: Any


@dataclass(frozen=True, slots=True)
class Trained:
    """How a run was trained.

    Attributes:
        facts: Of the model and the latest call of fit; None of runs that have none.
        backend: Keras' backend.
        learning_rate: In the first step of training that was recorded.
    """

    facts: Facts | None
    backend: str | None = None
    learning_rate: float | None = None


def compare_settings(here: Trained, there: Trained) -> tuple[Setting, ...]:
    """What differs; in the order of model, optimizer, loss, metrics, fit, data.

    Example:
        >>> compare_settings(Trained(None, "jax"), Trained(None, "torch"))
        (Setting(what='backend', here='jax', there='torch'),)
    """
    found = [Setting("backend", here.backend, there.backend)]
    if here.facts is not None and there.facts is not None:
        one, other = here.facts.model, there.facts.model
        found += _fields("model", one, other, ("kind", "own_train_step", "untracked"))
        found.append(Setting("model/name", *(re.sub(r"_\d+$", "", each.name) for each in (one, other))))
        found += _layers(one.layers, other.layers)
        found += _outputs(one, other)
        found += _mappings("optimizer", _optimizer(one), _optimizer(other))
        found.append(Setting("optimizer/learning_rate", here.learning_rate, there.learning_rate))
        found += _losses(one, other)
        found += _mappings("metrics", _metrics(one.metrics), _metrics(other.metrics))
        found += _fit(here.facts.fit, there.facts.fit)
        found += _data(here.facts, there.facts)
    return tuple(each for each in found if not _same(each.here, each.there))


def _optimizer(model: ModelFacts) -> dict[str, Any]:
    if model.optimizer is None:
        return {}
    kept = {name: value for name, value in model.optimizer.settings.items() if name not in ("name", "learning_rate")}
    return {"kind": model.optimizer.kind, "schedule": model.optimizer.schedule, **kept}


def _outputs(here: ModelFacts, there: ModelFacts) -> Iterator[Setting]:
    one, other = ({each.name: each for each in model.outputs} for model in (here, there))
    for name in dict.fromkeys((*one, *other)):
        yield from _fields(_place("outputs", name), one.get(name), other.get(name), ("activation", "units"))


def _losses(here: ModelFacts, there: ModelFacts) -> Iterator[Setting]:
    one, other = ({each.output: each for each in model.losses} for model in (here, there))
    for output in dict.fromkeys((*one, *other)):
        yield from _fields(_place("loss", output), one.get(output), other.get(output), leave=("output",))


def _metrics(metrics: Sequence[MetricFacts]) -> dict[str, Any]:
    """Metrics as they were given: by output and name, with what they were set to."""
    found = {}
    for each in metrics:
        settings = ", ".join(f"{name}={value}" for name, value in sorted(each.settings.items()) if name != "name")
        found[f"{each.output}/{each.name}" if each.output else each.name] = f"{each.kind}({settings})"
    return found


def _fit(here: FitFacts | None, there: FitFacts | None) -> Iterator[Setting]:
    yield from _fields("fit", here, there, leave=("callbacks", "class_weight"))
    weights = [None if each is None or each.class_weight is None else dict(each.class_weight) for each in (here, there)]
    yield Setting("fit/class_weight", *weights)
    one, other = (_callbacks(() if each is None else each.callbacks) for each in (here, there))
    yield from _mappings("fit/callbacks", one, other)


def _callbacks(callbacks: Sequence[CallbackFacts]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in callbacks:
        name, again = each.kind, 2
        while name in found:
            name, again = f"{each.kind}#{again}", again + 1
        found[name] = "present"
        found |= {f"{name}/{key}": value for key, value in each.settings.items() if key != "name"}
    return found


def _data(here: Facts, there: Facts) -> Iterator[Setting]:
    one, other = (facts.phases.get("train") for facts in (here, there))
    if one is None or other is None:
        return
    for kind in ("x", "y"):
        yield from _mappings(f"data/{kind}", _arrays(getattr(one, kind)), _arrays(getattr(other, kind)))


def _arrays(arrays: Sequence[ArrayFacts]) -> dict[str, Any]:
    return {each.path: f"{each.dtype} {each.shape[1:]}" for each in arrays}


# --- layers -------------------------------------------------------------------------------------------


def _layers(here: Sequence[LayerFacts], there: Sequence[LayerFacts]) -> Iterator[Setting]:
    """Layers side by side: first those that are the same in all that counts, then those of one name or kind."""
    matcher = SequenceMatcher(None, [_look(each) for each in here], [_look(each) for each in there], autojunk=False)
    for how, one, one_end, other, other_end in matcher.get_opcodes():
        if how == "equal":
            for left, right in zip(here[one:one_end], there[other:other_end], strict=True):
                yield from _layer(left, right)
        else:
            yield from _replaced(here[one:one_end], there[other:other_end])


def _replaced(here: Sequence[LayerFacts], there: Sequence[LayerFacts]) -> Iterator[Setting]:
    matcher = SequenceMatcher(None, [_name(each) for each in here], [_name(each) for each in there], autojunk=False)
    for how, one, one_end, other, other_end in matcher.get_opcodes():
        if how == "equal":
            for left, right in zip(here[one:one_end], there[other:other_end], strict=True):
                yield from _layer(left, right)
            continue
        for left in here[one:one_end]:
            yield Setting(f"layers/{left.path}", _words(left), None)
        for right in there[other:other_end]:
            yield Setting(f"layers/{right.path}", None, _words(right))


def _layer(here: LayerFacts, there: LayerFacts) -> Iterator[Setting]:
    what = f"layers/{here.path}"
    names = ("kind", "activation", "units", "trainable", "rate", "penalty", "initializer")
    yield from _fields(what, here, there, names)
    one, other = ({name: value for name, value in each.settings.items() if name != "name"} for each in (here, there))
    yield from _mappings(what, one, other)
    shapes = [[weight.shape for weight in each.weights] for each in (here, there)]
    yield Setting(f"{what}/weights", *(tuple(each) for each in shapes))


def _look(layer: LayerFacts) -> tuple[Any, ...]:
    return (*_name(layer), layer.units, layer.activation, layer.rate)


def _name(layer: LayerFacts) -> tuple[str, str]:
    """Its kind, and its name where a person gave it."""
    own = layer.path.rpartition("/")[2]
    return layer.kind, "" if _counted(own, layer.kind) else own


def _counted(name: str, kind: str) -> bool:
    """Whether Keras made the name from the class: "dense", "dense_3", "conv2d_1"."""
    snake = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", kind).lower()
    return re.fullmatch(rf"{re.escape(snake)}(_\d+)?", name) is not None


def _words(layer: LayerFacts) -> str:
    parts = [layer.kind]
    parts += [] if layer.units is None else [f"{layer.units} units"]
    parts += [layer.activation] if layer.activation not in (None, "linear") else []
    parts += [] if layer.rate is None else [f"rate {layer.rate:g}"]
    return ", ".join(map(str, parts))


# --- values -------------------------------------------------------------------------------------------


def _fields(
    what: str, here: Any, there: Any, names: Sequence[str] | None = None, leave: Sequence[str] = ()
) -> Iterator[Setting]:
    """The fields of two dataclasses of one kind, of which one may not be there."""
    known = next((each for each in (here, there) if each is not None), None)
    if known is None:
        return
    for name in names or [each.name for each in fields(known) if each.name not in leave]:
        yield Setting(f"{what}/{name}", getattr(here, name, None), getattr(there, name, None))


def _mappings(what: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Setting]:
    for name in dict.fromkeys((*here, *there)):
        yield Setting(_place(what, name), here.get(name), there.get(name))


def _place(what: str, name: str) -> str:
    return f"{what}/{name}" if name else what


def _same(here: Any, there: Any) -> bool:
    if isinstance(here, float) and isinstance(there, float):
        return math.isclose(here, there, rel_tol=1e-6) or (math.isnan(here) and math.isnan(there))
    return bool(here == there)
