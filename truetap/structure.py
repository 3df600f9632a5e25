"""Nested structures of dicts, lists and tuples, in the order the user wrote them.

Keras' own `keras.tree` sorts dictionary keys, which is how `{"z": …, "a": …}` comes to be paired
with the wrong labels; and it needs a backend. Here a leaf is known by its path, keys joined by "/".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["flatten", "is_nested", "leaves", "map_leaves", "skeleton", "unflatten"]


def is_nested(value: Any) -> bool:
    """Whether the value is a dict, list or tuple, rather than a leaf."""
    kind = type(value)
    known = _NESTED.get(kind)
    if known is None:  # remembered by type: asking an abstract class costs more than all else here
        known = _NESTED[kind] = issubclass(kind, Mapping | list | tuple)
    return known


_NESTED: dict[type[Any], bool] = {}


def items(value: Any) -> Iterator[tuple[str, Any]]:
    """The children of a nested value with their keys, in the user's order."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield str(key), child
    else:
        for index, child in enumerate(value):
            yield str(index), child


def flatten(value: Any, path: str = "") -> dict[str, Any]:
    """Leaves by path, in the user's order; a value that is itself a leaf has the path "".

    Example:
        >>> flatten({"z": 1, "a": [2, {"q": 3}]})
        {'z': 1, 'a/0': 2, 'a/1/q': 3}
    """
    if not is_nested(value):
        return {path: value}
    flat: dict[str, Any] = {}
    for key, child in items(value):
        flat.update(flatten(child, f"{path}/{key}" if path else key))
    return flat


def leaves(value: Any) -> list[Any]:
    """The leaves alone, in the user's order."""
    return list(flatten(value).values())


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """The same structure with every leaf replaced by `function(leaf)`.

    Example:
        >>> map_leaves(lambda leaf: leaf + 1, {"z": 1, "a": (2, 3)})
        {'z': 2, 'a': (3, 4)}
    """
    if not is_nested(value):
        return function(value)
    if isinstance(value, tuple):
        return tuple(map_leaves(function, child) for child in value)
    if isinstance(value, list):
        return [map_leaves(function, child) for child in value]
    return {key: map_leaves(function, child) for key, child in value.items()}


def skeleton(value: Any, path: str = "") -> Any:
    """The structure with each leaf replaced by its path: plain data that JSON can hold.

    Example:
        >>> skeleton({"z": 1, "a": [2, 3]})
        {'z': 'z', 'a': ['a/0', 'a/1']}
    """
    if not is_nested(value):
        return path
    children = {key: skeleton(child, f"{path}/{key}" if path else key) for key, child in items(value)}
    return children if isinstance(value, Mapping) else list(children.values())


def unflatten(shape: Any, flat: Mapping[str, Any]) -> Any:
    """The inverse of `flatten`: a skeleton with each path replaced by its value, None if missing."""
    return map_leaves(flat.get, shape)
