"""`with_ids`: names that travel with the samples where a fingerprint can't, as through augmentation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from truetap.backends.tensors import all_to_host
from truetap.backends.tf_data import IdentifiedDataset, identify_dataset, is_tf_dataset
from truetap.backends.torch_data import IdentifiedLoader, is_loader
from truetap.data.arrays import ArraySource, holds_arrays
from truetap.errors import IdError
from truetap.ledger import LEDGER

__all__ = ["Identified", "apart", "recorded_ids", "with_ids"]


@dataclass(frozen=True)
class Identified:
    """Data with the rule by which their samples are named: what `with_ids` returns for most sources.

    Attributes:
        data: The data as they were given.
        ids: One id per sample, a key, or a function; as for `collect(ids=…)`.
    """

    data: Any
    ids: Any

    @property
    def elements(self) -> Any:
        """The data as they were given, for Keras; of arrays, a recorder knows the ids all the same."""
        if holds_arrays(self.data) and not isinstance(self.ids, str) and not callable(self.ids):
            x = self.data[0] if isinstance(self.data, tuple) else self.data
            LEDGER.note(np.asarray(self.ids), all_to_host(x))
        return self.data

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def apart(data: Any, ids: Any) -> tuple[Any, Any]:
    """Data and the rule by which their samples are named, where `with_ids` may have put them together.

    Raises:
        IdError: The data carry ids, and others are given.
    """
    if not isinstance(data, Identified):
        return data, ids
    if ids is not None:
        raise IdError("The data carry ids already (tt.with_ids). Received: ids=… too. Expected: one of them.")
    return data.data, data.ids


def with_ids(data: Any, ids: Any = None) -> Any:
    """Data whose samples carry ids, through shuffling and random augmentation.

    Args:
        data: A `tf.data.Dataset` before anything shuffles it (go on with `.shuffle`, `.map`,
            `.batch` on what is returned: functions see the elements without the ids); a torch
            `DataLoader` over an indexed dataset; or any other source that `collect` takes.
        ids: Names, one per sample in the order of the data: whole numbers (int64) or strings. For a
            `tf.data.Dataset` and a `DataLoader`, None numbers the samples 0, 1, 2, …. For other
            sources also the key of a dict input, or a function from a batch to its ids.

    Returns:
        An `IdentifiedDataset`, `IdentifiedLoader` or `Identified`: `collect`, `stream` and
        `check_alignment` take it in the place of the data; `.elements` is what Keras takes.

    Raises:
        DataError: The dataset shuffles already, or can't be indexed.
        IdError: No ids for a source whose samples have no number of their own.

    Example:
        >>> import numpy as np
        >>> with_ids((np.zeros((2, 3)), np.zeros(2)), ids=["a.png", "b.png"]).ids
        ['a.png', 'b.png']
    """
    if is_tf_dataset(data):
        if isinstance(ids, str) or callable(ids):
            return Identified(data, ids)
        return identify_dataset(data, ids)
    if isinstance(data, IdentifiedDataset | IdentifiedLoader | Identified):
        raise IdError("These data carry ids already. Expected: with_ids once, at the source.")
    if is_loader(data) and not (isinstance(ids, str) or callable(ids)):
        return IdentifiedLoader(data, ids)
    if ids is None and holds_arrays(data):
        ids = range(ArraySource(data).facts.num_samples or 0)
    if ids is None and not callable(getattr(data, "batch_ids", None)):
        raise IdError(
            f"The samples of a {type(data).__name__} have no number of their own. Expected: ids, one per sample "
            "in order; the key of a dict input; a function from a batch to its ids; or, for a PyDataset, a "
            "method batch_ids(index)."
        )
    return Identified(data, ids)


def recorded_ids(prints: Any) -> Any:
    """The ids of samples that went to Keras through `.elements`, by fingerprint; None where there are none."""
    return LEDGER.ids(prints)
