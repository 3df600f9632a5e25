"""An output with more or fewer units than there are classes or targets."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.encoding import Encoding, brief
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CATEGORICAL, CROSS_ENTROPIES, NUMBERS, SPARSE
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["WrongNumberOfUnits"]

_YES_OR_NO = BINARY | {"hinge", "squared_hinge"}
_BY_ELEMENT = (
    CROSS_ENTROPIES - SPARSE
    | NUMBERS
    | {"poisson", "mean_squared_logarithmic_error", "mean_absolute_percentage_error", "cosine_similarity"}
    | {"kl_divergence", "categorical_hinge", "hinge", "squared_hinge"}
)


class WrongNumberOfUnits:
    """The last axis of the outputs against that of the labels, or against how many classes these name.

    Exact: told by shapes and by the labels looked at. Units without a class are left alone, being harmless, and so are
    users' own losses, which may want several numbers for each target.
    """

    name = "wrong_number_of_units"
    needs = ("labelled",)
    after = ("softmax_on_one_unit",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.labelled or ():
            found = _mistake(output)
            if found is None:
                continue
            seen, wanted, do = found
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=seen,
                why="One unit then stands for several classes or targets, or the shapes broadcast or don't fit.",
                do=do,
                where=None if output.layer is None else output.layer.path,
                numbers={"units": float(output.first.pred.units), "wanted": float(wanted)},
                output=output.name,
                layers=() if output.layer is None else (output.layer.path,),
                certainty=0.93,
            )


def _mistake(output: OutputEvidence) -> tuple[str, int, str] | None:
    """What was seen, how many units are wanted, and what to do."""
    labels, loss, truth = Encoding(output), output.acting.name, output.first.truth
    if output.acting.own or truth is None:
        return None
    units, classes = labels.units, len(labels.distinct)
    has = f"{output.opening} has {units} unit{'' if units == 1 else 's'}"
    if loss in _YES_OR_NO and units == 1 and labels.layout == "elements" and classes > 2 and labels.class_like:
        if len(labels.pred_shape) > 2:
            return None  # an image: grey values, not classes
        return (
            f"{has} with the loss {output.loss_name!r}, which tells 0 from 1, and {classes} classes: "
            f"{brief(labels.distinct)}.",
            classes,
            f"Use Dense({int(labels.distinct[-1]) + 1}, activation='softmax') with sparse_categorical_crossentropy.",
        )
    if loss in SPARSE and labels.class_like and labels.layout != "other" and classes > units:
        return (
            f"{has} for {classes} classes: {brief(labels.distinct)}.",
            classes,
            "For 0 and 1 use binary_crossentropy with a sigmoid on the one unit, or two units."
            if units == 1 and classes == 2
            else f"Give the last layer {int(labels.distinct[-1]) + 1} units.",
        )
    if loss in CATEGORICAL and units == 1 and labels.two == (0.0, 1.0):
        return (
            f"{has} with the loss {output.loss_name!r}, which compares classes with each other.",
            2,
            "Use binary_crossentropy with a sigmoid on the one unit, or two units with softmax.",
        )
    wanted = _wanted(labels) if loss in _BY_ELEMENT else None
    if wanted is not None:
        kind = ("class" if truth.one_hot else "target") + ("" if wanted == 1 else "es" if truth.one_hot else "s")
        return (
            f"{has} for {wanted} {kind}: labels of shape {labels.given} against outputs of shape {labels.made}.",
            wanted,
            f"Give the last layer {wanted} unit{'' if wanted == 1 else 's'}, or the labels {units} columns.",
        )
    return None


def _wanted(labels: Encoding) -> int | None:
    """How many numbers a label has, where the outputs have others and all other axes agree; None of class indices."""
    true, pred = labels.true_shape, labels.pred_shape
    if labels.layout == "indices":
        return None if labels.class_like and labels.distinct[-1] < labels.units else 1
    same_before = len(true) == len(pred) > 0 and true[:-1] == pred[:-1]
    return true[-1] if same_before and true[-1] != pred[-1] else None
