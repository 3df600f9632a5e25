"""Labels and outputs of shapes that broadcast: each label meets the outputs of other samples or steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.encoding import Encoding
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import NUMBERS
from truetap.diagnosis.loss_findings import of_losses, retold
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["ImplicitBroadcast"]

_FEWEST = 4


class ImplicitBroadcast:
    """A loss that isn't that of a sample's own label.

    With the model: `tt.check_loss` runs the loss on labels of the outputs' shape, and it must stay the same. Without:
    recorded losses of samples that are the mean over the batch's labels. Of Keras' own losses: shapes that broadcast
    after Keras has aligned their ranks, such as (n, 1) against (n, steps, 1).
    """

    name = "implicit_broadcast"
    needs = ("labelled",)
    after = ("wrong_number_of_units",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        told = set()
        for output, finding in of_losses(evidence, "implicit_broadcast", "unaligned_ranks"):
            told.add(output.name)
            yield retold(finding, self.name, output, Severity.ERROR, 0.96)
        for output in evidence.labelled or ():
            seen = _of_shapes(output) or _of_values(output)
            if output.name in told or seen is None:
                continue
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=seen,
                why="The shapes broadcast, so each label meets outputs that are not its own: training minimises that.",
                do="Give the labels the outputs' shape, or the outputs that of the labels (return_sequences=False).",
                where=f"loss {output.loss_name!r}",
                reference="keras-team/keras#19662",
                output=output.name,
                certainty=0.9,
            )


def _of_shapes(output: OutputEvidence) -> str | None:
    """Of Keras' own losses, by the shapes."""
    labels, given = Encoding(output), output.given
    if output.acting.own or output.acting.name not in NUMBERS or given is None or None in given.shape:
        return None
    count = len(output.first)
    true = (count, *(each for each in given.shape[1:] if each is not None))
    pred = (count, *labels.pred_shape)
    one, other = _aligned(true, pred)
    units = len(true) == len(pred) and one[:-1] == other[:-1]  # the last axis alone: a matter of units
    if one == other or len(one) != len(other) or units:
        return None
    if not all(a == b or 1 in (a, b) for a, b in zip(one, other, strict=True)):
        return None
    return f"The labels of {output.words} have shape {labels.given}, its outputs {labels.made}."


def _aligned(true: tuple[int, ...], pred: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The two as Keras brings them to one rank: an axis of 1 at the end goes, or comes to a vector."""
    if len(true) == len(pred) + 1 and true[-1] == 1:
        return (true, (*pred, 1)) if len(pred) == 1 else (true[:-1], pred)
    if len(pred) == len(true) + 1 and pred[-1] == 1:
        return ((*true, 1), pred) if len(true) == 1 else (true, pred[:-1])
    return true, pred


def _of_values(output: OutputEvidence) -> str | None:
    """Of a user's loss, by what was recorded of the first step: means over all labels of the batch."""
    first, given = output.first, output.given
    if not output.acting.own or first.loss is None or first.y_true is None or first.truth is None or given is None:
        return None
    if len(given.shape) != 1 or first.y_pred.ndim != 2 or first.pred.units != 1 or first.loss.dtype.kind != "f":
        return None
    batch = first.steps == first.steps[0]
    true, pred, loss = (
        np.asarray(each, np.float64)[batch].ravel() for each in (first.y_true, first.y_pred, first.loss)
    )
    if len(loss) < _FEWEST or len(true) != len(loss) or not np.isfinite(loss).all() or np.ptp(true) == 0:
        return None
    table = pred[:, np.newaxis] - true
    for name, values in (("squared", table**2), ("absolute", np.abs(table))):
        if np.allclose(loss, values.mean(axis=1), rtol=1e-3) and not np.allclose(loss, values.diagonal(), rtol=1e-2):
            return (
                f"The labels of {output.words} have shape (n,), its outputs {Encoding(output).made}, and each sample's "
                f"recorded loss is the mean {name} difference to all labels of its batch."
            )
    return None
