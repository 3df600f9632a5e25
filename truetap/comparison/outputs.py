"""One output in two runs: its metrics, classes, slices, and the samples that changed sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.comparison.changes import label_changes, newly
from truetap.comparison.matching import Matching, paired_rows
from truetap.comparison.measured import Measured, measure
from truetap.comparison.parts import Drawing, Part, compare_part, no_evaluation
from truetap.comparison.ranked import Bag, bag, part_of
from truetap.comparison.slices import Slice
from truetap.comparison.sums import MOST_CLASSES
from truetap.comparison.tables import ClassNames
from truetap.errors import TaskError
from truetap.evaluation import Evaluation
from truetap.samples import Samples
from truetap.tasks.task import OutputTask, Task

__all__ = ["OutputChange", "compare_output"]

Array = npt.NDArray[Any]
_TWO_CLASSES = {Task.BINARY, Task.MULTICLASS}


@dataclass(frozen=True, eq=False)
class OutputChange:
    """What changed in one output.

    Attributes:
        whole: Over all samples that are compared.
        slices: By name.
        names: Of classes.
        right: Samples newly right; as `newly` has them.
        wrong: Samples newly wrong.
        places: Rows of here and there, one beside the other.
        notes: What to know about it.
    """

    whole: Part
    slices: Mapping[str, Part]
    names: ClassNames
    right: pa.Table
    wrong: pa.Table
    places: tuple[Array, Array]
    notes: tuple[str, ...]


def compare_output(
    name: str,
    samples: tuple[Samples, Samples],
    matching: Matching,
    slices: Sequence[Slice],
    resamples: int,
    seed: tuple[int, ...],
) -> OutputChange:
    """Compares one output.

    Args:
        name: Its name.
        samples: Its rows, here and there.
        matching: Which of them are the same samples.
        slices: Parts to compare, too.
        resamples: How many resamples.
        seed: Of the random numbers.

    Raises:
        TaskError: The output means different things in the two runs.
    """
    notes: list[str] = []
    specs = _specs(name, samples, notes)
    generator = np.random.default_rng((*seed, 0))
    every = [np.arange(units) for units in matching.units]
    bags = _bags(samples, specs, every, matching, generator)
    found = [
        measure(each, spec, unit, units, None if chosen is None else _kept(chosen))
        for each, spec, unit, units, chosen in zip(
            samples, specs, (matching.here, matching.there), matching.units, bags, strict=True
        )
    ]
    measured = (found[0], found[1])
    parts = [(every[0], every[1]), *(each.units for each in slices)]
    evaluations = [
        _evaluations(each, side, unit, [part[k] for part in parts])
        for k, (each, side, unit) in enumerate(zip(samples, found, (matching.here, matching.there), strict=True))
    ]
    compared = []
    for number, (part, one, other) in enumerate(zip(parts, *evaluations, strict=True)):
        drawing = Drawing(matching.paired, resamples, (*seed, number + 1))
        some = (bags[0], bags[1]) if not number else (part_of(bags[0], part[0]), part_of(bags[1], part[1]))
        compared.append(compare_part(measured, (one, other), part, some, drawing, per_class=not number))
    labels = [_labels(each, len(side)) for each, side in zip(found, samples, strict=True)]
    places = paired_rows(matching, labels[0], labels[1])
    notes += _said(measured, (evaluations[0][0], evaluations[1][0]), compared[0], bags, places)
    names = evaluations[0][0].class_names or evaluations[1][0].class_names or ()
    return OutputChange(
        compared[0],
        {each.name: part for each, part in zip(slices, compared[1:], strict=True)},
        ClassNames(names),
        newly(name, measured, places, matching.names[0], right=True),
        newly(name, measured, places, matching.names[0], right=False),
        places,
        tuple(f"{name}: {note}" if name else note for note in notes),
    )


def _specs(
    name: str, samples: tuple[Samples, Samples], notes: list[str]
) -> tuple[OutputTask | None, OutputTask | None]:
    """What the values mean in both runs; None twice where in one of them nothing but losses can be compared."""
    found: list[OutputTask | None] = []
    for each, which in zip(samples, ("here", "there"), strict=True):
        missing = [kind for kind in ("y_true", "y_pred") if kind not in rows.column_names(each.record_batches)]
        try:
            found.append(None if missing else each.task())
        except TaskError as error:
            notes.append(f"Nothing but losses is compared: {error}")
            found.append(None)
        if missing:
            what = "labels" if missing[0] == "y_true" else "predictions"
            notes.append(f"Nothing but losses is compared: there are no {what} {which}.")
    one, other = found
    if one is None or other is None:
        return None, None
    two = {one.task, other.task} == _TWO_CLASSES and one.classes == other.classes == 2
    if (one.task is not other.task and not two) or one.classes != other.classes or one.positions != other.positions:
        raise TaskError(
            f"The output{f' {name!r}' * bool(name)} means different things in the two runs. Received: "
            f"{_words(one)} here, {_words(other)} there. Expected: one task with as many classes and axes; "
            "run.samples(…).evaluate() measures each alone."
        )
    return one, other


def _words(spec: OutputTask) -> str:
    classes = "" if spec.task is Task.REGRESSION else f" of {spec.classes} classes"
    axes = f" at each of {spec.positions} axes of positions" if spec.positions else ""
    return f"{spec.task}{classes}{axes}"


def _bags(
    samples: tuple[Samples, Samples],
    specs: tuple[OutputTask | None, OutputTask | None],
    every: Sequence[Array],
    matching: Matching,
    generator: np.random.Generator,
) -> tuple[Bag | None, Bag | None]:
    if specs[0] is None or specs[1] is None:
        return None, None
    each = [
        _scores_each(side) * math.ceil(len(side) / max(1, units))
        for side, units in zip(samples, matching.units, strict=True)
    ]
    if matching.paired:
        chosen = bag(every[0], matching.units[0], max(each), generator)
        return chosen, chosen
    bags = [bag(all_, len(all_), size, generator) for all_, size in zip(every, each, strict=True)]
    return bags[0], bags[1]


def _scores_each(samples: Samples) -> int:
    for _, y_pred, _ in samples.pairs():
        return int(np.prod(y_pred.shape[1:], dtype=np.int64))
    return 1


def _kept(chosen: Bag) -> Array:
    kept = np.zeros(chosen.numbered, bool)
    kept[chosen.units] = True
    return kept


def _evaluations(samples: Samples, measured: Measured, unit: Array, parts: Sequence[Array]) -> list[Evaluation]:
    """Each part evaluated."""
    masks = {str(number): _among(unit, part) for number, part in enumerate(parts)}
    if measured.spec is None:
        counts = [int(mask.sum()) for mask in masks.values()]
        return [no_evaluation(measured, part, count) for part, count in zip(parts, counts, strict=True)]
    if len(masks) == 1 and masks["0"].all():
        return [_single(samples.evaluate())]
    whole = _single(samples.evaluate(by=masks))
    return [whole.slices[number] for number in masks]


def _single(found: Any) -> Evaluation:
    assert isinstance(found, Evaluation)  # of one output
    return found


def _among(unit: Array, units: Array) -> Array:
    known = np.zeros(max(int(unit.max(initial=-1)), int(units.max(initial=-1))) + 2, bool)
    known[units] = True
    return known[unit]  # -1, of rows that aren't compared, is the last: False


def _labels(measured: Measured, size: int) -> Array:
    label = None if measured.calls is None else measured.calls.label
    return np.zeros(size, np.int64) if label is None or label.ndim > 1 else label


def _said(
    measured: tuple[Measured, Measured],
    evaluations: tuple[Evaluation, Evaluation],
    whole: Part,
    bags: tuple[Bag | None, Bag | None],
    places: tuple[Array, Array],
) -> list[str]:
    notes = []
    relabelled = label_changes(measured, places)
    if relabelled:
        notes.append(
            f"{relabelled:,} samples have other labels there: they are in no list of newly right or wrong ones."
        )
    names = [each.class_names for each in evaluations]
    if names[0] is not None and names[1] is not None and names[0] != names[1]:
        notes.append("The class names of the two runs differ: classes are compared by their index.")
    alone = sorted(set(evaluations[0].metrics) ^ set(evaluations[1].metrics))
    if alone:
        notes.append(f"Measured in one run only, and left out: {', '.join(alone)}.")
    spec = measured[0].spec
    if spec is not None and spec.task is not Task.REGRESSION and spec.classes > MOST_CLASSES:
        notes.append(f"No numbers by class: {spec.classes:,} classes; they are given up to {MOST_CLASSES:,}.")
    lost = [name for name, each in whole.metrics.items() if not math.isfinite(each.difference)]
    if lost:
        notes.append(f"Undefined or not finite in one of the runs: {', '.join(lost)}.")
    bare = [
        name
        for name, each in whole.metrics.items()
        if not each.interval and math.isfinite(each.here) and math.isfinite(each.there)
    ]
    if bare:
        notes.append(
            f"No interval for {', '.join(bare)}: they need more classes, dimensions or scores than are resampled, or "
            "are undefined in more than 5% of the resamples."
        )
    ranked = () if measured[0].ranked is None else measured[0].ranked.names
    shown = [name for name in ranked if name in whole.metrics and whole.metrics[name].interval]
    part = next((each for each in bags if each is not None and not each.whole), None)
    if shown and part is not None:
        notes.append(
            f"Intervals of {', '.join(shown)} are from {len(part.units):,} of {part.draws:,} samples drawn by chance, "
            "resampled as often as all (bag of little bootstraps, Kleiner et al. 2014)."
        )
    return notes
