"""`run.compare(other)`: what changed between two runs.

Cost: a few passes over the pairs of one epoch of each run, and `diagnose` of both: 20 s and some 0.8 GB for a million
samples of ten classes on two cores. Of sequences memory grows with the classes that come in each. Values of layers are
not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from truetap.comparison.changes import changed_losses, no_calls
from truetap.comparison.findings import compare_findings
from truetap.comparison.matching import Matching, match
from truetap.comparison.measured import row_losses
from truetap.comparison.outputs import OutputChange, compare_output
from truetap.comparison.passes import Pass, common_passes
from truetap.comparison.result import Comparison
from truetap.comparison.settings import Trained, compare_settings
from truetap.comparison.slices import chosen_slices
from truetap.comparison.tables import metrics_table, per_class_table, slices_table
from truetap.errors import StructureError, TaskError
from truetap.facts.types import Facts

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["compare"]


def compare(
    run: Run,
    other: Run,
    *,
    phase: str | None = None,
    slices: Mapping[str, Any] | None = None,
    most: int = 100,
    resamples: int = 500,
    seed: int = 0,
) -> Comparison:
    """See `Run.compare`."""
    if resamples < 100:
        raise TaskError(
            f"An interval of 95% needs resamples. Received: {resamples}. Expected: 100 or more; 500 will do."
        )
    passes, notes = common_passes(run, other, phase)
    outputs: dict[str, OutputChange] = {}
    matching: Matching | None = None
    changed = _no_losses(np.zeros(0, np.int64))
    if passes is not None:
        names, said = _common_outputs(passes)
        matching = match(passes[0].samples, passes[1].samples)
        parts = chosen_slices(slices, matching)
        notes += [*said, *matching.notes]
        notes += [f"{each.unknown:,} ids of slice {each.name!r} are in neither run." for each in parts if each.unknown]
        for number, name in enumerate(names):
            samples = (passes[0].samples[name], passes[1].samples[name])
            outputs[name] = compare_output(name, samples, matching, parts, resamples, (seed, number))
        changed = _changed(passes, matching, outputs, most)
        notes += [note for each in outputs.values() for note in each.notes]
        empty = [each.name for each in parts for out in outputs.values() if not out.slices[each.name].metrics]
        notes += [
            f"Nothing is measured in slice {name!r}: it has no row in one of the runs." for name in dict.fromkeys(empty)
        ]
    ids = np.zeros(0, np.int64) if matching is None else matching.names[0]
    return Comparison(
        here=run.path,
        there=other.path,
        phase=None if passes is None else passes[0].phase,
        epochs=(None, None) if passes is None else (passes[0].epoch, passes[1].epoch),
        paired=matching is not None and matching.paired,
        matched=0 if matching is None else matching.shared,
        metrics=metrics_table([(name, each.whole) for name, each in outputs.items()]),
        per_class=per_class_table([(name, each.whole, each.names) for name, each in outputs.items()]),
        slices=slices_table([(name, part, it) for name, each in outputs.items() for part, it in each.slices.items()]),
        newly_right=_joined([each.right for each in outputs.values()], no_calls(ids)),
        newly_wrong=_joined([each.wrong for each in outputs.values()], no_calls(ids)),
        changed=changed,
        findings=compare_findings(run.diagnose(), other.diagnose()),
        settings=compare_settings(_trained(run), _trained(other)),
        resamples=resamples,
        seed=seed,
        notes=tuple(notes),
    )


def _common_outputs(passes: tuple[Pass, Pass]) -> tuple[list[str], list[str]]:
    here, there = (each.samples.output_names for each in passes)
    common = [name for name in here if name in there]
    if not common:
        raise StructureError(
            f"The models have no output of one name. Received: {list(here)} here, {list(there)} there. Expected: at "
            "least one that both have, or one output each."
        )
    alone = [name for name in (*here, *there) if name not in common]
    return common, [f"Outputs of one run only, left out: {', '.join(map(repr, alone))}."] if alone else []


def _changed(passes: tuple[Pass, Pass], matching: Matching, outputs: Mapping[str, OutputChange], most: int) -> pa.Table:
    first, second = (row_losses(each.samples.loss) for each in passes)
    places = next(iter(outputs.values())).places
    return changed_losses((first, second), places, matching.names[0], most)


def _no_losses(names: Any) -> pa.Table:
    none = np.zeros(0, np.int64)
    return changed_losses((None, None), (none, none), names, 0)


def _joined(tables: Sequence[pa.Table], empty: pa.Table) -> pa.Table:
    return pa.concat_tables([empty, *tables])


def _trained(run: Run) -> Trained:
    plain = run.metadata
    facts = Facts.from_json(plain["facts"]) if "facts" in plain else None
    backend = plain.get("recorder", {}).get("backend") or plain.get("collect", {}).get("backend")
    return Trained(facts, backend or None, _learning_rate(run))


def _learning_rate(run: Run) -> float | None:
    if "scalars" not in run.tables:
        return None
    table = run.scalars()
    if not {"learning_rate", "phase"} <= set(table.column_names):
        return None
    pairs = zip(table["phase"].to_pylist(), table["learning_rate"].to_pylist(), strict=True)
    return next((rate for phase, rate in pairs if phase == "train" and rate is not None), None)
