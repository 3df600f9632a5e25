"""Runs a reader's batches through a model and turns each into columns of rows.

The next batch is prepared while a step runs where the backend runs ahead (JAX); a source that can't
be read again is never drawn from before its batch is asked for.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from truetap.about import About, column
from truetap.backends import Runner, current
from truetap.backends.tensors import all_to_host, is_ragged, ragged_to_padded, to_host
from truetap.data.dtypes import check_inputs, check_labels
from truetap.data.element import Parts
from truetap.data.reader import Read, Reader, notice
from truetap.errors import DataError, LayerError, ModelError, StructureError
from truetap.fingerprint import fingerprint
from truetap.pairing import Outputs, align, pair
from truetap.selection import layers_by_path, select
from truetap.step import PairStep
from truetap.structure import flatten, is_nested, leaves, map_leaves, skeleton

__all__ = ["Collector", "Columns"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]


@dataclass(slots=True)
class _Compiled:
    """A step ready to run, and what it was compiled for."""

    key: tuple[Any, ...]
    compile_loss: Callable[[], Any]
    step: PairStep
    runner: Runner


@dataclass(slots=True)
class _Started:
    """A batch whose step was started: on JAX its results may still be on their way."""

    kept: Columns
    y: Any
    sample_weight: Any
    size: int
    step: PairStep
    results: dict[str, Any]


# Steps by model: a second call on the same model traces nothing. Freed with the model.
_STEPS: weakref.WeakKeyDictionary[Any, list[_Compiled]] = weakref.WeakKeyDictionary()


class Collector:
    """One pass of a reader through a model.

    Args:
        model: A built Keras model.
        reader: The batches.
        layers: A selector of layers to take values from, or None.
        inputs: Whether to keep x.

    Raises:
        ModelError: It is no Keras model, or not built.
        LayerError: The selector matches nothing.
    """

    def __init__(self, model: Any, reader: Reader, *, layers: Any = None, inputs: bool = False) -> None:
        _check(model)
        self._model = model
        self._reader = reader
        self._inputs = inputs
        self._backend = current()
        self._layers = {} if layers is None else select(layers).resolve(model)
        self._compiled: _Compiled | None = None
        self._by_form: dict[tuple[Any, ...], _Compiled] = {}
        self._x_shape: Any = ""
        self._first: frozenset[str] | None = None  # the columns of the first batch
        self._said_missing = False
        self._columns: tuple[str, ...] | None = None

    @property
    def about(self) -> About:
        """What is known after the first batch; the notices so far."""
        facts = self._reader.facts
        step = None if self._compiled is None else self._compiled.step
        outputs = Outputs(("",), ("",), "") if step is None or step.outputs is None else step.outputs
        return About(
            outputs=outputs.names,
            shape=outputs.shape,
            x_shape=self._x_shape,
            columns=self._columns,
            hints={} if step is None else step.hints,
            class_names=facts.class_names,
            source=facts.kind,
            model=self._model.name,
            backend=self._backend.name,
            expected_steps=self._reader.expected_steps,
            expected_samples=facts.num_samples,
            notices=tuple(self._reader.notices),
        )

    def batches(self, *, ahead: bool) -> Iterator[Columns]:
        """The rows of each batch as columns by name.

        Args:
            ahead: Whether one batch may be started before the previous one is handed out.
        """
        waiting: _Started | None = None
        try:
            reads = iter(self._reader)
            while True:
                try:
                    read = next(reads, None)
                    started = None if read is None else self._start(read)
                except BaseException:  # also an interrupt: what has run is not lost
                    if waiting is not None:
                        yield self._finish(waiting)
                    raise
                if started is None:
                    break
                if waiting is not None:
                    yield self._finish(waiting)
                waiting = started
                if not ahead:
                    yield self._finish(started)
                    waiting = None
            if waiting is not None:
                yield self._finish(waiting)
        finally:
            for each in self._by_form.values():
                each.runner.close()
                each.step.forget()

    def _start(self, read: Read) -> _Started:
        """Starts the step, and takes from the batch what is kept: its memory may be filled anew."""
        parts = read.parts
        check_labels(parts.y)
        check_inputs(parts.x)
        x, self._columns = _model_inputs(self._model, parts.x)
        arguments = self._arguments(x, parts)
        form = _form(arguments)
        compiled = self._by_form.get(form)
        if compiled is None:
            compiled = self._by_form[form] = _compiled(self._model, self._layers, form)
        self._compiled = compiled
        results = self._run(compiled, arguments)
        host_x = all_to_host(x)
        prints = fingerprint(host_x) if read.fingerprints is None else read.fingerprints
        kept: Columns = {
            "sample_id": prints if read.ids is None else read.ids,
            "fingerprint": prints,
            "step": np.full(parts.size, read.step, np.int32),
        }
        if self._inputs:
            kept |= {column("inputs", p): np.array(leaf) for p, leaf in flatten(host_x).items() if leaf is not None}
            self._x_shape = skeleton(host_x)
        return _Started(kept, _kept(parts.y), _kept(parts.sample_weight), parts.size, compiled.step, results)

    def _run(self, compiled: _Compiled, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return compiled.runner(arguments)
        except Exception as error:
            if not self._layers or not self._backend.escaped(error):
                raise
            raise LayerError(
                f"A selected layer is called inside a compiled loop or branch (ops.while_loop, scan, cond), from which "
                f"no value can be taken out on {self._backend.name}. Received: layers {', '.join(self._layers)}. "
                "Expected: the layer around it."
            ) from error

    def _arguments(self, x: Any, parts: Parts) -> dict[str, Any]:
        y, y_mask = parts.y, None
        if any(is_ragged(leaf) for leaf in leaves(y)):
            y_mask = map_leaves(lambda leaf: ragged_to_padded(leaf)[1] if is_ragged(leaf) else None, y)
            y = all_to_host(y)
        weight = parts.sample_weight
        return {
            "x": map_leaves(self._argument, x),
            "y": map_leaves(self._argument, y),
            "sample_weight": None if weight is None else map_leaves(self._argument, weight),
            "y_mask": y_mask,
        }

    def _argument(self, leaf: Any) -> Any:
        fresh = self._reader.facts.fresh
        if leaf is None or (self._backend.is_native(leaf) and (fresh or not self._backend.mutable)):
            return leaf
        # a backend may use the very memory it is given, and run behind: a buffer filled anew would be read
        return to_host(leaf) if fresh else np.array(to_host(leaf))

    def _finish(self, started: _Started) -> Columns:
        step = started.step
        for said in step.to_say():
            notice(self._reader.notices, said)
        assert step.outputs is not None  # known since the step has run
        fetched = self._backend.fetch(started.results)
        for name, values in fetched.items():
            _check_rows(name, values, started.size)
        columns = started.kept | self._labels(started, step.outputs, fetched) | fetched
        if started.size:
            self._check_same_columns(columns)
        self._say_missing_labels(columns)
        return columns

    def _say_missing_labels(self, columns: Columns) -> None:
        """NaN in labels, where the loss doesn't leave it out."""
        if self._said_missing or "loss" not in columns or not np.isnan(columns["loss"]).any():
            return
        for name, values in columns.items():
            if name.split("/")[0] != "y_true" or values.dtype.kind != "f" or not np.isnan(values).any():
                continue
            self._said_missing = True
            notice(
                self._reader.notices,
                f"Labels are missing: {int(np.isnan(values).sum()):,} of {values.size:,} values of {name!r} in batch "
                f"{int(columns['step'][0])} are NaN, and so is the loss; in training the weights would be. Expected: "
                "tt.losses.Masked(loss, mask_value=float('nan')), which leaves them out.",
            )

    def _check_same_columns(self, columns: Columns) -> None:
        if self._first is None:
            self._first = frozenset(columns)
        changed = self._first ^ frozenset(columns)
        if changed:
            raise StructureError(
                f"Batch {int(columns['step'][0])} has other parts than the batches before. Received: "
                f"{sorted(set(columns) & changed)} more, {sorted(self._first & changed)} less. Expected: the same "
                "labels, weights and masks in every batch."
            )

    def _labels(self, started: _Started, outputs: Outputs, fetched: Columns) -> Columns:
        y_true, said = pair(started.y, outputs)
        if said is not None:
            notice(self._reader.notices, said)
        if started.step.ragged:
            y_true = {name: _lengthened(value, fetched.get(column("mask", name))) for name, value in y_true.items()}
        columns = {
            column("y_true", name): align(value, fetched[column("y_pred", name)].shape)
            for name, value in y_true.items()
            if value is not None
        }
        if started.sample_weight is None:
            return columns
        weights, _ = pair(started.sample_weight, outputs, what="sample weights")
        if not is_nested(started.sample_weight):  # one weight for all outputs
            return columns | {"sample_weight": started.sample_weight}
        return columns | {column("sample_weight", n): value for n, value in weights.items() if value is not None}


