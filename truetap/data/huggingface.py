"""`datasets.Dataset` of Hugging Face: dict batches of columns, by its own batched iteration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from truetap.data.arrays import DEFAULT_BATCH_SIZE
from truetap.data.element import LABEL_KEYS
from truetap.data.source import Drawn, Facts, as_names

__all__ = ["HuggingFaceSource", "is_hugging_face"]


def is_hugging_face(data: Any) -> bool:
    """Whether the data are a `datasets.Dataset` or `datasets.IterableDataset`."""
    return type(data).__module__.startswith("datasets.") and hasattr(data, "iter")


class HuggingFaceSource:
    """Columns by name; the labels under "label", "labels", …; class names from `ClassLabel`."""

    def __init__(self, data: Any, batch_size: int | None = None) -> None:
        self._data = data
        self._batch_size = batch_size or DEFAULT_BATCH_SIZE

    @property
    def facts(self) -> Facts:
        """Its rows, when it is not a stream."""
        rows = len(self._data) if hasattr(self._data, "__len__") else None
        features = getattr(self._data, "features", None) or {}
        label = next((features[key] for key in LABEL_KEYS if key in features), None)
        names = getattr(label, "names", None)
        return Facts(
            kind=f"datasets.{type(self._data).__name__}",
            num_batches=None if rows is None else -(-rows // self._batch_size),
            num_samples=rows,
            shuffles=False if rows is not None else None,
            fresh=True,
            class_names=as_names(names),
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches of `batch_size` rows as dicts of NumPy arrays."""
        data = self._data.with_format("numpy")
        return map(Drawn, islice(data.iter(batch_size=self._batch_size), limit))
