"""Which label belongs to which output: by name, never by sorted position.

Keras flattens dicts in sorted order, so a list of labels `[z, a]` given for outputs
`{"z": …, "a": …}` meets the wrong outputs, and the loss is wrong without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.errors import StructureError, near_names
from truetap.structure import flatten, is_nested, skeleton, unflatten

__all__ = ["Outputs", "align", "declared_outputs", "pair"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of a model: their names in declared order, and their structure.

    Attributes:
        names: A name for each output; a single one has the name "".
        paths: Where each stands in the structure that the model returns.
        shape: That structure with each leaf replaced by its name; plain data.
        label: What a single output is called in the model, for labels given as a dict.
    """

    names: tuple[str, ...]
    paths: tuple[str, ...]
    shape: Any
    label: str | None = None

    def flat(self, y_pred: Any) -> dict[str, Any]:
        """The outputs by name, in declared order, from a structure in any order of its keys."""
        by_path = flatten(y_pred)
        return {name: by_path[path] for name, path in zip(self.names, self.paths, strict=True)}

    def name_at(self, path: tuple[str | int, ...]) -> Any:
        """The name of the output at a path of keys; of a path that ends early, the names below it."""
        place = self.shape
        for key in path:
            place = place[key]
        return place

    def pack(self, by_name: Mapping[str, Any]) -> Any:
        """The inverse: values by name in the model's own structure; None where there is none."""
        return unflatten(self.shape, by_name)


def declared_outputs(model: Any, y_pred: Any) -> Outputs:
    """The outputs as the model declares them.

    A functional model knows the order in which its author wrote them; the structure that a backend
    hands out may be sorted. For any other model it is the order in which `call` returned them.

    Args:
        model: The Keras model.
        y_pred: What it returned, in any structure.
    """
    declared = getattr(model, "output", None) if hasattr(model, "output_names") else None
    if declared is None or flatten(declared).keys() != flatten(y_pred).keys():
        declared = y_pred
    shape = skeleton(declared)
    known = list(getattr(model, "output_names", ()) or ())
    if not is_nested(shape):
        return Outputs(("",), ("",), "", known[0] if len(known) == 1 else None)
    flat_list = not isinstance(shape, Mapping) and not any(is_nested(child) for child in shape)
    if flat_list and len(known) == len(shape) == len(set(known)):
        return Outputs(tuple(known), tuple(flatten(shape)), list(known))
    paths = tuple(flatten(shape))
    return Outputs(paths, paths, shape)


def pair(values: Any, outputs: Outputs, *, what: str = "labels") -> tuple[dict[str, Any], str | None]:
    """Labels, or weights, by the name of the output they belong to.

    Args:
        values: An array, or a dict, list or tuple of them, as the user gave them.
        outputs: The model's outputs.
        what: What the values are, for messages.

    Returns:
        A dict with an entry for each output that has a value, and what should be said about the
        pairing, or None.

    Raises:
        StructureError: They can't be matched by name, or by declared order where they are a list.
    """
    if outputs.names == ("",):
        return {"": _only(values, outputs, what)}, None
    if not is_nested(values):
        if what != "labels":  # one weight per sample weighs every output
            return dict.fromkeys(outputs.names, values), None
        raise _mismatch(values, outputs, what)
    if isinstance(values, Mapping):
        return _by_key(values, outputs, what), None
    found = flatten(values)
    if len(found) != len(outputs.names):
        raise _mismatch(values, outputs, what)
    said = None
    top = list(outputs.shape) if isinstance(outputs.shape, Mapping) else []
    if top and sorted(top) != top:
        said = (
            f"The {what} came as a list for outputs that are a dict: they were paired in the declared order "
            f"{top}. Keras' own loss pairs them in sorted order {sorted(top)}, which trains on the wrong "
            f"{what}. Give the {what} as a dict with these keys."
        )
    return dict(zip(outputs.names, found.values(), strict=True)), said


def _only(values: Any, outputs: Outputs, what: str) -> Any:
    if not is_nested(values):
        return values
    found = flatten(values)
    if len(found) != 1:
        raise _mismatch(values, outputs, what)
    key, value = next(iter(found.items()))
    if isinstance(values, Mapping) and outputs.label is not None and key != outputs.label:
        raise StructureError(
            f"The {what} are named {key!r}, and the model's output is named {outputs.label!r}. Expected: "
            f"{{{outputs.label!r}: …}}, or the array alone."
        )
    return value


def _by_key(values: Mapping[str, Any], outputs: Outputs, what: str) -> dict[str, Any]:
    found = flatten(values)
    unknown = [key for key in found if key not in outputs.names]
    if unknown:
        raise StructureError(
            f"The {what} have a key that no output has. Received: {unknown[0]!r}. "
            f"{near_names(unknown[0], outputs.names)} Keys of the {what} are the names of the outputs."
        )
    return {name: found[name] for name in outputs.names if name in found}


def _mismatch(values: Any, outputs: Outputs, what: str) -> StructureError:
    received = skeleton(values) if is_nested(values) else "one array"
    expected = "one array" if outputs.names == ("",) else f"values for {list(outputs.names)}"
    return StructureError(
        f"The {what} don't match the model's outputs. Received: {received}. Expected: {expected}"
        + ("." if outputs.names == ("",) else ", as a dict with these keys or a list in this order.")
    )


def align(y_true: Array, y_pred_shape: tuple[int, ...]) -> Array:
    """Labels in the rank of their predictions, where only an axis of length 1 differs.

    `(n,)` beside outputs `(n, 1)` becomes `(n, 1)`, and the reverse, so that `y_pred - y_true` is
    a difference and not an n by n table. Class indices `(n,)` beside scores `(n, C)` stay.

    Example:
        >>> align(np.zeros(3), (3, 1)).shape
        (3, 1)
    """
    if y_true.ndim + 1 == len(y_pred_shape) and y_pred_shape[-1] == 1 and y_true.shape == y_pred_shape[:-1]:
        return y_true[..., np.newaxis]
    if y_true.ndim == len(y_pred_shape) + 1 and y_true.shape[-1] == 1 and y_true.shape[:-1] == y_pred_shape:
        return y_true[..., 0]
    return y_true
