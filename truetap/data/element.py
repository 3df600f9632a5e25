"""How one element of a source is read: which part is x, which y, which the weights.

The rules are Keras' own for tuples. A dict element (the Hugging Face way) has its labels under a
usual name; Keras would take the whole dict for x and train without labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.backends.tensors import all_to_host, is_array, row_count
from truetap.errors import DataError, LengthError, StructureError, UnlabelledDataError, near_names
from truetap.structure import leaves, map_leaves

__all__ = ["LABEL_KEYS", "Parts", "split", "take_key"]

Array = npt.NDArray[Any]

LABEL_KEYS = ("labels", "label", "label_ids", "targets", "target")
WEIGHT_KEYS = ("sample_weight", "sample_weights")


@dataclass(frozen=True, slots=True)
class Parts:
    """One batch, read.

    Attributes:
        x: The input as the source gave it.
        y: The labels in the data's own structure.
        sample_weight: The weights, or None.
        size: The number of samples.
    """

    x: Any
    y: Any
    sample_weight: Any
    size: int

    def host_x(self) -> Any:
        """The input as NumPy arrays."""
        return all_to_host(self.x)


def split(element: Any, kind: str, *, labelled: bool = True) -> Parts:
    """Reads one element of a source.

    Args:
        element: `(x, y)`, `(x, y, sample_weight)`, or a dict with the labels under one of
            "labels", "label", "label_ids", "targets", "target".
        kind: The source's name, for messages.
        labelled: Whether labels are needed; without, y may be None.

    Raises:
        UnlabelledDataError: There is no label in it, and labels are needed.
        StructureError: A tuple of more than three parts.
        LengthError: Parts with different numbers of samples.
    """
    if not labelled and not _has_labels(element):
        parts = element[0] if isinstance(element, list | tuple) and len(element) <= 2 else element, None, None
    elif isinstance(element, Mapping):
        parts = _split_columns(dict(element), kind)
    elif isinstance(element, list | tuple):
        parts = _split_tuple(tuple(element), kind)
    elif is_array(element):
        raise _unlabelled(kind, f"a single array of shape {tuple(getattr(element, 'shape', ()))}")
    else:
        raise DataError(
            f"The {kind} gave an element that isn't a batch. Received: {type(element).__name__}. "
            "Expected: (x, y), (x, y, sample_weight), or a dict of columns with the labels."
        )
    x, y, weight = parts
    sizes = {_size(leaf) for part in (x, y, weight) for leaf in leaves(part) if leaf is not None}
    if len(sizes) != 1:
        shapes = {
            name: [tuple(leaf.shape) for leaf in leaves(part) if leaf is not None]
            for name, part in (("x", x), ("y", y), ("sample_weight", weight))
            if part is not None
        }
        raise LengthError(
            f"The parts of a batch from the {kind} have different numbers of samples. "
            f"Received: shapes {shapes}. Expected: the same first axis in x, y and sample_weight."
        )
    return Parts(x, y, weight, sizes.pop())


def _has_labels(element: Any) -> bool:
    if isinstance(element, Mapping):
        return any(key in element for key in LABEL_KEYS)
    return isinstance(element, list | tuple) and len(element) > 1 and element[1] is not None


def _split_tuple(element: tuple[Any, ...], kind: str) -> tuple[Any, Any, Any]:
    if len(element) > 3:
        raise StructureError(
            f"The {kind} gave a tuple of {len(element)} parts. Expected: (x, y) or "
            "(x, y, sample_weight). Several inputs go into one list or dict: ([x1, x2], y); ids go "
            "through ids=… or tt.with_ids(…)."
        )
    if len(element) < 2 or element[1] is None:
        raise _unlabelled(kind, f"a tuple of {len(element)} part{'s' * (len(element) != 1)}")
    x, y = (map_leaves(_as_array, part) for part in element[:2])
    weight = map_leaves(_as_array, element[2]) if len(element) == 3 else None
    return x, y, weight


def _split_columns(columns: dict[str, Any], kind: str) -> tuple[Any, Any, Any]:
    label = next((key for key in LABEL_KEYS if key in columns), None)
    if label is None:
        raise _unlabelled(kind, f"a dict with the keys {sorted(map(str, columns))}")
    columns = {key: _column(value) for key, value in columns.items()}
    y = columns.pop(label)
    weight_key = next((key for key in WEIGHT_KEYS if key in columns), None)
    weight = columns.pop(weight_key) if weight_key else None
    if not columns:
        raise StructureError(f"The {kind} gave a dict with nothing but labels ({label!r}): no input is left.")
    return columns, y, weight


def take_key(element: Any, key: str, kind: str) -> tuple[Any, Any]:
    """Takes the ids named `key` out of an element whose input, or which itself, is a dict.

    Returns:
        The ids, and the element without them.
    """
    columns = element if isinstance(element, Mapping) else None
    if columns is None and isinstance(element, list | tuple) and element:
        columns = element[0] if isinstance(element[0], Mapping) else None
    if columns is None or key not in columns:
        known = [] if columns is None else list(map(str, columns))
        raise DataError(
            f"ids={key!r} names a key of a dict, and the {kind} gave none of that name. "
            + (near_names(key, known) if known else "Received: an input that isn't a dict.")
        )
    rest = {name: value for name, value in columns.items() if name != key}
    return columns[key], rest if isinstance(element, Mapping) else (rest, *element[1:])


def _as_array(leaf: Any) -> Any:
    return leaf if leaf is None or is_array(leaf) else np.asarray(leaf)


def _column(value: Any) -> Any:
    """A column of a dict batch; lists of equally long lists are arrays (Hugging Face without format)."""
    return np.asarray(value) if isinstance(value, list | tuple) else _as_array(value)


def _size(leaf: Any) -> int:
    return row_count(leaf)


def _unlabelled(kind: str, received: str) -> UnlabelledDataError:
    return UnlabelledDataError(
        f"There are no labels in the {kind}. Received: {received}. Expected: (x, y), "
        "(x, y, sample_weight), or a dict with the labels under one of "
        f"{', '.join(map(repr, LABEL_KEYS))}. For predictions alone use model.predict; an "
        "autoencoder's target is its input: pass (x, x)."
    )
