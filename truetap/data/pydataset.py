"""`keras.utils.PyDataset`: each batch once, with its ids, however the dataset reshuffles.

Keras calls `__getitem__` extra times to learn shapes, and `on_epoch_end` once or twice by method;
here every batch is asked for exactly once, between one `on_epoch_begin` and one `on_epoch_end`.
`workers` are threads (for `use_multiprocessing` too: the order and the content are the same).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np

from truetap.data.source import Drawn, Facts, as_names

__all__ = ["PyDatasetSource"]


class PyDatasetSource:
    """A `PyDataset`, or one of Keras' older `Sequence`-like iterators over files and arrays.

    Ids come from a method `batch_ids(index)` if the dataset has one, or from `index_array`
    (and `filenames`) of `ImageDataGenerator`'s iterators.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    @property
    def facts(self) -> Facts:
        """Its number of batches; class names and files of Keras' own iterators."""
        data = self._data
        try:
            batches = data.num_batches
        except NotImplementedError:
            batches = None
        indices = getattr(data, "class_indices", None)
        names = sorted(indices, key=lambda name: indices[name]) if isinstance(indices, dict) else None
        files = getattr(data, "filenames", None) if hasattr(data, "index_array") else None
        return Facts(
            kind=type(data).__name__,
            num_batches=batches,
            num_samples=getattr(data, "n", None) if hasattr(data, "index_array") else None,
            infinite=batches is None,
            shuffles=getattr(data, "shuffle", None) if hasattr(data, "index_array") else None,
            class_names=as_names(names if names is not None else getattr(data, "class_names", None)),
            expected_ids=None if files is None else np.asarray(files, dtype=object),
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches 0, 1, 2, … of one pass."""
        total = self.facts.num_batches
        last = total if limit is None else limit if total is None else min(limit, total)
        indices = iter(range(last) if last is not None else count())
        self._data.on_epoch_begin()
        try:
            if getattr(self._data, "workers", 1) > 1:
                yield from self._in_threads(indices)
            else:
                yield from map(self._item, indices)
        finally:
            self._data.on_epoch_end()

    def _item(self, index: int) -> Drawn:
        element = self._data[index]
        return Drawn(element, self._ids(index))

    def _ids(self, index: int) -> Any:
        data = self._data
        if callable(getattr(data, "batch_ids", None)):
            return data.batch_ids(index)
        if getattr(data, "index_array", None) is None or getattr(data, "batch_size", None) is None:
            return None
        rows = data.index_array[index * data.batch_size : (index + 1) * data.batch_size]
        files = getattr(data, "filenames", None)
        return rows if files is None else [files[row] for row in rows]

    def _in_threads(self, indices: Iterator[int]) -> Iterator[Drawn]:
        ahead = max(1, min(self._data.workers, self._data.max_queue_size))
        with ThreadPoolExecutor(self._data.workers, thread_name_prefix="truetap-data") as pool:
            waiting: deque[Future[Drawn]] = deque()
            try:
                for index in indices:
                    waiting.append(pool.submit(self._item, index))
                    if len(waiting) > ahead:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
