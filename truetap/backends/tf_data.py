"""`tf.data.Dataset` as a source, and ids that travel through its transformations."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from truetap.backends.tensors import is_ragged, is_sparse, loaded
from truetap.data.source import Drawn, Facts, as_names
from truetap.errors import DataError, IdError
from truetap.ids import as_ids, check_unique
from truetap.ledger import LEDGER
from truetap.structure import flatten

__all__ = ["IdentifiedDataset", "TFDatasetSource", "identify_dataset", "is_tf_dataset"]


def is_tf_dataset(data: Any) -> bool:
    """Whether the data are a `tf.data.Dataset`."""
    tensorflow = loaded("tensorflow")
    return tensorflow is not None and isinstance(data, tensorflow.data.Dataset)


class TFDatasetSource:
    """A `tf.data.Dataset` of batches; `image_dataset_from_directory`'s names and files are kept.

    Its files name the samples only when nothing in the pipeline shuffles.
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    @property
    def facts(self) -> Facts:
        """Cardinality, whether it shuffles, class names and files."""
        cardinality = int(self._data.cardinality().numpy())
        files = getattr(self._data, "file_paths", None)
        shuffles = _shuffles(self._data)
        return Facts(
            kind="tf.data.Dataset",
            num_batches=cardinality if cardinality >= 0 else None,
            num_samples=len(files) if files is not None else None,
            infinite=cardinality == -1,
            fresh=True,
            shuffles=shuffles,
            class_names=as_names(getattr(self._data, "class_names", None)),
            expected_ids=None if files is None or shuffles is not False else np.asarray(files, dtype=object),
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches as TensorFlow's own tensors."""
        facts = self.facts
        files = facts.expected_ids
        if files is None:
            yield from map(Drawn, _elements(self._data, limit))
            return
        start = 0
        for element in _elements(self._data, limit):
            first = element[0] if isinstance(element, tuple) else element
            size = int(first.shape[0])
            yield Drawn(element, files[start : start + size])
            start += size


def _elements(data: Any, limit: int | None) -> Iterator[Any]:
    """The elements of a dataset, at most `limit`; its iterator is let go on a thread of its own.

    Letting go of an iterator waits until TensorFlow's autotuner has slept out, for up to seconds
    (10 (2^k - 1) ms, TF 2.21): a pass would end that much later.
    """
    held = [iter(data if limit is None else data.take(limit))]
    let_go = _let_go  # at the interpreter's end a module's names are gone before its generators are
    try:
        yield from held[0]
    finally:
        let_go(held)


def _let_go(
    held: list[Any],
    thread: type[threading.Thread] = threading.Thread,
    ending: Callable[[], bool] = sys.is_finalizing,
) -> None:
    if ending():
        return
    try:
        thread(target=held.clear, name="truetap-release", daemon=True).start()
    except RuntimeError:  # the interpreter is ending: there is nobody left to wait for
        held.clear()


def _shuffles(data: Any) -> bool | None:
    """Whether a shuffle stands anywhere in the pipeline; True for what may interleave as well."""
    if data.options().deterministic is False:
        return True
    waiting, unknown = [data], False
    while waiting:
        node = waiting.pop()
        if getattr(node, "_deterministic", None) == "false":  # map(…, deterministic=False); TF 2.21
            return True
        name = type(node).__name__.lower()
        if "shuffle" in name or "interleave" in name or "random" in name or "sample" in name:
            return True
        if any(word in name for word in ("flatmap", "generator", "load", "snapshot")):
            unknown = True  # made by a function, or elsewhere
        try:
            waiting.extend(node._inputs())  # the only way to a dataset's inputs; TF 2.0 to 2.21
        except (AttributeError, NotImplementedError):
            unknown = True
    return None if unknown else False


class IdentifiedDataset:
    """A `tf.data.Dataset` whose elements carry ids through `map`, `shuffle`, `batch` and the rest.

    What `tt.with_ids(dataset)` returns. Its methods are those of `tf.data.Dataset`; functions given
    to `map` and `filter` see the elements without the ids. `elements` is the plain dataset for
    Keras.
    """

    _SAME = frozenset(
        {"batch", "cache", "prefetch", "ragged_batch", "rebatch", "repeat"}
        | {"shard", "shuffle", "skip", "take", "unbatch", "with_options"}
    )

    def __init__(self, pairs: Any, like: Any = None) -> None:
        self._pairs = pairs
        self.class_names = getattr(like, "class_names", None)

    @property
    def elements(self) -> Any:
        """The `tf.data.Dataset` without the ids, as `model.fit` takes it; a recorder knows them all the same."""
        return self._pairs.map(_noted)

    def map(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> IdentifiedDataset:
        """`tf.data.Dataset.map` over the elements; each keeps its id."""
        unpacked = _unpacked(function)
        return self._with(self._pairs.map(lambda ids, element: (ids, unpacked(element)), *args, **kwargs))

    def filter(self, predicate: Callable[..., Any], *args: Any, **kwargs: Any) -> IdentifiedDataset:
        """`tf.data.Dataset.filter` over the elements."""
        unpacked = _unpacked(predicate)
        return self._with(self._pairs.filter(lambda ids, element: unpacked(element), *args, **kwargs))

    def padded_batch(
        self, batch_size: Any, padded_shapes: Any = None, padding_values: Any = None, **kwargs: Any
    ) -> IdentifiedDataset:
        """`tf.data.Dataset.padded_batch` over the elements."""
        shapes: Any = None if padded_shapes is None else ([], padded_shapes)
        values: Any = None if padding_values is None else (None, padding_values)
        return self._with(self._pairs.padded_batch(batch_size, shapes, values, **kwargs))

    def apply(self, function: Callable[[Any], Any]) -> Any:
        """Calls `function` with this dataset, as `tf.data.Dataset.apply` does."""
        return function(self)

    def cardinality(self) -> Any:
        """`tf.data.Dataset.cardinality`."""
        return self._pairs.cardinality()

    def __getattr__(self, name: str) -> Any:
        if name in self._SAME:
            method = getattr(self._pairs, name)
            return lambda *args, **kwargs: self._with(method(*args, **kwargs))
        raise AttributeError(
            f"tf.data.Dataset.{name} can't carry ids (one element may become several, or come from "
            f"elsewhere). Use it before tt.with_ids(…), or on .elements. These carry them: apply, "
            f"filter, map, padded_batch, {', '.join(sorted(self._SAME))}."
        )

    def __iter__(self) -> Iterator[Any]:
        return (element for _, element in self._pairs)

    @property
    def facts(self) -> Facts:
        """As of a plain dataset; the order doesn't matter, since ids travel."""
        plain = TFDatasetSource(self._pairs).facts
        return Facts(
            kind="tf.data.Dataset with ids",
            num_batches=plain.num_batches,
            infinite=plain.infinite,
            fresh=True,
            shuffles=plain.shuffles,
            class_names=as_names(self.class_names),
        )

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """Batches with their ids."""
        for ids, element in _elements(self._pairs, limit):
            if ids.shape.rank == 0:
                raise IdError(
                    "tt.with_ids(dataset) gives an id to each element, and its elements were not batched after "
                    "it. Expected: tt.with_ids(dataset).batch(…), with one sample per element before."
                )
            yield Drawn(element, ids.numpy())

    def _with(self, pairs: Any) -> IdentifiedDataset:
        return IdentifiedDataset(pairs, like=self)


def _noted(ids: Any, element: Any) -> Any:
    """The element, once its ids stand in the ledger."""
    tensorflow = loaded("tensorflow")
    if ids.shape.rank == 0:  # single elements, that are batched later
        return element
    x = element[0] if isinstance(element, tuple) else element
    leaves = {path: leaf for path, leaf in flatten(x).items() if leaf is not None}
    dense = [leaf.to_tensor() if is_ragged(leaf) else leaf for leaf in leaves.values()]
    if any(is_sparse(leaf) for leaf in dense):
        return element

    def note(names: Any, *arrays: Any) -> Any:
        as_text = np.asarray([name.decode() for name in names]) if names.dtype.kind in "OS" else names
        LEDGER.note(as_text, dict(zip(leaves, arrays, strict=True)))
        return np.int64(0)

    done = tensorflow.numpy_function(note, [ids, *dense], tensorflow.int64)
    with tensorflow.control_dependencies([done]):
        return tensorflow.nest.map_structure(tensorflow.identity, element)


def _unpacked(function: Callable[..., Any]) -> Callable[[Any], Any]:
    return lambda element: function(*element) if isinstance(element, tuple) else function(element)


def identify_dataset(data: Any, ids: Any) -> IdentifiedDataset:
    """Elements numbered in their order, or named by `ids`, before anything shuffles them."""
    tensorflow = loaded("tensorflow")
    if _shuffles(data) is not False:
        raise DataError(
            "tt.with_ids(dataset) numbers the elements in their order, and this dataset already "
            "shuffles (or its order can't be told). Put with_ids first: "
            "tt.with_ids(tf.data.Dataset.from_tensor_slices(…)).shuffle(…).map(…).batch(…)."
        )
    if ids is None:
        return IdentifiedDataset(data.enumerate(), like=data)
    names, rows = as_ids(ids), int(data.cardinality())
    if rows >= 0 and rows != len(names):
        raise IdError(
            f"There are {len(names)} ids for {rows} elements. Expected: one id per element, in their "
            "order. If the elements are batches already, apply tt.with_ids before .batch(…)."
        )
    check_unique(names)
    named = tensorflow.data.Dataset.from_tensor_slices(names)
    return IdentifiedDataset(tensorflow.data.Dataset.zip((named, data)), like=data)
