"""Which samples a report holds, and all that is shown of them: inputs, and a row for each epoch.

Sections ask for samples as they name them; what was asked for is read at the end, in one pass over each epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap import rows
from truetap.about import About
from truetap.errors import TaskError
from truetap.report.content import Sample, Shown, Value
from truetap.report.inputs import Inputs, inputs_in
from truetap.tasks import OutputTask, Task, pred_labels, true_labels
from truetap.tasks.labels import class_name

if TYPE_CHECKING:
    from truetap.run import Run
    from truetap.samples import Samples

__all__ = ["MOST", "Roster", "few", "values_of"]

Array = npt.NDArray[Any]

MOST = 500
_MOST_VISITS = 20_000  # rows of all histories; of longer ones every second epoch is left out, and so on
_MOST_NUMBERS = 4  # of a value in a history


class Roster:
    """Samples by key: "s0", "s1", …; the first 500 that are asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._keys: dict[tuple[str, int | str], str] = {}

    @property
    def full(self) -> bool:
        """Whether no other sample has a place."""
        return len(self._keys) >= MOST

    def key(self, phase: str, sample_id: int | str) -> str | None:
        """The key of a sample; None where there is no place left."""
        found = self._keys.get((phase, sample_id))
        if found is None and not self.full:
            found = self._keys[phase, sample_id] = f"s{len(self._keys)}"
        return found

    def keys(self, phase: str, ids: Iterable[int | str]) -> tuple[str, ...]:
        """The keys of those that have a place."""
        return tuple(key for each in ids if (key := self.key(phase, each)) is not None)

    def samples(self, data: Any = None) -> dict[str, Sample]:
        """All that was asked for, with inputs and histories; those of which nothing is recorded are left out.

        Args:
            data: Where inputs are looked for that were not recorded; None for nowhere.
        """
        found: dict[str, Sample] = {}
        prints: dict[str, int] = {}
        for phase, epochs in self._run.sample_epochs.items():
            wanted = {name: key for (where, name), key in self._keys.items() if where == phase}
            if wanted:
                found |= self._of_phase(phase, epochs, wanted, prints)
        if data is not None:
            found |= self._with_inputs(found, prints, data)
        return dict(sorted(found.items(), key=lambda pair: int(pair[0][1:])))

    def _of_phase(
        self, phase: str, epochs: list[int], wanted: dict[int | str, str], prints: dict[str, int]
    ) -> dict[str, Sample]:
        shown = Inputs(self._run, phase)
        tasks = _tasks(self._run.samples(phase, epochs[:1]))
        inputs: dict[str, tuple[Shown, ...]] = shown.recorded(wanted)
        visits: dict[str, list[tuple[Value, ...]]] = {key: [] for key in wanted.values()}
        for epoch in _thinned(epochs, len(wanted)):
            part = _chosen(self._run.samples(phase, epoch), wanted)
            ids = part.ids.tolist()
            if not inputs and ids:
                inputs = shown.beside(part, wanted)
            if "fingerprint" in rows.column_names(part.record_batches):
                prints |= {wanted[name]: each for name, each in zip(ids, part.fingerprints.tolist(), strict=True)}
            for name, visit in zip(ids, _visits(part, epoch, tasks), strict=True):
                visits[wanted[name]].append(visit)
        heads = ("epoch", "step", "loss", *(f"{kind}{f' {name}' * bool(name)}" for name in tasks for kind in _KINDS))
        named = {key: str(name) for name, key in wanted.items()}
        return {
            key: Sample(named[key], phase, inputs.get(key, ()), heads, tuple(seen))
            for key, seen in visits.items()
            if seen
        }

    def _with_inputs(self, found: dict[str, Sample], prints: dict[str, int], data: Any) -> dict[str, Sample]:
        """Those of which no input was recorded, with what the data have."""
        wanted: dict[int, list[str]] = {}
        for key, each in found.items():
            if not each.inputs and key in prints:
                wanted.setdefault(prints[key], []).append(key)
        if not wanted:
            return {}
        about = About.from_json(self._run.metadata.get("collect") or {})
        shown = Inputs(self._run, "").shown(inputs_in(data, wanted, about.columns))
        return {key: replace(found[key], inputs=inputs) for key, inputs in shown.items()}


_KINDS = ("true", "predicted")


def values_of(samples: Samples, output: str, ids: Collection[int | str]) -> dict[int | str, tuple[Value, Value]]:
    """What the label of some samples is and what was predicted, as a person reads them; by id."""
    part = _chosen(samples, ids)
    view = part[output] if output else part
    true, pred = _values(view, _tasks(samples)[output], rows.column_names(part.record_batches))
    return dict(zip(part.ids.tolist(), zip(true, pred, strict=True), strict=True))


def _tasks(samples: Samples) -> dict[str, OutputTask | None]:
    found: dict[str, OutputTask | None] = {}
    for name in samples.output_names:
        try:
            found[name] = samples.task(name)
        except TaskError:  # a phase without labels
            found[name] = None
    return found


def _chosen(samples: Samples, wanted: Collection[int | str]) -> Samples:
    return samples[np.flatnonzero(np.isin(samples.ids, list(wanted)))]


def _thinned(epochs: list[int], count: int) -> list[int]:
    every = max(1, -(-len(epochs) * count // _MOST_VISITS))
    return [epoch for place, epoch in enumerate(epochs) if place % every == 0 or epoch == epochs[-1]]


def _visits(part: Samples, epoch: int, tasks: dict[str, OutputTask | None]) -> list[tuple[Value, ...]]:
    count = len(part)
    if not count:
        return []
    names = rows.column_names(part.record_batches)
    loss = part.loss.tolist() if part.loss is not None else [None] * count
    columns: list[list[Value]] = [[epoch] * count, part.steps.tolist(), loss]
    for output, task in tasks.items():
        view = part[output] if output else part
        columns += _values(view, task, names)
    return list(zip(*columns, strict=True))


def _values(view: Samples, task: OutputTask | None, names: list[str]) -> list[list[Value]]:
    """True and predicted of each row: names of classes, or a few numbers."""
    pair = [view.y_true, view.y_pred]
    if task is not None and task.task not in (Task.REGRESSION, Task.MULTILABEL) and not task.positions:
        labels = true_labels(pair[0], task), pred_labels(pair[1], task)
        return [[class_name(view.class_names, int(each)) for each in side] for side in labels]
    return [[None] * len(view) if side is None else [few(each) for each in np.asarray(side)] for side in pair]


def few(value: Array) -> str:
    """The first numbers of a value, and how many there are."""
    flat = np.asarray(value).reshape(-1)
    shown = ", ".join(f"{each:.4g}" if flat.dtype.kind == "f" else str(each) for each in flat[:_MOST_NUMBERS].tolist())
    return shown if len(flat) <= _MOST_NUMBERS else f"{shown}, … ({len(flat):,} in all)"
