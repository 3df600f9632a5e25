"""Sample weights that are labels, in the third place of what `fit` got."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.encoding import Encoding, brief
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["WeightsAreLabels"]

_EVEN = 0.3  # the rarest weight over the commonest; of counts, large ones are rare
_FEWEST = 20
_MOST_KINDS = 100


class WeightsAreLabels:
    """Weights that equal the labels, are one-hot rows, are class ids, or go below 0.

    Class ids: whole numbers from 0 up without a gap, three or more, about equally frequent. A mask has two values,
    how often a sample counts falls off with its size, and weights made from classes are never all the classes.
    """

    name = "weights_are_labels"
    needs = ("outputs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding at most: weights are often those of all outputs."""
        for output in evidence.outputs or ():
            found = _mistake(output, evidence)
            if found is None:
                continue
            seen, certainty = found
            weight = np.asarray(output.first.weight, np.float64)
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR if certainty > 0.8 else Severity.WARNING,
                seen=seen,
                why=(
                    "The third element of (x, y, weights) weighs samples: those of class 0 are then not learnt at all, "
                    "and those of class 9 nine times as much as those of class 1."
                ),
                do="Give the labels of several outputs as one y, nested as the outputs are: (x, (y1, y2)).",
                where="sample_weight",
                reference="https://keras.io/api/models/model_training_apis/#fit-method",
                numbers={"low": float(np.nanmin(weight)), "high": float(np.nanmax(weight))},
                output=output.name,
                certainty=certainty,
            )
            return


def _mistake(output: OutputEvidence, evidence: Evidence) -> tuple[str, float] | None:
    weight = output.first.weight
    if weight is None or weight.dtype.kind not in "fiub" or len(weight) < _FEWEST:
        return None
    values = np.asarray(weight, np.float64)
    if not np.isfinite(values).all():
        return None
    kinds, counts = np.unique(values, return_counts=True)
    classed = evidence.fit is not None and evidence.fit.class_weight is not None
    truth, labels = output.first.truth, None if output.first.truth is None else Encoding(output)
    if values.ndim > 1 and values.shape[-1] > 1 and np.all((values == 0) | (values == 1)):
        once = bool(np.all(values.reshape(-1, values.shape[-1]).sum(axis=1) == 1))
        if once and len(values.shape) == 2:
            return (
                f"The sample weights have shape {values.shape}, with one 1 in each row: they are one-hot labels.",
                0.9,
            )
    whole = bool(np.all(kinds == np.round(kinds)))
    if labels is not None and truth is not None and len(labels.distinct) > 1 and not classed:
        true = output.first.true_classes if labels.whole else output.first.y_true
        flat = None if true is None else np.asarray(true, np.float64).ravel()
        if flat is not None and flat.shape == values.ravel().shape and np.allclose(flat, values.ravel()):
            return f"The sample weights equal the labels of {output.words} ({brief(kinds)}) in every row.", 0.95
    if kinds[0] < 0:
        return f"{np.mean(values < 0):.0%} of the sample weights are below 0, down to {kinds[0]:.4g}.", 0.75
    gapless = whole and kinds[0] == 0 and kinds[-1] == len(kinds) - 1 and 3 <= len(kinds) <= _MOST_KINDS
    if gapless and counts.min() >= _EVEN * counts.max() and len(values) >= 10 * len(kinds) and not classed:
        return f"The sample weights are {brief(kinds)}, about equally frequent, as class ids are.", 0.85
    return None
