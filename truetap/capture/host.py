"""Rows of what came out of steps: fetched, named and laid out for the tables of a run.

All of it runs in the writer's thread, for all steps at once that wait there: what is done for each
step alone costs the training thread, which needs the same interpreter. `truetap.capture.tables`
names tables and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.backends import current
from truetap.backends.tensors import to_host
from truetap.capture.again import SeenAgain
from truetap.capture.plan import Chosen, Plan
from truetap.capture.replicas import by_replica, joined
from truetap.capture.statistics import Statistics
from truetap.capture.step import RecordedStep
from truetap.capture.tables import Identity, Keys, raw_table, reduced_rows, sample_columns
from truetap.fingerprint import join, pair
from truetap.reducers import State
from truetap.reducers.registry import listed
from truetap.store import Rows

__all__ = ["Kept", "StepRows"]

Array = npt.NDArray[Any]
Columns = dict[str, Array]


@dataclass
class Kept:
    """What is kept of one step, still on its device.

    Attributes:
        phase: The phase.
        epoch: The epoch over the run.
        step: The step over the run, within its phase.
        batch: The batch within its epoch.
        size: Samples in the batch; -1 if that can't be told.
        values: Extras by name (see `truetap.capture.extras`).
        due: Places of the taps that are due.
        limits: How many samples each tap with a cap takes, by its place.
        variables: Values of variables after the step, by the tap's place and path.
        before: The same before the step.
        scalars: Whether it is a step, with scalars of its own.
    """

    phase: str
    epoch: int
    step: int
    batch: int
    size: int
    values: dict[str, Any]
    due: set[int]
    limits: dict[int, int]
    variables: dict[int, dict[str, Any]] = field(default_factory=dict)
    before: dict[int, dict[str, Any]] = field(default_factory=dict)
    scalars: bool = True


class StepRows:
    """Makes rows of steps.

    Args:
        announce: Is told, before rows that need it, what a reader must know: the learned facts of a
            phase's outputs, or the kind and path behind a table of raw values.
        facts: Gives the former.
        ids: Gives the ids of fingerprints where the data carry ids, else None.
    """

    def __init__(
        self,
        announce: Callable[[Mapping[str, Any]], None],
        facts: Callable[[RecordedStep], Mapping[str, Any]],
        ids: Callable[[Array], Array | None],
    ) -> None:
        self._announce = announce
        self._facts = facts
        self._ids = ids
        self._tensors: dict[str, dict[str, str]] = {}
        self._statistics = Statistics()
        self._known: dict[str, Any] = {}
        self.seen_again = SeenAgain()

    def tell_again(self) -> None:
        """Lets the next rows of each phase be preceded by its facts: another call of `fit` has begun."""
        self._known.clear()

    def of(self, items: Sequence[tuple[Kept, RecordedStep]]) -> Iterator[Rows]:
        """The rows of steps that wait, in order."""
        for _, group in groupby(items, key=_alike):
            alike = list(group)
            step = alike[0][1]
            fetched = [(kept, _fetched(kept.values, step)) for kept, _ in alike]
            for _, of_a_shape in groupby(fetched, key=_shapes):
                kept, values = zip(*of_a_shape, strict=True)
                yield from self._of_alike(list(kept), list(values), step)

    def _of_alike(self, kept: list[Kept], fetched: list[dict[str, Any]], step: RecordedStep) -> Iterator[Rows]:
        """Rows of steps of one phase and epoch that have values of the same names, and samples of the same shapes."""
        plan = step.plan
        keys = Keys(kept)
        columns = {name: [values[name] for values in fetched] for name in fetched[0]}
        prints = _fingerprints(columns, step)
        if prints is not None:
            whole = join(np.concatenate(prints) if len(prints) > 1 else prints[0])
            named = columns.pop("sample_id", None)
            found = self._ids(whole) if named is None else _named(named)
            if found is None and kept[0].phase == "train":
                self.seen_again.add(kept[0].epoch, whole)
            ids = whole if found is None else found
            identity = Identity(ids, whole, [len(each) for each in prints])
            wanted = [each for each in plan.taps if each.tap.kind == "samples" and each.place in kept[0].due]
            if wanted:
                several = zip(*(_limits(kept, each, identity) for each in wanted), strict=True)
                yield self._samples(columns, identity, keys, step, [max(limits) for limits in several])
            yield from self._inputs(kept, plan, columns, keys, identity)
            yield from self._layers(kept, plan, columns, keys, identity, step)
        else:
            yield from self._layers(kept, plan, columns, keys, None, step)
        for each in plan.taps:
            for number, one in enumerate(kept):
                yield from self._variables(each, one, keys, number)
        scalars = [values for one, values in zip(kept, fetched, strict=True) if one.scalars]
        if scalars:
            yield keys.rows("scalars", keys.steps() | _scalars(kept, scalars))

    def _samples(
        self,
        columns: Mapping[str, list[Array]],
        identity: Identity,
        keys: Keys,
        step: RecordedStep,
        limits: list[int],
    ) -> Rows:
        learned, phase = step.learned, step.plan.phase
        if learned.outputs is not None and learned.outputs is not self._known.get(phase):
            self._known[phase] = learned.outputs
            self._announce(self._facts(step))
        found, said = sample_columns(columns, identity.sizes)
        for text in said:
            step.learned.say(text)
        whole = keys.samples(identity.sizes) | identity.columns() | found
        if limits != identity.sizes:
            keep = np.concatenate([np.arange(size) < n for size, n in zip(identity.sizes, limits, strict=True)])
            whole = {
                name: value.filter(pa.array(keep)) if name == "phase" else value[keep] for name, value in whole.items()
            }
        return keys.rows("samples", whole)

    def end_of(self, over: str, at: Kept, plan: Plan) -> Iterator[Rows]:
        """The rows of statistics over an epoch, or over the run, that ends."""
        keys = Keys([at])
        for each in plan.taps:
            if each.reducers and each.tap.over == over:
                found = self._statistics.take(plan.phase, each)
                if found:
                    yield reduced_rows(each.tap.kind, keys.of(0, len(found)), found, over, keys.part)

    def _inputs(
        self, kept: list[Kept], plan: Plan, columns: Mapping[str, list[Array]], keys: Keys, identity: Identity
    ) -> Iterator[Rows]:
        for each in plan.taps:
            if each.tap.kind != "inputs" or each.place not in kept[0].due:
                continue
            for name, leaves in columns.items():
                if name.startswith("x:"):
                    yield from self._raw(
                        "inputs", name[2:] or "x", leaves, _limits(kept, each, identity), keys, identity
                    )

    def _layers(
        self,
        kept: list[Kept],
        plan: Plan,
        columns: Mapping[str, list[Array]],
        keys: Keys,
        identity: Identity | None,
        step: RecordedStep,
    ) -> Iterator[Rows]:
        by_place = {each.place: each for each in plan.taps}
        written: set[tuple[str, str]] = set()
        for name, values in columns.items():
            form, colon, rest = name.partition(":")
            if form == "states" and colon:
                number, _, place = rest.partition(":")
                each = by_place[int(place)]
                for at, vector in enumerate(values):
                    states = _states(each, int(number), vector, step)
                    found = self._statistics.add(plan.phase, each, states)
                    if found:
                        yield reduced_rows(each.tap.kind, keys.of(at, len(found)), found, "batch", keys.part)
            elif form == "raw" and colon:
                place, _, key = rest.partition(":")
                each = by_place[int(place)]
                kind = each.tap.kind
                if (kind, key) in written:
                    continue
                written.add((kind, key))
                if kind == "gradients":
                    yield from self._raw(kind, key, [value[np.newaxis] for value in values], None, keys, None)
                    continue
                if kind == "tapped" and not step.learned.has_rows(
                    key, values[0], None if identity is None else _limits(kept, each, identity)[0]
                ):
                    yield from self._raw(kind, key, [value[np.newaxis] for value in values], None, keys, None)
                    continue
                cap = each.tap.samples
                values = [value[:cap] if value.ndim else value for value in values]
                sizes = [] if identity is None else [min(n, cap or n) for n in identity.sizes]
                if sizes != [len(value) if value.ndim else -1 for value in values]:
                    step.learned.say(
                        f"The {kind} of {key!r} have no row per sample (shape {values[0].shape}): they were not "
                        "recorded. Reduce them: reduce='mean'."
                    )
                else:
                    assert identity is not None  # sizes are of samples
                    yield from self._raw(kind, key, values, _limits(kept, each, identity), keys, identity)

    def _variables(self, each: Chosen, kept: Kept, keys: Keys, at: int) -> Iterator[Rows]:
        if each.place not in kept.variables:
            return
        tap = each.tap
        values = {path: to_host(value) for path, value in kept.variables[each.place].items()}
        ratios: dict[tuple[str, str], Array] = {}
        if tap.kind == "updates":
            before = {path: to_host(value) for path, value in kept.before[each.place].items()}
            with np.errstate(invalid="ignore", over="ignore"):  # of weights that are infinite
                values = {path: value - before[path] for path, value in values.items()}
            if "ratio" in listed(tap.reduce):
                ratios = {(path, "ratio"): _ratio(value, before[path]) for path, value in values.items()}
        if tap.reduce is None:
            for path, value in values.items():
                yield self._table(tap.kind, path, keys.of(at, 1) | {"values": value[np.newaxis]}, keys)
            return
        found = ratios | self._statistics.of_values(kept.phase, each, values)
        if found:
            yield reduced_rows(tap.kind, keys.of(at, len(found)), found, "batch", keys.part)

    def _raw(
        self,
        kind: str,
        path: str,
        values: list[Array],
        limits: list[int] | None,
        keys: Keys,
        identity: Identity | None,
    ) -> Iterator[Rows]:
        """Raw values, step by step: what is big must not be copied to be put together."""
        for at, value in enumerate(values):
            rows = len(value) if limits is None else limits[at]
            if not rows:
                continue
            columns = keys.of(at, rows)
            if identity is not None:
                columns |= {"position": np.arange(rows, dtype=np.int32)} | identity.columns_of(at, rows)
            yield self._table(kind, path, columns | {"values": value[:rows]}, keys)

    def _table(self, kind: str, path: str, columns: Mapping[str, Any], keys: Keys) -> Rows:
        table = raw_table(kind, path, self._tensors)
        if table not in self._tensors:
            self._tensors[table] = {"kind": kind, "path": path}
            self._announce({"tensors": dict(self._tensors)})
        return keys.rows(table, columns)


def _alike(item: tuple[Kept, RecordedStep]) -> tuple[Any, ...]:
    kept, step = item
    return id(step), kept.phase, kept.epoch, tuple(kept.values), tuple(sorted(kept.due)), kept.scalars


def _shapes(item: tuple[Kept, dict[str, Any]]) -> tuple[Any, ...]:
    """The shapes of a sample: put together, shorter sequences would be padded, and nobody could tell by how much."""
    return tuple(value.shape[1:] for value in item[1].values() if isinstance(value, np.ndarray))


def _fetched(values: Mapping[str, Any], step: RecordedStep) -> dict[str, Any]:
    """What left a step, on the host, taken apart; of several replicas put together."""
    parts = [_unpacked(current().fetch(part), step) for part in by_replica(values)]
    return parts[0] if len(parts) == 1 else joined(parts, step.plan, step.learned.say)


def _states(each: Chosen, number: int, vector: Array, step: RecordedStep) -> dict[tuple[str, str], State]:
    """The states of reducers of a batch; of several replicas a vector each, of which gradients are the same."""
    if vector.ndim == 1 or each.tap.kind == "gradients":
        return step.packing.unpack_states(number, vector if vector.ndim == 1 else vector[0])
    reducers = {reducer.name: reducer for reducer in each.reducers}
    whole, *others = (step.packing.unpack_states(number, part) for part in vector)
    for states in others:
        whole = {key: reducers[key[1]].merge(state, states[key]) for key, state in whole.items()}
    return whole


def _unpacked(values: dict[str, Array], step: RecordedStep) -> dict[str, Any]:
    """Values with packed columns and scalars taken apart."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        form, colon, rest = name.partition(":")
        if colon and form == "columns":
            found |= step.packing.unpack_columns(int(rest), value)
        elif colon and form == "scalars":
            found |= step.packing.unpack_scalars(int(rest), value)
        elif value.dtype.kind == "O" and value.ndim > 1 and form != "print":  # strings are stored one a sample
            if value.size == len(value):
                found[name] = value.reshape(-1)
            else:
                step.learned.say(
                    f"{name.removeprefix('x:')!r} has strings of shape {value.shape}: they were not recorded. "
                    "Expected: one a sample."
                )
        else:
            found[name] = value
    return found


