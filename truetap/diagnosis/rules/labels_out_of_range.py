"""Class indices for which the output has no unit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.encoding import Encoding, brief
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, SPARSE
from truetap.rules.finding import Finding, Severity

__all__ = ["LabelsOutOfRange"]


class LabelsOutOfRange:
    """A sparse cross-entropy with labels below 0 or beyond its units; a binary one with labels such as 1 and 2.

    Exact: no threshold. What `ignore_class` leaves out doesn't count. -1 and 1, and 0 and 255, are other mistakes.
    """

    name = "labels_out_of_range"
    needs = ("labelled",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            loss, labels = output.acting.name, Encoding(output)
            if not labels.whole or loss not in SPARSE | BINARY:
                continue
            low, high = float(labels.distinct[0]), float(labels.distinct[-1])
            if loss in SPARSE:
                most = labels.units - 1
                if labels.layout == "other" or (low >= 0 and high <= most):
                    continue
                do = (
                    f"Count classes from 0: subtract {low:g} from the labels."
                    if low > 0 and high - low <= most
                    else "Give the last layer a unit for each class, and count classes from 0."
                )
                if low < 0:
                    do = f"If {low:g} means that there is no label, say so to the loss: ignore_class={low:g}."
            else:
                most = 1
                pair = labels.two is not None and high - low == 1 and low != 0
                several = low < 0 and len(labels.distinct) > 2
                if not (pair or several):
                    continue
                do = "Binary labels are 0 and 1" + (f": subtract {low:g}." if pair else ".")
            outside = float(np.mean((labels.values < 0) | (labels.values > most)))
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=(
                    f"The labels of {output.words} are {brief(labels.distinct)}; the loss {output.loss_name!r} over "
                    f"{labels.units} unit{'' if labels.units == 1 else 's'} knows 0 to {most}. {outside:.0%} of them "
                    "are outside."
                ),
                why="TensorFlow and torch stop at such a label on a CPU; JAX counts it as no class, and says nothing.",
                do=do,
                where="y",
                reference="https://keras.io/api/losses/probabilistic_losses/",
                numbers={"low": low, "high": high, "units": float(labels.units), "share": outside},
                output=output.name,
                certainty=0.9,
            )
