"""Which kind of source some data are: `open_source`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from truetap.backends.tensors import loaded
from truetap.backends.tf_data import IdentifiedDataset, TFDatasetSource, is_tf_dataset
from truetap.backends.torch_data import IdentifiedLoader, LoaderSource, is_loader, is_torch_dataset
from truetap.data.arrays import ArraySource, holds_arrays
from truetap.data.huggingface import HuggingFaceSource, is_hugging_face
from truetap.data.iterables import IterableSource
from truetap.data.pydataset import PyDatasetSource
from truetap.data.source import Drawn, Facts, Source
from truetap.errors import DataError

__all__ = ["open_source"]


def open_source(
    data: Any,
    *,
    batch_size: int | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Source:
    """The source behind any data that `collect`, `stream` and `ground_truth` take.

    Args:
        data: Arrays, `(x, y[, sample_weight])` of NumPy, pandas, torch, TensorFlow or JAX;
            `tf.data.Dataset`; `keras.utils.PyDataset`; torch `DataLoader`; Grain; Hugging Face
            `datasets`; a generator, an iterator or any iterable of batches; or a function that
            returns one of these.
        batch_size: Rows per batch of arrays (32 by default); only for sources not yet batched.
        args: Positional arguments for `data` when it is a function.
        kwargs: Keyword arguments for `data` when it is a function.

    Raises:
        DataError: It is none of these, or the arguments don't fit its kind.
    """
    if _is_factory(data):
        return FactorySource(lambda: data(*args, **(kwargs or {})), batch_size)
    if args or kwargs:
        raise DataError(
            f"args and kwargs are for a function that makes the data. Received: {type(data).__name__}. "
            "Expected: the function itself, such as make_batches instead of make_batches()."
        )
    if batch_size is not None and batch_size < 1:
        raise DataError(f"batch_size is a number of rows. Received: {batch_size!r}. Expected: None, or 1 or more.")
    if isinstance(data, list) and data and all(isinstance(each, tuple) for each in data):
        return IterableSource(data, kind="list of batches")
    if is_hugging_face(data):
        return HuggingFaceSource(data, batch_size)
    if holds_arrays(data):
        return ArraySource(data, batch_size)
    if batch_size is not None:
        raise DataError(
            f"batch_size is for arrays. Received: batch_size={batch_size} with {type(data).__name__}, which "
            "makes its own batches. Expected: no batch_size; set it where the batches are made."
        )
    if isinstance(data, IdentifiedDataset | IdentifiedLoader):
        return data
    if is_tf_dataset(data):
        return TFDatasetSource(data)
    if is_loader(data):
        return LoaderSource(data)
    keras = loaded("keras")
    if keras is not None and isinstance(data, keras.utils.PyDataset):
        return PyDatasetSource(data)
    return _iterable(data)


def _iterable(data: Any) -> Source:
    if is_torch_dataset(data):
        raise DataError(
            "A torch Dataset gives single samples. Received: "
            f"{type(data).__name__}. Expected: torch.utils.data.DataLoader(dataset, batch_size=32)."
        )
    if isinstance(data, Mapping) and data and all(map(is_hugging_face, data.values())):
        raise DataError(
            f"A DatasetDict holds several datasets. Received: splits {sorted(map(str, data))}. "
            "Expected: one of them, such as data['test']."
        )
    if isinstance(data, str | bytes | Mapping) or not hasattr(data, "__iter__"):
        raise DataError(
            f"This can't be read as batches. Received: {_described(data)}. Expected: arrays (x, y), a "
            "tf.data.Dataset, keras.utils.PyDataset, torch DataLoader, Grain or Hugging Face dataset, a "
            "generator, or a function that returns one of these."
        )
    module = type(data).__module__
    if module.startswith("grain"):
        return IterableSource(data, kind=f"grain.{type(data).__name__}")
    return IterableSource(data)


def _described(data: Any) -> str:
    if data is None or isinstance(data, str | bytes | int | float):
        return repr(data)
    if isinstance(data, Mapping):
        kinds = sorted({type(value).__name__ for value in data.values()})
        return f"a {type(data).__name__} of {', '.join(kinds) or 'nothing'}"
    return type(data).__name__


def _is_factory(data: Any) -> bool:
    keras = loaded("keras")
    if keras is not None and isinstance(data, keras.Model | keras.Layer):
        raise DataError("A model or layer came in the place of the data. Expected: collect(model, data).")
    return callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "__getitem__")


class FactorySource:
    """A function that makes the data: called once per pass, so a pass can be had again."""

    def __init__(self, make: Callable[[], Any], batch_size: int | None = None) -> None:
        self._make = make
        self._batch_size = batch_size
        self._made: Source | None = open_source(make(), batch_size=batch_size)
        self._facts = replace(self._made.facts, one_shot=False)

    @property
    def facts(self) -> Facts:
        """Those of what the function returns, which can be had again."""
        return self._facts

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches of a newly made source."""
        source, self._made = self._made or open_source(self._make(), batch_size=self._batch_size), None
        return source.draw(limit)