def _kept(structure: Any) -> Any:
    """Copies on the host: the user's arrays may change, their buffers be filled anew."""
    return map_leaves(lambda leaf: None if leaf is None else np.array(to_host(leaf)), structure)


def _lengthened(labels: Array | None, mask: Array | None) -> Array | None:
    """Ragged labels padded on to the length of the mask, which is that of the output."""
    if labels is None or mask is None or labels.ndim < 2 or labels.shape[1] >= mask.shape[1]:
        return labels
    return np.pad(labels, [(0, 0), (0, mask.shape[1] - labels.shape[1]), *[(0, 0)] * (labels.ndim - 2)])


def _check(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"A Keras model is expected first. Received: {type(model).__name__}. Expected: "
            "collect(model, data) with a keras.Model of Keras 3."
        )
    if not model.built:
        raise ModelError(
            f"The model {model.name!r} is not built, so it has no weights to predict with. Expected: a model "
            "that was trained, loaded, or called once; model.build(input_shape) or model(x) builds it."
        )


def _model_inputs(model: Any, x: Any) -> tuple[Any, tuple[str, ...] | None]:
    """What of a dict input the model takes, with the names of those columns; anything else as it is.

    A functional model takes its inputs by name. One with a single input of another name takes the
    only column there is.
    """
    inputs = getattr(model, "inputs", None)  # None for a subclassed model, which takes x as it is
    if not isinstance(x, Mapping) or not inputs:
        return x, None
    names = [tensor.name for tensor in inputs]
    if set(names) <= set(x):
        chosen = {name: x[name] for name in names}
        as_dict = len(names) > 1 or isinstance(getattr(model, "input", None), Mapping)  # a Sequential has none
        return chosen if as_dict else chosen[names[0]], tuple(names)
    if len(names) == 1 and len(x) == 1:
        return next(iter(x.values())), tuple(map(str, x))
    missing = [name for name in names if name not in x]
    raise DataError(
        f"The model's inputs are named {names}, and the data have no {missing[0]!r}. Received: columns "
        f"{sorted(map(str, x))}. Expected: a column for each input; rename them, or the Input layers."
    )


