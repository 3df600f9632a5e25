"""`check_alignment`: whether two passes over the data give the same samples in the same order.

Labels gathered in one pass and predictions from another belong together only then; for a source
that shuffles they do not, and nothing says so (0 of 64 rows, while the loss is 0.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.backends.tensors import all_to_host
from truetap.data.opening import open_source
from truetap.data.reader import Reader
from truetap.data.source import nothing_came
from truetap.errors import DataError
from truetap.fingerprint import fingerprint
from truetap.identified import Identified

__all__ = ["Alignment", "check_alignment"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two passes over the same data compare; true when their rows align.

    Attributes:
        aligned: Same samples and labels, row by row.
        same_samples: The same inputs came in both, in whatever order.
        same_labels: Each input came with the same label in both; None where inputs differ.
        rows: Rows of the first and the second pass.
        matching: Rows that hold the same input in both.
        first_difference: The first row that differs, or None.
    """

    aligned: bool
    same_samples: bool
    same_labels: bool | None
    rows: tuple[int, int]
    matching: int
    first_difference: int | None

    def __bool__(self) -> bool:
        return self.aligned

    def __str__(self) -> str:
        if self.aligned:
            return f"Two passes give the same {self.rows[0]:,} samples in the same order."
        if not self.same_samples:
            return (
                f"Two passes give different inputs ({self.rows[0]:,} and {self.rows[1]:,} rows, {self.matching:,} the "
                "same in place): the data are augmented at random, or drawn anew. Pair in one pass with "
                "tt.collect, and carry identity by tt.with_ids."
            )
        if self.same_labels is False and self.first_difference is None:
            return "Two passes give the same inputs in the same order with different labels: the labels are drawn anew."
        return (
            f"Two passes give the same samples in different orders ({self.matching:,} of {self.rows[0]:,} rows match, "
            f"the first difference is at row {self.first_difference}): labels of one pass do not belong to "
            "predictions of another. Pair in one pass with tt.collect."
        )

    __repr__ = __str__


def check_alignment(
    data: Any,
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Alignment:
    """Iterates the data twice and compares the passes row by row.

    Args:
        data: As for `collect`, but no generator object: it can't be read twice; pass the function
            that makes it.
        steps: Number of batches to compare; needed when the data have no end.
        batch_size: Rows per batch of arrays.
        args: Positional arguments for `data` when it is a function.
        kwargs: Keyword arguments for `data` when it is a function.

    Raises:
        DataError: The data can be read only once.

    Example:
        >>> bool(check_alignment((np.arange(6.0).reshape(3, 2), np.arange(3))))
        True
    """
    if isinstance(data, Identified):
        data = data.data
    source = open_source(data, batch_size=batch_size, args=args, kwargs=kwargs)
    if source.facts.one_shot:
        raise DataError(
            "A generator can be read only once, so two passes can't be compared. Expected: the function that "
            "makes it, such as check_alignment(make_batches)."
        )
    (x1, y1), (x2, y2) = (_pass(Reader(source, steps=steps)) for _ in range(2))
    common = min(len(x1), len(x2))
    same = x1[:common] == x2[:common]
    same_inputs_in_place = len(x1) == len(x2) and bool(same.all())
    same_samples = np.array_equal(np.sort(x1), np.sort(x2))
    same_labels = None
    if same_samples:
        same_labels = np.array_equal(_sorted_pairs(x1, y1), _sorted_pairs(x2, y2))
    differing = np.flatnonzero(~same)
    first = int(differing[0]) if len(differing) else (None if len(x1) == len(x2) else common)
    return Alignment(
        aligned=same_inputs_in_place and bool(same_labels) and np.array_equal(y1, y2),
        same_samples=same_samples,
        same_labels=same_labels,
        rows=(len(x1), len(x2)),
        matching=int(same.sum()),
        first_difference=first,
    )


def _sorted_pairs(x: Array, y: Array) -> Array:
    order = np.lexsort((y, x))
    return np.stack([x[order], y[order]])


def _pass(reader: Reader) -> tuple[Array, Array]:
    """Fingerprints of the inputs and of the labels of one pass."""
    inputs, labels = [], []
    for read in reader:
        inputs.append(fingerprint(read.parts.host_x()))
        labels.append(fingerprint(all_to_host(read.parts.y)))
    if not inputs:
        raise nothing_came(reader.facts.kind)
    return np.concatenate(inputs), np.concatenate(labels)
