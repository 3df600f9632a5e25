"""torch's `DataLoader` as a source, and one whose samples carry their index in the dataset."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from truetap.backends.tensors import all_to_host, loaded
from truetap.data.source import Drawn, Facts, as_names
from truetap.errors import DataError
from truetap.ids import as_ids, check_unique
from truetap.ledger import LEDGER

__all__ = ["IdentifiedLoader", "LoaderSource", "is_loader"]


def is_loader(data: Any) -> bool:
    """Whether the data are a torch `DataLoader`."""
    torch = loaded("torch")
    return torch is not None and isinstance(data, torch.utils.data.DataLoader)


def is_torch_dataset(data: Any) -> bool:
    """Whether the data are a torch `Dataset`: single samples, that a `DataLoader` batches."""
    torch = loaded("torch")
    return torch is not None and isinstance(data, torch.utils.data.Dataset)


class LoaderSource:
    """A `DataLoader`, iterated once, with its own workers."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    @property
    def facts(self) -> Facts:
        """Its length, and whether its sampler keeps the dataset's order."""
        torch = loaded("torch")
        loader = self._loader
        # The sampler that a loader shows is not the one it uses when it was given a batch_sampler.
        batches = loader.batch_sampler
        plain = batches is None or type(batches) is torch.utils.data.BatchSampler
        sampler = loader.sampler if batches is None else getattr(batches, "sampler", None)
        in_order = plain and isinstance(sampler, torch.utils.data.SequentialSampler)
        stream = isinstance(loader.dataset, torch.utils.data.IterableDataset)
        dataset = loader.dataset
        return Facts(
            kind="torch DataLoader",
            num_batches=None if stream else len(loader),
            fresh=True,
            num_samples=len(dataset) if hasattr(dataset, "__len__") and not stream else None,
            shuffles=None if stream else not in_order,
            class_names=as_names(getattr(dataset, "classes", None)),
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches as torch's own tensors."""
        return map(Drawn, islice(iter(self._loader), limit))


class IdentifiedLoader:
    """A `DataLoader` over `(index, sample)`: what `tt.with_ids(loader)` returns.

    The same batches in the same kind of order, drawn by the same sampler and workers, with the
    index (or the user's id) of each sample beside it. `elements` is the user's own loader, for
    Keras.
    """

    def __init__(self, loader: Any, ids: Any = None) -> None:
        torch = loaded("torch")
        dataset = loader.dataset
        if isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__len__"):
            raise DataError(
                "tt.with_ids(loader) needs a dataset that is indexed. Received: "
                f"{type(dataset).__name__}. Expected: a map-style dataset, or ids in the batch, "
                "named by ids='key' or taken by ids=function."
            )
        if loader.batch_size is None and loader.batch_sampler is None:
            raise DataError("tt.with_ids(loader) needs a loader that batches. Received: batch_size=None.")
        self._plain = loader
        self._ids = None if ids is None else as_ids(ids, len(dataset))
        if self._ids is not None:
            check_unique(self._ids)
        self._loader = torch.utils.data.DataLoader(
            _Indexed(dataset),
            batch_sampler=loader.batch_sampler,
            num_workers=loader.num_workers,
            collate_fn=_Collate(loader.collate_fn),
            timeout=loader.timeout,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=loader.generator,
            prefetch_factor=loader.prefetch_factor,
            persistent_workers=loader.persistent_workers,
        )

    @property
    def elements(self) -> Any:
        """A `DataLoader` of the same batches, as `model.fit` takes it; a recorder knows their ids all the same."""
        return _noting(self)

    @property
    def facts(self) -> Facts:
        """As of the loader; its order doesn't matter, since ids travel."""
        plain = LoaderSource(self._plain).facts
        rows = plain.num_samples or 0
        return Facts(
            kind="torch DataLoader with ids",
            num_batches=plain.num_batches,
            fresh=True,
            num_samples=plain.num_samples,
            shuffles=plain.shuffles,
            class_names=plain.class_names,
            expected_ids=np.arange(rows) if self._ids is None else self._ids,
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches with the ids of their samples."""
        for index, element in islice(iter(self._loader), limit):
            yield Drawn(element, index if self._ids is None else self._ids[index])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._plain)

    def __len__(self) -> int:
        return len(self._plain)


def _noting(identified: IdentifiedLoader) -> Any:
    torch = loaded("torch")
    loader = identified._plain

    class NotingLoader(torch.utils.data.DataLoader):  # type: ignore[name-defined, misc, unused-ignore]
        """The user's loader, whose batches' ids are noted as they come by."""

        def __iter__(self) -> Iterator[Any]:
            for drawn in identified.draw(None):
                element = drawn.element
                x = element[0] if isinstance(element, list | tuple) else element
                LEDGER.note(np.asarray(drawn.ids), all_to_host(x))
                yield element

    return NotingLoader(loader.dataset, batch_sampler=loader.batch_sampler)


class _Indexed:
    """A map-style dataset that gives each sample with its index; picklable, for workers."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[int, Any]:
        return index, self._dataset[index]


class _Collate:
    """The user's collate function over the samples; the indices become an array."""

    def __init__(self, collate: Any) -> None:
        self._collate = collate

    def __call__(self, rows: list[tuple[int, Any]]) -> tuple[Any, Any]:
        return np.asarray([index for index, _ in rows]), self._collate([sample for _, sample in rows])
