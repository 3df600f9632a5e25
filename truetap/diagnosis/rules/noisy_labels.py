"""A good part of the labels is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.rules.finding import Finding, Severity

__all__ = ["NoisyLabels"]

Array = npt.NDArray[np.float64]

_SHARE = 0.08  # of the samples of which the model is surest
_SKILL = 0.3  # of the way from chance to certainty
_SPREAD = 0.2  # Cramér's V of answers and the labels that contradict them: 0 when these are drawn at random
_FEWEST = 25  # contradictions
_ERRORS = 5.0  # standard errors
_LESS = 4.0  # times fewer of the labels of validation are contradicted
_FLAT = 0.7  # of all contradictions, among the surest tenth: of two classes that overlap it is far less
_STEADY = 0.5  # of the share in the whole epoch
_MOST_EPOCHS = 5
_MADE_FOR_IT = ("categorical_generalized_cross_entropy",)


class NoisyLabels:
    """Labels that contradict the model where it is surest: classes that overlap are confused where it is not.

    Looked at is the third of an epoch's samples with the largest margin between the first and the second class; steps
    come before their update, so that these are answers to samples not yet learnt by heart. A label is contradicted
    there in 8% of the samples or more, and either the wrong labels are drawn from all classes alike (Cramér's V below
    0.2, corrected for chance, where classes that resemble each other have above 0.3), or four times fewer labels of
    validation are, by five standard errors. Both halves of the epoch must have their part of them. After Northcutt et
    al. 2021.
    """

    name = "noisy_labels"
    needs = ("labelled", "epochs")
    after = (
        "label_encoding",
        "labels_out_of_range",
        "labels_scaled",
        "logits_as_probabilities",
        "nan_in_data",
        "probabilities_as_logits",
        "softmax_on_one_unit",
        "tiny_batches_under_batch_norm",
        "training_flag_ignored",
        "dropout_too_high",
        "axes_scrambled",
        "constant_features",
        "not_shuffled",
        "padding_counted",
        "class_imbalance",
        "inverted_class_weights",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            if output.meant not in ("classes", "binary") or output.first.true_classes is None:
                continue
            for epoch in _some_epochs(evidence):
                train = evidence.rows(output.name, "train", epoch)
                found = None if train is None else _contradicted(train)
                if found is None or found.share < _SHARE or found.count < _FEWEST or found.skill < _SKILL:
                    continue
                before = _validated_before(evidence, output, epoch)
                alike = found.spread is not None and found.spread < _SPREAD and found.tenth > _SHARE
                flat = found.spread is None and found.flat
                clean = before is not None and _fewer(before, found)
                if found.steady and (alike or flat or clean):
                    yield self._finding(output, found, before if clean else None)
                    break

    def _finding(self, output: OutputEvidence, found: _Contradicted, val: _Contradicted | None) -> Finding:
        against = (
            f"; in validation it is {val.share:.1%}"
            if val is not None
            else ", by labels of all other classes alike"
            if found.spread is not None
            else ", hardly fewer than where it is unsure"
        )
        return Finding(
            rule=self.name,
            severity=Severity.NOTE if output.loss_name in _MADE_FOR_IT else Severity.WARNING,
            seen=(
                f"{found.share:.0%} of the labels of {output.words} contradict the model where it is surest (the "
                "third of epoch "
                f"{found.epoch} with the largest margins){against}."
            ),
            why=(
                "About that share of all labels is wrong: it bounds what can be reached, and is learnt by heart in "
                "time."
            ),
            do=(
                "Look at run.label_issues(), the most suspicious first; correct or drop them, or stop before they "
                "are learnt."
            ),
            where="y",
            reference="https://doi.org/10.1613/jair.1.12125",
            numbers={
                "share": found.share,
                "spread": -1.0 if found.spread is None else found.spread,
                "skill": found.skill,
            },
            output=output.name,
            sample_ids=found.ids,
            certainty=0.8,
        )


@dataclass(frozen=True)
class _Contradicted:
    """Among the third of the samples with the largest margins.

    Attributes:
        epoch: Of these rows.
        size: How many samples that is.
        count: How many labels are not what the model says.
        share: Of them.
        tenth: The share among the surest tenth.
        skill: How far all answers are from chance (0) to certainty (1): Cohen's kappa.
        spread: Cramér's V of what is said and the labels that contradict it; None of two classes.
        flat: Of two classes, whether contradictions are hardly fewer where the model is surest.
        steady: Whether both halves of the epoch have them: a model that had a bad moment has them in one.
        ids: Some of the samples.
    """

    epoch: int
    size: int
    count: int
    share: float
    tenth: float
    skill: float
    spread: float | None
    flat: bool
    steady: bool
    ids: tuple[int | str, ...]


def _contradicted(rows: Rows) -> _Contradicted | None:
    true, said = rows.true_classes, rows.pred_classes
    if true is None or true.ndim != 1 or said.shape != true.shape or rows.pred.nonfinite or len(true) < 30:
        return None
    scores = np.asarray(rows.y_pred, np.float64).reshape(len(true), -1)
    if scores.shape[1] > 1:
        two = np.partition(scores, -2, axis=1)[:, -2:]
        margin = two[:, 1] - two[:, 0]
    else:
        margin = np.abs(scores[:, 0] - (0.5 if rows.pred.unit_interval else 0.0))
    order = np.argsort(-margin, kind="stable")
    third, tenth = order[: len(order) // 3], order[: max(1, len(order) // 10)]
    wrong = true != said
    kinds = np.union1d(true, said)
    chance = float(sum((true == each).mean() * (said == each).mean() for each in kinds))
    skill = (1 - float(wrong.mean()) - chance) / max(1 - chance, 1e-12)
    chosen = third[wrong[third]]
    later = rows.steps[third] > np.median(rows.steps[third])
    halves = (later, ~later) if later.any() else (~later,)
    classes = max(scores.shape[1], 2)
    top, every = float(wrong[tenth].mean()), float(wrong.mean())
    error = np.sqrt(top * (1 - top) / len(tenth))
    return _Contradicted(
        rows.epoch,
        len(third),
        len(chosen),
        float(wrong[third].mean()),
        top,
        skill,
        _spread(said[chosen], true[chosen], true) if classes > 2 and len(chosen) else None,
        classes == 2 and every > 0 and top - 2 * error > _FLAT * every and skill > _SKILL + 0.1,
        min(float(wrong[third][half].mean()) for half in halves) > _STEADY * float(wrong[third].mean()),
        tuple(rows.ids[chosen][:10].tolist()),
    )


def _spread(said: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], every: npt.NDArray[np.int64]) -> float:
    """Cramér's V, corrected for chance, of answers and the labels that contradict them."""
    kinds, counts = np.unique(every, return_counts=True)
    answers = np.unique(said)
    seen = np.asarray(
        [[np.sum((said == answer) & (labels == kind)) for kind in kinds] for answer in answers], np.float64
    )
    share = np.where(answers[:, None] == kinds, 0.0, counts / counts.sum())
    expected = seen.sum(axis=1, keepdims=True) * share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    told = expected > 0
    squared = float(((seen - expected)[told] ** 2 / expected[told]).sum())
    free = int(told.sum()) - len(answers)
    return float(np.sqrt(max(0.0, squared - free) / seen.sum() / max(1, min(len(answers), len(kinds) - 1) - 1)))


def _some_epochs(evidence: Evidence) -> list[int]:
    """Places of epochs from the second on, the later ones first: early ones are still being learnt."""
    count = len(evidence.sample_epochs.get("train", []))
    places = np.unique(np.linspace(min(2, count - 1), count - 1, _MOST_EPOCHS).astype(np.int64))
    return [int(each) for each in places[::-1]]


def _validated_before(evidence: Evidence, output: OutputEvidence, epoch: int) -> _Contradicted | None:
    """The validation at the end of the epoch before: the steps of this one ran with weights at least as good."""
    train, val = evidence.sample_epochs.get("train", []), evidence.sample_epochs.get("val", [])
    if epoch < 1 or train[epoch] - 1 not in val:
        return None
    rows = evidence.rows(output.name, "val", val.index(train[epoch] - 1))
    return None if rows is None or rows.truth is None else _contradicted(rows)


def _fewer(val: _Contradicted, train: _Contradicted) -> bool:
    error = np.sqrt(
        train.share * (1 - train.share) / train.size + max(val.share * (1 - val.share), 1 / val.size) / val.size
    )
    return bool(_LESS * val.share < train.share and train.share - val.share > _ERRORS * error)
