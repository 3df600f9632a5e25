"""Which layers: selectors as values that can be combined, shown and counted before they are used.

A layer is known by its path, the names of the layers that hold it and its own, joined by "/":
`encoder/block1/conv`. A pattern without "/" is also held against the layer's own name. A weight is
known by its layer's path and its own name, `encoder/block1/conv/kernel`; what selects a layer selects
its weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import keras

from truetap.backends.keras_private import inner_layers
from truetap.errors import LayerError, near_names
from truetap.notebook.html import page
from truetap.notebook.objects import Listing

__all__ = ["Selector", "layers_by_path", "select", "select_variables", "variables_by_path"]

Pattern = Any  # str, re.Pattern, a layer class, a callable, a Selector, or a sequence of these


def layers_by_path(model: Any) -> dict[str, Any]:
    """Every layer of a model by its path, in the order in which they are held; inputs left out.

    A layer that is held in several places is listed once, where it is met first.
    """
    found: dict[str, Any] = {}
    seen = {id(model)}

    def visit(parent: Any, prefix: str) -> None:
        for layer in inner_layers(parent):
            if id(layer) in seen or isinstance(layer, keras.layers.InputLayer):
                continue
            seen.add(id(layer))
            path, again = f"{prefix}{layer.name}", 2
            while path in found:
                path, again = f"{prefix}{layer.name}@{again}", again + 1
            found[path] = layer
            visit(layer, f"{path}/")

    visit(model, "")
    return found


class _Owned(NamedTuple):
    """A variable, with the layer that holds it."""

    path: str
    variable: Any
    owner_path: str
    owner: Any


def variables_by_path(model: Any) -> dict[str, Any]:
    """Every variable of a model by the path of its layer and its own name."""
    return {each.path: each.variable for each in _owned(model)}


def _owned(model: Any) -> list[_Owned]:
    layers = {"": model} | layers_by_path(model)
    home: dict[int, tuple[str, Any, Any]] = {}
    for path, layer in layers.items():  # a layer comes after those that hold it: the innermost is left
        home.update({id(variable): (path, layer, variable) for variable in layer.variables})
    found: dict[str, _Owned] = {}
    for owner_path, owner, variable in home.values():
        whole = f"{owner_path}/{variable.name}" if owner_path else str(variable.name)
        path, again = whole, 2
        while path in found:
            path, again = f"{whole}@{again}", again + 1
        found[path] = _Owned(path, variable, owner_path, owner)
    return list(found.values())


def select_variables(pattern: Pattern, model: Any, *, trainable: bool) -> dict[str, Any]:
    """The variables that a pattern selects, by path.

    Args:
        pattern: All that `select` takes, held against the variable's path, its name and its layer.
        model: A built Keras model.
        trainable: Whether only those that training changes by gradients are meant.

    Raises:
        LayerError: It selects none; near names are listed.
    """
    chosen = select(pattern)
    trained = {id(variable) for variable in model.trainable_variables}
    owned = [each for each in _owned(model) if not trainable or id(each.variable) in trained]
    known = {each.path: each for each in owned}
    for literal in chosen.literals:
        if not any(_text_matches(literal, path, each) for path, each in known.items()):
            kind = "trainable weight" if trainable else "weight"
            raise LayerError(
                f"No {kind} of the model {model.name!r} matches select({literal!r}). {near_names(literal, known)}"
            )
    found = {path: each.variable for path, each in known.items() if chosen.matches(path, each)}
    if not found:
        raise LayerError(
            f"No weight of the model {model.name!r} matches {chosen!r}. {near_names(chosen.text.strip(chr(39)), known)}"
        )
    return found


@dataclass(frozen=True)
class Selector:
    """A set of layers, said by a rule: `select("conv*") & ~select(keras.layers.ReLU)`.

    Attributes:
        text: The rule in words.
        matches: Whether a layer of that path belongs to it.
        literals: Names in it that stand for themselves; one that matches nothing is an error.
    """

    text: str
    matches: Callable[[str, Any], bool]
    literals: tuple[str, ...] = ()

    def __and__(self, other: Pattern) -> Selector:
        right = select(other)
        return Selector(
            f"({self.text} & {right.text})",
            lambda path, layer: self.matches(path, layer) and right.matches(path, layer),
        )

    def __or__(self, other: Pattern) -> Selector:
        right = select(other)
        return Selector(
            f"({self.text} | {right.text})",
            lambda path, layer: self.matches(path, layer) or right.matches(path, layer),
            self.literals + right.literals,
        )

    def __invert__(self) -> Selector:
        return Selector(f"~{self.text}", lambda path, layer: not self.matches(path, layer))

    def __repr__(self) -> str:
        return f"select({self.text})"

    def _repr_html_(self) -> str:
        return page(repr(self), "select(…).show(model) lists the layers that it matches.")

    def paths(self, model: Any) -> tuple[str, ...]:
        """The paths of the model's layers that belong to it.

        Args:
            model: A built Keras model.
        """
        return tuple(path for path, layer in layers_by_path(model).items() if self.matches(path, layer))

    def show(self, model: Any) -> str:
        """A list of the layers that belong to it, with their classes; in a notebook, a table.

        Args:
            model: A built Keras model.

        Returns:
            Text that shows itself.
        """
        layers = layers_by_path(model)
        chosen = self.paths(model)
        lines = [f"{path}  ({type(layers[path]).__name__})" for path in chosen]
        head = f"{self!r}: {len(chosen)} of {len(layers)} layers"
        rows = ((path, type(layers[path]).__name__) for path in chosen)
        return Listing("\n".join([head, *lines]), head, ("path", "layer"), rows)

    def _check_literals(self, model: Any, layers: dict[str, Any], hidden: dict[str, str]) -> None:
        for literal in self.literals:
            paths = [path for path, layer in layers.items() if _text_matches(literal, path, layer)]
            if not paths:
                names = sorted({*layers, *(layer.name for layer in layers.values())})
                near = near_names(literal, names)
                raise LayerError(f"No layer of the model {model.name!r} matches select({literal!r}). {near}")
            if all(path in hidden for path in paths):
                loop = hidden[paths[0]]
                raise LayerError(
                    f"The layer {paths[0]!r} runs inside a loop over time steps of {loop!r}, from which no value can "
                    f"be taken out. Expected: the layer around it; select {loop!r}."
                )

    def resolve(self, model: Any) -> dict[str, Any]:
        """The layers that belong to it by path, or an error that names near ones.

        Args:
            model: A built Keras model.

        Raises:
            LayerError: It matches no layer, or names one whose calls can't be seen.
        """
        layers = layers_by_path(model)
        hidden = _inside_loops(layers)
        self._check_literals(model, layers, hidden)
        chosen = {path: layer for path, layer in layers.items() if self.matches(path, layer)}
        if not chosen:
            names = sorted({*layers, *(layer.name for layer in layers.values())})
            raise LayerError(
                f"No layer of the model {model.name!r} matches {self!r}. " + near_names(self.text.strip("'"), names)
            )
        seen = {path: layer for path, layer in chosen.items() if path not in hidden}
        if not seen:
            path = next(iter(chosen))
            raise LayerError(
                f"The layer {path!r} runs inside a loop over time steps of {hidden[path]!r}, from which no "
                f"value can be taken out. Expected: the layer around it; select {hidden[path]!r}."
            )
        return seen


def _inside_loops(layers: dict[str, Any]) -> dict[str, str]:
    """Layers that are called in another layer's compiled loop, with the path of that layer."""
    loops = [
        path for path, layer in layers.items() if isinstance(layer, keras.layers.RNN | keras.layers.TimeDistributed)
    ]
    return {path: loop for path in layers for loop in loops if path.startswith(f"{loop}/")}


