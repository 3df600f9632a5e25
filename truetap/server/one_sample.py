"""Single samples: inputs as they are looked at, and all that was recorded of one."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from truetap import rows
from truetap.about import About
from truetap.columns import decode
from truetap.errors import IdError, NotRecordedError
from truetap.report import charts
from truetap.report.content import Sample, Shown, Value
from truetap.report.inputs import Inputs
from truetap.report.roster import few
from truetap.server.moment import Moment
from truetap.server.plain import samples_json
from truetap.tasks.labels import class_name

__all__ = ["inputs_of", "sample_page"]

Array = npt.NDArray[Any]

_MOST_VISITS = 1_000
_LONGEST_NUMBER = 20  # characters of an int64
_LISTED = ("phase", "epoch", "step", "loss")


def inputs_of(moment: Moment, phase: str, epoch: int | None, ids: Sequence[str]) -> dict[str, Any]:
    """The inputs of some samples by their ids, of those that have any.

    Returns:
        As the page takes samples, without their histories.
    """
    found = _recorded(moment, phase, ids)
    missing = [each for each in ids if each not in found]
    if missing and epoch is not None and epoch in moment.sample_epochs.get(phase, ()):
        found |= _beside(moment, phase, epoch, missing)
    return samples_json({name: Sample(name, phase, shown) for name, shown in found.items()})


def sample_page(moment: Moment, phase: str, sample_id: str) -> dict[str, Any]:
    """One sample: its inputs, and a row for each step that it was in.

    Raises:
        IdError: No recorded sample is called so.
    """
    table = _history(moment, sample_id)
    plain = moment.metadata.get("collect")
    names = About.from_json(plain).class_names if isinstance(plain, Mapping) else None
    columns, heads = _columns(table, names)
    lines = list(zip(*columns, strict=True))
    every = max(1, -(-len(lines) // _MOST_VISITS))
    visits = tuple(line for place, line in enumerate(lines) if place % every == 0 or place == len(lines) - 1)
    phases = list(dict.fromkeys(table.column("phase").to_pylist())) if "phase" in table.column_names else [""]
    epoch = table.column("epoch").to_pylist()[0] if "epoch" in table.column_names else None
    shown: dict[str, Any] = {}
    for each in dict.fromkeys([phase if phase in phases else phases[0], *phases]):
        shown = inputs_of(moment, each, epoch, [sample_id]).get(sample_id, {})
        if shown:
            break
    sample = samples_json({sample_id: Sample(sample_id, ", ".join(phases), (), heads, visits)})[sample_id]
    return {**sample, "inputs": shown.get("inputs", []), "chart": _chart(_losses(table))}


def _history(moment: Moment, sample_id: str) -> pa.Table:
    """By a number where it is one, and else, or where nobody is called so, by the string."""
    if sample_id.removeprefix("-").isdigit() and len(sample_id) <= _LONGEST_NUMBER and sample_id.isascii():
        with contextlib.suppress(IdError, OverflowError):  # else a string of digits
            return moment.history(int(sample_id))
    return moment.history(sample_id)


def _columns(table: Any, names: tuple[str, ...] | None) -> tuple[list[list[Value]], tuple[str, ...]]:
    """Columns that a person reads, and their heads."""
    heads = [name for name in _LISTED if name in table.column_names]
    columns: list[list[Value]] = [table.column(name).to_pylist() for name in heads]
    for name in table.column_names:
        kind, _, output = name.partition("/")
        end = f" {output}" if output else ""
        if kind in ("true_label", "pred_label"):
            title = "true" if kind == "true_label" else "predicted"
            columns.append([_label(each, names if not output else None) for each in table.column(name).to_pylist()])
            heads.append(title + end)
        elif (
            kind in ("y_true", "y_pred") and f"{_LABELS[kind]}{'/' if output else ''}{output}" not in table.column_names
        ):
            columns.append([_few(each) for each in table.column(name).to_pylist()])
            heads.append(("true" if kind == "y_true" else "predicted") + end)
    return columns, tuple(heads)


_LABELS = {"y_true": "true_label", "y_pred": "pred_label"}


def _label(value: Any, names: tuple[str, ...] | None) -> Value:
    if isinstance(value, int):
        return class_name(names, value)
    return _few(value)


def _few(value: Any) -> str:
    if isinstance(value, Mapping):  # a tensor whose shape changes, as it is stored
        value = value.get("data", [])
    return few(np.asarray(value))


def _losses(table: Any) -> dict[str, list[list[float]]]:
    """Pairs of epoch and loss, by phase."""
    if "loss" not in table.column_names or "phase" not in table.column_names:
        return {}
    found: dict[str, list[list[float]]] = {}
    columns = [table.column(name).to_pylist() for name in ("phase", "epoch", "loss")]
    for phase, epoch, loss in zip(*columns, strict=True):
        if loss is not None and np.isfinite(loss):
            found.setdefault(phase, []).append([epoch, loss])
    return found


def _chart(losses: dict[str, list[list[float]]]) -> dict[str, Any]:
    """The losses of each phase over the epochs."""
    lines = {phase: tuple(np.asarray(pairs, np.float64).T) for phase, pairs in losses.items() if pairs}
    if not any(len(line[0]) > 1 for line in lines.values()):
        return {}
    kept = {}
    for phase, (epochs, values) in lines.items():
        some = charts.thinned(values)
        kept[phase] = epochs[some], values[some]
    return {**charts.lines(kept, "epoch", "loss", points=True), "height": 150}


def _typed(ids: Sequence[str], kind: pa.DataType) -> dict[int | str, str]:
    """The ids as they are in a column of some type: numbers or strings."""
    if not pa.types.is_integer(kind):
        return {each: each for each in ids}
    return {int(each): each for each in ids if each.removeprefix("-").isdecimal() and len(each) <= _LONGEST_NUMBER}


def _recorded(moment: Moment, phase: str, ids: Sequence[str]) -> dict[str, tuple[Shown, ...]]:
    """Inputs that stand in tables of their own."""
    found: dict[str, dict[str, Array]] = {}
    for path in moment.inputs.paths:
        values = _looked_up(moment, phase, path, ids)
        if values:
            found[path] = values
    return Inputs(moment, phase).shown(found) if found else {}


def _looked_up(moment: Moment, phase: str, path: str, wanted: Sequence[str]) -> dict[str, Array]:
    """The inputs of these samples alone, out of a table that may be large: batch by batch, until all are found."""
    try:
        batches = moment.inputs(path, phase=phase).batches()
    except NotRecordedError:  # none of this phase
        return {}
    found: dict[str, Array] = {}
    for batch in batches:
        column = batch.column("sample_id")
        left = [name for name, each in _typed(wanted, column.type).items() if each not in found]
        if not left:
            break
        places = np.flatnonzero(np.asarray(pc.is_in(column, pa.array(left, column.type))))
        if len(places):
            kept = batch.take(pa.array(places))
            found |= _by_name(decode(kept.column("sample_id")), decode(kept.column("values")))
    return found


def _by_name(ids: Array, values: Array) -> dict[str, Array]:
    """Values by the names of their samples, of one that comes twice the first."""
    names, first = np.unique(ids, return_index=True)
    return {str(name): np.asarray(values[place]) for name, place in zip(names.tolist(), first.tolist(), strict=True)}


def _beside(moment: Moment, phase: str, epoch: int, ids: Sequence[str]) -> dict[str, tuple[Shown, ...]]:
    """Inputs that stand beside the samples, found by the ids."""
    samples = moment.samples(phase, epoch)
    columns = rows.names(samples.record_batches, "inputs")
    if not columns:
        return {}
    known = samples.ids
    typed = _typed(ids, pa.int64() if known.dtype.kind == "i" else pa.string())
    places = np.flatnonzero(np.isin(known, np.asarray(list(typed), known.dtype)))
    if not len(places):
        return {}
    batch = rows.take(rows.only(samples.record_batches, list(columns.values())), places)
    by_path = {path: _by_name(known[places], decode(batch.column(name))) for path, name in columns.items()}
    return Inputs(moment, phase).shown(by_path)