def _check_rows(name: str, values: Array, size: int) -> None:
    if values.ndim == 0 or len(values) != size:
        raise ModelError(
            f"{name!r} has no row per sample. Received: shape {values.shape} for a batch of {size} samples. "
            "Expected: the first axis to be the batch's; reduce it in the model, or leave that layer out."
        )


def _form(arguments: dict[str, Any]) -> tuple[Any, ...]:
    """Structure and ranks of a batch: what a step says of its trace holds for batches of one form."""
    labels = tuple(_width(leaf) for leaf in leaves(arguments["y"]))
    ranks = tuple((path, None if leaf is None else len(leaf.shape)) for path, leaf in flatten(arguments).items())
    return ranks, labels


def _width(y: Any) -> int | None:
    """The last extent of labels that have one for each class or number: on it depends whether a loss fits."""
    rank = 0 if y is None else len(y.shape)
    whole = rank == 2 and "int" in str(y.dtype)  # class indices of steps, whose number may change
    return None if rank < 2 or whole else int(y.shape[-1])


def _nothing() -> None:
    """In the place of a reference to the loss of a model that has none."""


def _state(model: Any) -> tuple[Any, ...]:
    """What was traced into a step besides values of variables: the layers, and what hangs on them.

    An activation, a rate or a policy that was replaced gives another state. Keras' own compiled
    functions go on with the old one until `compile`; here nothing says that a model has to be
    compiled again.
    """
    found: list[Any] = []
    for layer in [model, *layers_by_path(model).values()]:
        found += [id(layer), layer.dtype_policy.name]
        found += [
            value if type(value) in _PLAIN else id(value)
            for name, value in vars(layer).items()
            if not name.startswith(("_", "stop_")) and name not in _MOVING
        ]
    return tuple(found)


# Attributes by which Keras and torch keep track of a model that runs.
_MOVING = frozenset({"built", "history", "predict_function", "test_function", "train_function", "training"})
_PLAIN = frozenset({bool, int, float, str, bytes, type(None)})


def _compiled(model: Any, layers: Mapping[str, Any], form: tuple[Any, ...]) -> _Compiled:
    """The step for a model, reused while nothing that was traced into it has changed."""
    compile_loss = getattr(model, "_compile_loss", None)
    key = (
        form,
        tuple(layers),
        model.run_eagerly,
        model.jit_compile,
        tuple(id(variable) for variable in model.trainable_variables),
        tuple(id(variable) for variable in model.non_trainable_variables),
        _state(model),
    )
    known = _STEPS.setdefault(model, [])
    for entry in known:
        if entry.key == key and entry.compile_loss() is compile_loss:
            return entry
    step = PairStep(weakref.ref(model), layers)
    of_loss = _nothing if compile_loss is None else weakref.ref(compile_loss)  # a loss may hold the model
    entry = _Compiled(key, of_loss, step, current().compile(model, step))
    known[:] = [*known[-3:], entry]
    return entry