def select(*patterns: Pattern) -> Selector:
    """Layers by name, pattern, class or rule; several are joined by "or".

    Args:
        patterns: Each a name or path, a glob ("conv*", "encoder/*"), a compiled regular expression
            (searched for in the path), a layer class, a function of a layer, or a selector.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
        >>> print(select("he*").show(model))
        select('he*'): 1 of 1 layers
        head  (Dense)
    """
    if not patterns:
        raise LayerError("select() needs a name, pattern, class or function. Received: nothing.")
    chosen = [_one(pattern) for pattern in patterns]
    whole = chosen[0]
    for other in chosen[1:]:
        whole = whole | other
    return whole


def _one(pattern: Pattern) -> Selector:
    if isinstance(pattern, Selector):
        return pattern
    if isinstance(pattern, str):
        literal = () if set(pattern) & set("*?[") else (pattern,)
        return Selector(repr(pattern), lambda path, layer: _text_matches(pattern, path, layer), literal)
    if isinstance(pattern, re.Pattern):
        return Selector(f"/{pattern.pattern}/", lambda path, layer: bool(pattern.search(path)))
    if isinstance(pattern, type):
        return Selector(pattern.__name__, lambda path, layer: isinstance(_layer(layer), pattern))
    if isinstance(pattern, keras.Layer):
        return Selector(repr(pattern.name), lambda path, layer: _layer(layer) is pattern)
    if isinstance(pattern, Sequence):
        return select(*pattern)
    if callable(pattern):
        name = getattr(pattern, "__name__", "function")
        return Selector(name, lambda path, layer: bool(pattern(_layer(layer))))
    raise LayerError(
        f"A layer is selected by name, glob, regular expression, class or function. Received: {pattern!r}."
    )


def _layer(layer: Any) -> Any:
    return layer.owner if isinstance(layer, _Owned) else layer


def _text_matches(pattern: str, path: str, layer: Any) -> bool:
    if isinstance(layer, _Owned):
        own = _text_matches(pattern, path, layer.variable)
        return own or (bool(layer.owner_path) and _text_matches(pattern, layer.owner_path, layer.owner))
    return fnmatchcase(path, pattern) or ("/" not in pattern and fnmatchcase(layer.name, pattern))
