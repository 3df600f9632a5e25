"""Layer outputs, taken while the model's own forward pass runs.

`call` is wrapped on the instances of the chosen layers only, and only while a step is traced (or,
on torch, run); the wrapper is gone when the block ends, however it ends. A layer that is called
twice has two entries, `shared` and `shared#1`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from truetap.backends.autograph import as_it_is
from truetap.structure import flatten, map_leaves

__all__ = ["applied", "observed", "owner", "replaced"]


@contextmanager
def replaced(owner: Any, **attributes: Any) -> Iterator[None]:
    """Puts attributes on an instance for the time of the block; what was there before is there after."""
    own = vars(owner)
    before = {name: own[name] for name in attributes if name in own}
    own.update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            own.pop(name, None)
        own.update(before)


@contextmanager
def applied(model: Any, optimizer: Any, given: Callable[[Sequence[Any], Sequence[Any]], None]) -> Iterator[None]:
    """Tells `given` inside the block which gradients reach an optimizer, and their variables, before it applies them.

    Args:
        model: Whose trainable variables are meant where the optimizer isn't told.
        optimizer: A Keras optimizer, or None: then nothing is watched.
        given: Takes gradients (None where there is none) and variables.
    """
    if optimizer is None:
        yield
        return
    apply = optimizer.apply

    @as_it_is
    def watched(gradients: Any, trainable_variables: Any = None) -> Any:
        gradients = list(gradients)
        given(gradients, list(model.trainable_variables if trainable_variables is None else trainable_variables))
        return apply(gradients, trainable_variables)

    with replaced(optimizer, apply=watched):
        yield


@contextmanager
def observed(
    layers: Mapping[str, Any],
    through: Callable[[str, str, Any], Any] | None = None,
    called: Callable[[str, Mapping[str, Any], Any], None] | None = None,
) -> Iterator[dict[str, Any]]:
    """Watches layers inside the block.

    Args:
        layers: The layers by path.
        through: Is given the layer's path, the key and the value of each tensor that comes out of a layer;
            what it returns goes on in its place.
        called: Is told of each call: the key, its arguments by name, and what came out.

    Yields:
        A dict that fills with tensors of the backend: key `path` for a layer's first call,
        `path#1` for its second; a layer with several outputs has `path/0`, `path/1`, ….
    """
    values: dict[str, Any] = {}
    calls = dict.fromkeys(layers, 0)

    def watch(path: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            key = f"{path}#{calls[path]}" if calls[path] else path
            calls[path] += 1
            if called is not None:
                called(key, kwargs, result)
            found = flatten(result, key)
            values.update((k, v) for k, v in found.items() if v is not None)
            if through is None:
                return result
            going_on = iter([None if v is None else through(path, k, v) for k, v in found.items()])
            return map_leaves(lambda leaf: next(going_on), result)

        return watched

    before = {path: vars(layer).get("call") for path, layer in layers.items()}
    for path, layer in layers.items():
        vars(layer)["call"] = watch(path, layer.call)
    try:
        yield values
    finally:
        for path, layer in layers.items():
            if before[path] is None:
                del vars(layer)["call"]
            else:
                vars(layer)["call"] = before[path]


def owner(key: str, layers: Mapping[str, Any]) -> str | None:
    """The layer, of all that are watched, whose call a key names (`path`, `path#1`, `path/0`, `path#1/0`); or None."""
    path = key
    while path:
        if path in layers:
            return path
        base = path.rpartition("#")[0] if "#" in path.rpartition("/")[2] else ""
        path = base or path.rpartition("/")[0]
    return None
