"""Labels that belong to other rows than those beside which they stand."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.association import association, views
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.progress import beats_the_prior
from truetap.diagnosis.sampled import order_of, sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["MisalignedLabels"]

Array = npt.NDArray[np.float64]

_FEWEST = 60  # samples of which association is asked
_ENOUGH = 150  # of which nothing is evidence
_NOTHING, _SOMETHING = 4.5, 12.0  # standard deviations of exchanged labels, 1 of 300 of which are beyond 4
_COUNTS = 0.1  # of the largest sample weight; labels that weigh less are known to be bad
_LAGS = (-3, -2, -1, 1, 2, 3)


class MisalignedLabels:
    """Inputs that tell nothing of their labels, without a model, and a model that learnt nothing that holds.

    Asked of nearest neighbours and of a ridge regression on the samples kept, against labels that were exchanged
    between them (`truetap.diagnosis.association`): less than 4.5 standard deviations beyond chance. Proven where they
    tell (twelve) of the labels of validation, or of those of a neighbouring row: all of them are shifted. Else it is
    said when answers in the first epoch and in the last validation are no better than chance.
    """

    name = "misaligned_labels"
    needs = ("labelled", "inputs")
    after = (
        "axes_scrambled",
        "constant_features",
        "nan_in_data",
        "label_encoding",
        "labels_out_of_range",
        "labels_scaled",
        "noisy_labels",
        "not_shuffled",
        "swapped_outputs",
        "wrong_number_of_units",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        if evidence.facts is not None and evidence.facts.model.own_train_step:
            return
        for output in evidence.labelled or ():
            train = _told(evidence, output, "train")
            if train is None or not train[0] < _NOTHING:
                continue
            val = _told(evidence, output, "val")
            shifted = _shift(train if val is None else val, train, evidence.batch is None)
            finding = None
            if shifted is not None:
                finding = self._shifted(output, *shifted)
            elif val is not None and val[0] > _SOMETHING:
                finding = self._exchanged(output, train[0], val[0])
            elif evidence.batch is None and train[2] >= _ENOUGH and not _learnt(output):
                finding = self._nothing(output, train[0], train[2])
            if finding is not None:
                yield finding

    def _shifted(self, output: OutputEvidence, lag: int, here: float, there: float) -> Finding:
        rows = f"{abs(lag)} row{'s' if abs(lag) > 1 else ''}"
        return Finding(
            rule=self.name,
            severity=Severity.ERROR,
            seen=(
                f"The inputs tell nothing of the labels of {output.words} beside them ({here:.1f} standard "
                "deviations beyond "
                f"chance), and much of those {rows} {'further down' if lag > 0 else 'further up'} ({there:.0f})."
            ),
            why="Each sample is learnt with the label of another one.",
            do="Look for a shift, a header line or dropped rows on one side only; join x and y by a key.",
            where="y",
            numbers={"lag": float(lag), "here": here, "there": there},
            output=output.name,
            certainty=0.97,
        )

    def _exchanged(self, output: OutputEvidence, train: float, val: float) -> Finding:
        return Finding(
            rule=self.name,
            severity=Severity.ERROR,
            seen=(
                f"Inputs tell nothing of the labels of {output.words} in training ({train:.1f} standard deviations "
                "beyond chance, "
                f"by nearest neighbours and by regression), and much in validation ({val:.0f})."
            ),
            why="The rows of training were mixed or cut on one side only: samples have the labels of others.",
            do="Apply one permutation, filter or split to x and y together.",
            where="y",
            numbers={"train": train, "val": val},
            output=output.name,
            certainty=0.95,
        )

    def _nothing(self, output: OutputEvidence, train: float, samples: int) -> Finding:
        return Finding(
            rule=self.name,
            severity=Severity.WARNING,
            seen=(
                f"Neither the model nor nearest neighbours nor a regression on {samples} samples tell the labels of "
                f"{output.words} better than chance ({train:.1f} standard deviations beyond it)."
            ),
            why="Either the labels belong to other rows, or the inputs have nothing to do with them.",
            do="Look at some samples beside their labels as fit gets them; mix, filter and split x and y together.",
            where="y",
            numbers={"train": train, "samples": float(samples)},
            output=output.name,
            certainty=0.65,
        )


def _told(
    evidence: Evidence, output: OutputEvidence, phase: str
) -> tuple[float, tuple[list[Array], Array], int] | None:
    """What inputs tell of labels; the features and labels; of how many samples. None where that can't be asked."""
    rows = output.first if phase == "train" else output.val_first
    inputs = sampled(evidence, phase)
    if rows is None or not inputs or output.meant == "unknown" or len({len(each) for each in inputs}) != 1:
        return None
    both = inputs[0].labels(rows)
    labels = order_of(output, rows)
    if both is None or labels is None or not labels.shape[1]:
        return None
    mine, there = both
    if rows.weight is not None and len(rows.weight) == len(rows):
        weights = np.abs(np.asarray(rows.weight, np.float64)).reshape(len(rows), -1).max(axis=1)[there]
        weighs = weights > _COUNTS * weights.max(initial=0.0)
        mine, there = mine[weighs], there[weighs]
    if len(mine) < _FEWEST:
        return None
    features = views(inputs, mine)
    told = association(features, labels[there])
    return None if np.isnan(told) else (told, (features, labels[there]), len(mine))


def _shift(
    found: tuple[float, tuple[list[Array], Array], int],
    train: tuple[float, tuple[list[Array], Array], int],
    whole: bool,
) -> tuple[int, float, float] | None:
    """The lag at which labels are told, of rows that come in their own order: validation, or unshuffled training."""
    if not whole:
        return None
    for told, (features, labels), _ in (found, train):
        if not told < _NOTHING:
            continue
        for lag in _LAGS:
            mine = slice(max(0, -lag), len(labels) - max(0, lag))
            there = slice(max(0, lag), len(labels) - max(0, -lag))
            other = association([each[mine] for each in features], labels[there])
            if other > _SOMETHING:
                return lag, told, other
    return None


def _learnt(output: OutputEvidence) -> bool:
    """Whether any answer to a sample not seen before is better than chance; True where that can't be told."""
    answers = [beats_the_prior(output.first)]
    if output.val_last is not None:
        answers.append(beats_the_prior(output.val_last))
    return any(each is not False for each in answers)
