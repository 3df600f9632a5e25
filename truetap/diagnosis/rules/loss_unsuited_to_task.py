"""A loss for numbers on classes, or one for classes on numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.encoding import Encoding, brief, even_steps
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CATEGORICAL, NUMBERS, SPARSE
from truetap.diagnosis.nominal import nominal
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["LossUnsuitedToTask"]

_ACCURACIES = ("accuracy", "acc", "sparse_categorical_accuracy", "SparseCategoricalAccuracy")
_BALANCED = 0.3  # the rarest class over the commonest; counts and marks are hardly ever so even
_HINGES = ("hinge", "squared_hinge", "categorical_hinge")


class LossUnsuitedToTask:
    """A cross-entropy or hinge on continuous targets; a squared or absolute error on class indices.

    The first is exact: targets that are no classes, no probabilities, no distributions. The second is a matter of
    evidence: whole labels from 0 or 1 up without a gap, of three or more kinds, under one unit, are classes if an
    accuracy is asked for, or if they are integers, about equally frequent, and inputs of neighbouring labels are no
    more alike than others (`truetap.diagnosis.nominal`). Counts and marks are none of it.
    """

    name = "loss_unsuited_to_task"
    needs = ("labelled",)
    after = ("softmax_on_one_unit", "labels_scaled", "label_encoding", "swapped_outputs")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            labels = Encoding(output)
            found = _of_classes(output, labels) or _of_numbers(output, labels, evidence)
            if found is None:
                continue
            seen, why, do, certainty = found
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR if certainty >= 0.85 else Severity.WARNING,
                seen=seen,
                why=why,
                do=do,
                where="loss",
                reference="https://keras.io/api/losses/",
                numbers={
                    "low": float(labels.values.min()),
                    "high": float(labels.values.max()),
                    "values": float(len(labels.distinct)),
                    "units": float(labels.units),
                },
                output=output.name,
                certainty=certainty,
            )


def _of_classes(output: OutputEvidence, labels: Encoding) -> tuple[str, str, str, float] | None:
    """A loss of classes on numbers."""
    loss, truth = output.acting.name, output.first.truth
    if truth is None or not len(labels.values) or truth.signs:
        return None
    seen = (
        f"The targets of {output.words} are continuous, from {labels.values.min():.4g} to {labels.values.max():.4g} "
        f"({brief(labels.distinct)}), and the loss is {output.loss_name!r}."
    )
    why = "It compares classes: on numbers it is constant, has no lower bound, or is least at another answer."
    do = "Use a loss of numbers, such as 'mse', 'mae' or keras.losses.Huber, and no activation on the last layer."
    found = (seen, why, do, 0.95)
    if loss in ("poisson", "mean_squared_logarithmic_error") and not output.acting.own and labels.values.min() < 0:
        return (
            f"The targets of {output.words} go down to {labels.values.min():.4g}, and the loss is {loss!r}.",
            "It takes targets for counts or magnitudes, which are never below 0.",
            "Use 'mse', 'mae' or keras.losses.Huber.",
            0.87,
        )
    if loss in SPARSE and labels.layout != "other":
        return None if labels.whole or even_steps(labels.distinct) is not None else found
    if labels.layout != "elements":
        return None
    picture = labels.units > 1 or len(labels.pred_shape) > 1
    if loss in BINARY:
        outside = labels.values.min() < 0 or labels.values.max() > 1
        return found if outside and not labels.class_like and len(labels.distinct) > 2 and not picture else None
    if loss in _HINGES[:2]:
        return found if len(labels.distinct) > 3 and not labels.class_like else None
    if loss in CATEGORICAL and labels.units == 1:
        return None if truth.binary else found
    if loss in CATEGORICAL and labels.units > 1 and not truth.binary:
        rows = np.asarray(output.first.y_true, np.float64).reshape(-1, labels.units).sum(axis=1)
        apart = float(np.mean(np.abs(rows - 1) > 1e-2))
        outside = labels.values.min() < -1e-3 or labels.values.max() > 1 + 1e-3
        return found if apart > 0.5 and outside and not labels.class_like else None
    return None


def _of_numbers(output: OutputEvidence, labels: Encoding, evidence: Evidence) -> tuple[str, str, str, float] | None:
    """A loss of numbers on classes."""
    if output.acting.name not in NUMBERS or not labels.class_like:
        return None
    kinds = len(labels.distinct)
    why = "As numbers, class 2 would lie between 1 and 3, and an error of two classes would weigh more than one of one."
    softmax = output.activation == "softmax" or output.first.pred.rows_sum_to_one
    if labels.layout == "indices" and softmax and labels.distinct[-1] < labels.units:
        return (
            f"The labels of {output.words} are class indices ({brief(labels.distinct)}) under {labels.units} units of "
            f"softmax, and the loss is {output.loss_name!r}.",
            "Each index is subtracted from every probability of its row.",
            "Use sparse_categorical_crossentropy.",
            0.92,
        )
    one_unit = labels.layout == "elements" and labels.units == 1 and len(labels.pred_shape) <= 1
    gapless = labels.distinct[0] in (0, 1) and labels.distinct[-1] - labels.distinct[0] == kinds - 1
    if not (one_unit and gapless and kinds >= 3):
        return None
    metrics = evidence.facts.model.metrics if evidence.facts is not None else ()
    mine = [each for each in metrics if each.output in (None, output.name)]
    asked = [each for each in mine if {each.name, each.kind} & set(_ACCURACIES)]
    counts = np.unique(labels.values, return_counts=True)[1]
    integer = output.given is not None and output.given.dtype.startswith(("int", "uint"))
    even = bool(counts.min() >= _BALANCED * counts.max()) and integer
    named = nominal(evidence, output) if asked or even else None
    if named is False or not (asked or (even and named)):
        return None
    by = f"metrics has {asked[0].name!r}" if asked else "inputs of neighbouring labels are no more alike than others"
    return (
        f"The labels of {output.words} are {brief(labels.distinct)}, {kinds} kinds; {by}; and the loss is "
        f"{output.loss_name!r} over one unit.",
        why,
        f"Use Dense({int(labels.distinct[-1]) + 1}, activation='softmax') with sparse_categorical_crossentropy, if "
        "they are classes.",
        0.9 if asked else 0.8,
    )
