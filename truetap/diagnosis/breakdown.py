"""How a training's numbers ceased to be finite: in the loss, on the way back from it, or inside the model.

Which comes first is the proof. A loss that isn't finite over finite outputs is the loss' own doing. Outputs of which
only some are NaN, after an ordinary step, were made by finite weights, so the model's formula did it. Outputs that are
all NaN after a step whose loss, outputs and gradients were ordinary mean that a derivative was infinite or 0 times
infinity in that step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows

__all__ = ["Breakdown", "breakdown"]

Array = npt.NDArray[np.float64]
Place = Literal["loss", "derivative", "model"]

_ORDINARY = 1e4  # outputs and gradients beyond it may overflow in a formula that is sound
_GROWN = 10.0  # a loss so many times the first is on its way to infinity by itself


@dataclass(frozen=True)
class Breakdown:
    """Where numbers first were not finite.

    Attributes:
        place: "loss": over finite outputs and labels; "derivative": behind a finite loss; "model": of some samples.
        output: The output at which it shows.
        step: The step, over the run.
        rows: The rows concerned, of `found`.
        found: The rows of the epoch.
    """

    place: Place
    output: OutputEvidence
    step: int
    rows: npt.NDArray[np.intp]
    found: Rows


def breakdown(evidence: Evidence) -> Breakdown | None:
    """The first thing that wasn't finite and was no overflow; None where all was finite, or that can't be told."""
    for output in evidence.labelled or ():
        found = _rows(evidence, output)
        if found is not None and found.loss is not None and found.loss.dtype.kind == "f":
            told = _in(evidence, output, found)
            if told is not None:
                return told
    return None


def _rows(evidence: Evidence, output: OutputEvidence) -> Rows | None:
    """The rows of the epoch in which the loss first wasn't finite; else those of the first."""
    curve = evidence.curve
    if curve is None or curve.finite.all():
        return output.first
    epoch = int(curve.epochs[int(np.argmin(curve.finite))])
    known = evidence.sample_epochs.get("train", [])
    return evidence.rows(output.name, "train", known.index(epoch)) if epoch in known else None


def _in(evidence: Evidence, output: OutputEvidence, rows: Rows) -> Breakdown | None:
    assert rows.loss is not None
    pred = _flat(rows.y_pred)
    good_pred, good_loss = np.isfinite(pred).all(axis=1), np.isfinite(np.asarray(rows.loss, np.float64))
    good_true = np.ones(len(rows), bool) if rows.y_true is None else np.isfinite(_flat(rows.y_true)).all(axis=1)
    bad = ~(good_pred & good_loss) & good_true
    step = _bad_step(evidence, rows, bad)
    if step is None:
        return None
    here = rows.steps == step
    formula = here & bad & good_pred
    if formula.any():
        small = float(np.abs(pred[formula]).max()) < _ORDINARY
        return Breakdown("loss", output, step, np.flatnonzero(formula), rows) if small else None
    some = here & bad
    last = rows.steps == step - 1
    if some.any() and (here & good_pred).any():
        ordinary = not last.any() or _calm(evidence, rows, last & good_pred & good_loss, step)
        return Breakdown("model", output, step, np.flatnonzero(some), rows) if ordinary else None
    before = last if some.any() else rows.steps == step  # the step whose gradient was it
    if not before.any() or not (good_pred & good_loss)[before].all() or not _calm(evidence, rows, before, step):
        return None
    return Breakdown("derivative", output, int(rows.steps[before][0]), np.flatnonzero(before), rows)


def _bad_step(evidence: Evidence, rows: Rows, bad: npt.NDArray[np.bool_]) -> int | None:
    """The first step with a value or a gradient that isn't finite."""
    steps = [int(rows.steps[bad].min())] if bad.any() else []
    for path, values in ({} if evidence.gradients is None else evidence.gradients.each("nonfinite")).items():
        at = evidence.gradients.steps[path]["nonfinite"] if evidence.gradients is not None else values
        steps += [int(each) for each in at[values > 0][:1]]
    skipped = set() if evidence.curve is None else set(evidence.curve.steps[evidence.curve.skipped].tolist())
    steps = [each for each in steps if each not in skipped]  # of float16: the scale of the loss was too large
    return min(steps) if steps else None


def _calm(evidence: Evidence, rows: Rows, before: npt.NDArray[np.bool_], step: int) -> bool:
    """Whether nothing was on its way to infinity."""
    assert rows.loss is not None
    if float(np.abs(_flat(rows.y_pred)[before]).max(initial=0.0)) >= _ORDINARY:
        return False
    if evidence.curve is not None:
        early = evidence.curve.loss[evidence.curve.steps < step]
        if len(early) and np.abs(early[-1]) > _GROWN * max(np.abs(early[0]), 1.0):
            return False
    for path, norms in ({} if evidence.gradients is None else evidence.gradients.each("norm")).items():
        assert evidence.gradients is not None
        earlier = norms[(evidence.gradients.steps[path]["norm"] < step) & np.isfinite(norms)]
        if len(earlier) and earlier[-1] >= _ORDINARY:
            return False
    return True


def _flat(values: npt.NDArray[np.generic]) -> Array:
    return np.asarray(values, np.float64).reshape(len(values), -1)
