"""`collect`, `stream` and `ground_truth`: what was true and what was predicted, in one pass.

One iteration of the data, one forward pass, paired by identity. Cost: about that of
`model.predict` on the same data, labels included.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from truetap.about import About
from truetap.backends.tensors import is_ragged, ragged_to_padded, to_host
from truetap.collector import Collector, Columns
from truetap.columns import concatenate, record_batch
from truetap.data.opening import open_source
from truetap.data.reader import Reader
from truetap.data.source import nothing_came
from truetap.engines import Call, Ray, collect_elsewhere, files_source
from truetap.errors import DataEndedEarly, DataError
from truetap.held import Held
from truetap.identified import apart
from truetap.progress import Progress
from truetap.samples import Samples
from truetap.seen import MOST_ROWS_LOOKED_AT, say_what_was_seen
from truetap.store import RunReader, RunWriter
from truetap.structure import flatten, skeleton, unflatten

__all__ = ["collect", "ground_truth", "stream"]


def collect(
    model: Any,
    data: Any,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    ids: Any = None,
    layers: Any = None,
    inputs: bool = False,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    to: str | os.PathLike[str] | None = None,
    engine: str | Ray | None = None,
    verbose: str | int = "auto",
) -> Samples:
    """The ground truth and the prediction of every sample, from any source, in one pass.

    Args:
        model: A built Keras model; compiled if `samples.loss` is wanted.
        data: `(x, y)` or `(x, y, sample_weight)` arrays of NumPy, pandas, torch, TensorFlow or JAX;
            `tf.data.Dataset`; `keras.utils.PyDataset`; torch `DataLoader`; a Grain or Hugging Face
            dataset; a generator or any iterable of batches; or a function that returns one of these. Also
            a path of Parquet files, of NumPy files, or of images in folders of their classes.
        batch_size: Rows per batch of arrays and files; 32 by default.
        steps: Number of batches to draw; needed when the data have no end. Exactly so many are
            drawn: a second call on the same generator continues where the first stopped.
        ids: What the samples are called, whole numbers or strings: one per sample in the order of
            the data; or the key of a dict input that holds them; or a function from a batch to
            them. Without, a sample is called by the fingerprint of its input; of files, by the number
            of its row in all of them, or the path of its image.
        layers: Layers whose outputs are kept: a name, a glob, a class, a `tt.select(…)`, or a list.
        inputs: Whether to keep x.
        args: Positional arguments for `data` when it is a function.
        kwargs: Keyword arguments for `data` when it is a function.
        to: A folder to write a run to; memory then stays flat at any size, and what was written
            stays when the work is interrupted. `tt.open(folder)` reads it.
        engine: None: this process. "ray", or `truetap.engines.Ray(…)` with settings: a Ray cluster, which
            gives the same rows in `to`; for arrays, files and a `ray.data.Dataset`. The model may then also
            be a function that makes it. What was interrupted, the same call goes on with.
        verbose: "auto" shows a progress bar at a terminal; 0 never, 1 always.

    Returns:
        The pairs, as `Samples`; in memory, or memory-mapped from `to`.

    Raises:
        DataError: The data can't be read as labelled batches; see its subclasses for what is wrong.
        DataEndedEarly: Fewer batches came than `steps`; what came is in the error's `samples`.
        ModelError: The model is not Keras', or not built.
        LayerError: `layers` matches nothing; near names are listed.
        RunExistsError: `to` holds a run already.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> samples = collect(model, (np.ones((6, 4)), np.zeros(6)), ids=list("abcdef"))
        >>> samples.y_true.shape, samples.y_pred.shape, list(samples.ids[:2])
        ((6, 1), (6, 1), ['a', 'b'])
    """
    if engine is not None:
        return collect_elsewhere(
            engine, model, Call(data, to, batch_size, steps, ids, layers, inputs, args, kwargs, verbose)
        )
    reader = _reader(data, batch_size, steps, ids, args, kwargs, model)
    collector = Collector(model, reader, layers=layers, inputs=inputs)
    if to is None:
        return _in_memory(collector, reader, verbose)
    return _to_disk(collector, reader, to, verbose)


def stream(
    model: Any,
    data: Any,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    ids: Any = None,
    layers: Any = None,
    inputs: bool = False,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Iterator[Samples]:
    """The same as `collect`, a batch at a time: memory for one batch, whatever the size.

    Args: as for `collect`.

    Yields:
        `Samples` of one batch each, in the order of the data.

    Raises:
        DataError, DataEndedEarly, ModelError, LayerError: As `collect`; problems of the call itself
            before the first batch.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> [len(batch) for batch in stream(model, (np.ones((40, 4)), np.zeros(40)))]
        [32, 8]
    """
    reader = _reader(data, batch_size, steps, ids, args, kwargs, model)
    collector = Collector(model, reader, layers=layers, inputs=inputs)
    return _streamed(collector, reader)


def _streamed(collector: Collector, reader: Reader) -> Iterator[Samples]:
    for batch in collector.batches(ahead=False):  # a model may be trained between two batches
        yield Samples(Held([batch]), replace(collector.about, expected_steps=None, expected_samples=None))
    _check_end(reader)


def ground_truth(
    data: Any,
    steps: int | None = None,
    *,
    batch_size: int | None = None,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """The labels alone, in the data's own structure and order, from one pass.

    Args:
        data: As for `collect`.
        steps: Number of batches to draw; needed when the data have no end.
        batch_size: Rows per batch of arrays.
        args: Positional arguments for `data` when it is a function.
        kwargs: Keyword arguments for `data` when it is a function.

    Returns:
        Arrays of shape (n, ...) in the structure of y. Labels of differing lengths (ragged, or
        padded per batch) come as a list of n arrays, without their padding where it is known.

    Raises:
        UnlabelledDataError: There are none.
        DataError: The data can't be read.

    Example:
        >>> import numpy as np
        >>> ground_truth((np.zeros((3, 2)), {"a": np.arange(3)}))
        {'a': array([0, 1, 2])}
    """
    reader = _reader(data, batch_size, steps, None, args, kwargs)
    parts: dict[str, list[Any]] = {}
    shape: Any = ""
    for read in reader:
        shape = skeleton(read.parts.y)
        for path, leaf in flatten(read.parts.y).items():
            if leaf is None:  # an output without labels
                continue
            parts.setdefault(path, []).append(ragged_to_padded(leaf) if is_ragged(leaf) else to_host(leaf))
    _check_end(reader)
    return unflatten(shape, {path: _joined(chunks) for path, chunks in parts.items()})


def _joined(chunks: list[Any]) -> Any:
    if isinstance(chunks[0], tuple):
        return [row[keep] for rows, mask in chunks for row, keep in zip(rows, mask, strict=True)]
    if len({chunk.shape[1:] for chunk in chunks}) > 1:
        return [row for chunk in chunks for row in chunk]
    return concatenate(chunks)


def _reader(
    data: Any,
    batch_size: int | None,
    steps: int | None,
    ids: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None,
    model: Any = None,
) -> Reader:
    data, ids = apart(data, ids)
    source = None if args or kwargs else files_source(data, batch_size, model, ids)
    return Reader(source or open_source(data, batch_size=batch_size, args=args, kwargs=kwargs), steps=steps, ids=ids)


def _in_memory(collector: Collector, reader: Reader, verbose: str | int) -> Samples:
    held = []
    try:
        with Progress("collect", reader.expected_steps, verbose) as bar:
            for batch in collector.batches(ahead=True):
                held.append(batch)
                bar.advance(len(batch["sample_id"]))
        _check_end(reader)
    except DataError as error:
        error.samples = Samples(Held(held), collector.about) if held else None
        raise
    samples = Samples(Held(held), collector.about, expected_ids=reader.expected_ids)
    say_what_was_seen(samples)
    return samples


def _to_disk(collector: Collector, reader: Reader, to: str | os.PathLike[str], verbose: str | int) -> Samples:
    rows = 0
    small: list[Columns] = []  # to say what was seen without reading the run again; a bounded number of rows

    def written(about: About) -> Samples:
        return Samples(RunReader(to).batches("samples"), about, expected_ids=reader.expected_ids)

    try:
        with RunWriter(to) as writer:
            with Progress("collect", reader.expected_steps, verbose) as bar:
                for batch in collector.batches(ahead=True):
                    if reader.steps_read <= 2:  # known after the first batch; notices may come with the second
                        writer.update_metadata({"collect": collector.about.to_json()})
                    writer.write("samples", record_batch(batch.items()))
                    rows += len(batch["sample_id"])
                    if rows <= MOST_ROWS_LOOKED_AT:
                        small.append({name: batch[name] for name in ("sample_id", "fingerprint", "step")})
                    bar.advance(len(batch["sample_id"]))
            _check_end(reader)
            looked_at = Samples(Held(small), collector.about, expected_ids=reader.expected_ids)
            if rows <= MOST_ROWS_LOOKED_AT:
                say_what_was_seen(looked_at)
            about = replace(collector.about, notices=tuple(looked_at.notices))
            writer.update_metadata({"collect": about.to_json()})
    except DataError as error:
        error.samples = written(collector.about) if rows else None
        raise
    return written(about)


def _check_end(reader: Reader) -> None:
    """Says what is wrong with a pass that has ended.

    Raises:
        DataError: It gave nothing.
        DataEndedEarly: It gave fewer batches than were asked for.
        IdError: It gave fewer samples than there are ids.
    """
    if reader.steps_read == 0:
        raise nothing_came(reader.facts.kind)
    if reader.missing_steps:
        raise DataEndedEarly(
            f"The {reader.facts.kind} ended after {reader.steps_read} of {reader.expected_steps} batches. Expected: as "
            "many as steps asks for; leave steps out to read to the end. What came is in this error's .samples."
        )
    reader.check_end()
