"""Inputs or labels that are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.breakdown import breakdown
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.diagnosis.sampled import Sampled, sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["NanInData"]

Array = npt.NDArray[Any]

_DO = "Look for them (np.isnan(x).any(axis=0)) and fill in, mask or leave out what is missing before fit."
_WHY = "One NaN in a batch makes the gradient of every weight NaN, and from then on everything is."
_EXPECTED = 7.0  # of which none is seen in one of a thousand runs
_MOST = 0.6  # of a step's rows: when weights have broken, all outputs are NaN, not some


class NanInData:
    """NaN or infinity in recorded inputs or in labels, and no output or loss that stays finite over them.

    Certain where it is seen in the data. Where the samples kept have none, the first step with outputs that are not
    finite tells: weights give NaN for all rows of a step, a missing value for its own row alone. Unless so many rows
    are concerned that some would be among the samples kept: then the model's own formula does it.
    """

    name = "nan_in_data"
    needs = ("outputs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for inputs, one for each output's labels."""
        inputs = [each for each in sampled(evidence) if not each.finite.all()]
        for some in inputs:
            if self._borne(evidence, some):
                yield self._inputs(some, Severity.NOTE, "The outputs of these samples are finite all the same.")
            else:
                yield self._inputs(some, Severity.ERROR, _WHY)
        outputs = evidence.outputs or ()
        for output in outputs:
            yield from self._labels(output)
        if not inputs and evidence.batch is None and evidence.inputs is not None:
            alone = [self._alone(evidence, output) for output in outputs]
            yield from [each for each in alone if each is not None][:1]

    def _inputs(self, some: Sampled, severity: Severity, why: str) -> Finding:
        rows = (~some.finite).reshape(len(some), -1).any(axis=1)
        share = float(1 - some.finite.mean())
        columns = (~some.finite).reshape(len(some), -1).any(axis=0)
        return Finding(
            rule=self.name,
            severity=severity,
            seen=(
                f"{int(rows.sum())} of {len(some)} samples have NaN or infinity in {some.words}, {share:.2%} of the "
                f"values, in {int(columns.sum())} of {columns.size} features."
            ),
            why=why,
            do=_DO,
            where=some.path,
            numbers={"share": share, "samples": float(rows.sum()), "features": float(columns.sum())},
            sample_ids=() if some.prints is None else tuple(map(int, some.prints[rows][:10])),
            certainty=0.97,
        )

    def _borne(self, evidence: Evidence, some: Sampled) -> bool:
        """Whether the outputs of samples with missing values are finite, and gradients: the model fills them in itself.

        A ReLU alone is no filling in: on TensorFlow it gives 0 for NaN, and hands back a gradient of NaN.
        """
        broken = breakdown(evidence)
        if broken is not None and broken.place == "derivative":
            return False
        gone = _not_finite(some.values)
        for output in evidence.outputs or ():
            rows = output.first
            bad = _not_finite(rows.y_pred)
            if some.prints is None:
                at = np.flatnonzero(gone) if len(rows) == len(some) else np.zeros(0, np.int64)
            else:
                known = np.zeros(len(rows), np.int64) if rows.prints is None else rows.prints
                at = np.flatnonzero(np.isin(known, some.prints[gone]))
            if not len(at) or bad[at].any():
                return False
        return True

    def _labels(self, output: OutputEvidence) -> Iterator[Finding]:
        rows = output.first
        if rows.truth is None or rows.truth.nonfinite == 0 or rows.y_true is None:
            return
        true = np.isfinite(np.asarray(rows.y_true, np.float64)).reshape(len(rows), -1)
        bad = ~true.all(axis=1)
        borne = rows.loss is not None and bool(np.isfinite(rows.loss[bad]).all())
        yield Finding(
            rule=self.name,
            severity=Severity.NOTE if borne else Severity.ERROR,
            seen=f"{int(bad.sum())} of {len(rows)} samples have NaN or infinity in the labels of {output.words}.",
            why="The loss leaves them out." if borne else _WHY,
            do=(
                'Leave these samples out, or mask them (tt.losses.Masked(loss, mask_value=float("nan"))): a weight of '
                "0 does not help."
            ),
            where="y",
            numbers={"share": float(1 - true.mean()), "samples": float(bad.sum())},
            output=output.name,
            sample_ids=tuple(rows.ids[bad][:10].tolist()),
            certainty=0.98,
        )

    def _alone(self, evidence: Evidence, output: OutputEvidence) -> Finding | None:
        """Some rows of the first step that has such outputs, in a training that ran well up to there."""
        rows = output.first
        bad = _not_finite(rows.y_pred)
        if not bad.any() or (rows.truth is not None and rows.truth.nonfinite):
            return None
        step = rows.steps[bad].min()
        there = rows.steps == step
        if not _sudden(rows, step) or bad[there].mean() > _MOST or there.sum() < 4 or _made_inside(evidence, step):
            return None
        kept = min((len(each) for each in sampled(evidence)), default=0)
        if kept * bad[rows.steps <= step].mean() > _EXPECTED:
            return None  # so common, it would be among the samples kept
        some = bad & there
        return Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"In step {step} the outputs of {int(some.sum())} of {int(there.sum())} samples are NaN or infinite "
                "and "
                "those of the others are not: the weights were finite, so the inputs of these samples are not."
            ),
            why=_WHY,
            do=_DO,
            numbers={"samples": float(some.sum()), "step": float(step)},
            output=output.name,
            steps=(int(step),),
            sample_ids=tuple(rows.ids[some][:10].tolist()),
            certainty=0.8,
        )


def _not_finite(values: Array) -> npt.NDArray[np.bool_]:
    """Which rows hold a value that is not finite."""
    flat = np.asarray(values, np.float64).reshape(len(values), -1)
    return np.asarray(~np.isfinite(flat).all(axis=1))


def _sudden(rows: Rows, step: int) -> bool:
    """Whether the outputs before a step were of ordinary size."""
    before = np.abs(np.asarray(rows.y_pred[rows.steps < step], np.float64))
    return not before.size or float(before.max()) < 1e6


def _made_inside(evidence: Evidence, step: int) -> bool:
    """Whether the first layer that was recorded in that step gave finite values: what is not finite came later."""
    if evidence.activations is None or not evidence.trace.calls:
        return False
    first = evidence.trace.calls[0]
    at = evidence.activations.steps.get(first, {}).get("nonfinite", np.zeros(0))
    values = evidence.activations.of_path(first, "nonfinite")
    return bool(np.any(values[at == step] == 0))