def _named(parts: list[Array]) -> Array:
    """Ids that a loop gave: int64, or strings."""
    whole = np.concatenate(parts)
    return whole.astype(np.int64) if whole.dtype.kind in "iu" else np.asarray([_text(each) for each in whole.tolist()])


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _limits(kept: list[Kept], each: Chosen, identity: Identity) -> list[int]:
    return [one.limits.get(each.place, size) for one, size in zip(kept, identity.sizes, strict=True)]


def _fingerprints(columns: Mapping[str, list[Array]], step: RecordedStep) -> list[Array] | None:
    """The two sums of each sample, step by step: the step's own, with those that it left to be done here."""
    sums = columns.get("fingerprint")
    left = [name.partition(":")[2] for name in columns if name.startswith("print:")]
    if not left:
        return sums
    found = []
    for at, first in enumerate(columns[f"print:{left[0]}"]):
        zeros = np.zeros(len(first))  # in the place of those that the step did: they count for the salts
        x = {path: columns[f"print:{path}"][at] if path in left else zeros for path in step.learned.x_paths}
        later = pair(x, only=left)
        found.append(later if sums is None else later + sums[at])
    return found


_ALWAYS = ("learning_rate", "loss_scale")


def _scalars(kept: list[Kept], values: list[dict[str, Any]]) -> dict[str, Any]:
    def column(name: str) -> Any:
        return pa.array([_number(each.get(name)) for each in values], pa.float64())

    skipped = [_number(each.get("skipped")) for each in values]
    found: dict[str, Any] = {
        "samples": np.asarray([one.size for one in kept], np.int32),
        "loss": column("total_loss"),
        **{name: column(name) for name in _ALWAYS},
        "skipped": pa.array([None if each is None else bool(each) for each in skipped], pa.bool_()),
    }
    names = [name for name in values[0] if name.startswith("running/")]
    return found | {name: column(name) for name in names}


def _number(value: Any) -> float | None:
    if value is None or isinstance(value, float):
        return value
    return float(value) if value.size == 1 else None


def _ratio(update: Array, before: Array) -> Array:
    change, weight = (float(np.sqrt(np.sum(np.square(part, dtype=np.float64)))) for part in (update, before))
    return np.asarray(change / weight if weight else np.nan)
