"""Labels written in a way that the loss doesn't read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.encoding import Encoding, brief
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.formulas import BINARY, CATEGORICAL, SPARSE
from truetap.diagnosis.output import OutputEvidence
from truetap.rules.finding import Finding, Severity

__all__ = ["LabelEncoding"]

_OF_ROWS = CATEGORICAL | {"categorical_hinge", "kl_divergence"}


class LabelEncoding:
    """One-hot rows under a sparse loss, class indices under one of rows, -1 and 1 under a cross-entropy, text.

    Exact: told by the loss, by the shapes, and by the values of all labels looked at. Hinge losses take -1 and 1.
    """

    name = "label_encoding"
    needs = ("outputs",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        for output in evidence.outputs or ():
            found = _mistake(output)
            if found is None:
                continue
            seen, do = found
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=seen,
                why="The loss reads other numbers than were meant, or stops at their shape.",
                do=do,
                where="y",
                reference="https://keras.io/api/losses/probabilistic_losses/",
                numbers={"units": float(output.first.pred.units)},
                output=output.name,
                certainty=0.95,
            )


def _mistake(output: OutputEvidence) -> tuple[str, str] | None:
    """What was seen, and what to do."""
    first = output.first
    if first.y_true is not None and first.truth is None:
        if first.y_true.dtype.kind not in "USO":
            return None
        some = ", ".join(map(repr, np.unique(first.y_true.astype(str)).tolist()[:3]))
        return (
            f"The labels of {output.words} are text, such as {some}.",
            "Turn them into numbers first: keras.layers.StringLookup, or np.unique(y, return_inverse=True)[1].",
        )
    if first.truth is None:
        return None
    loss, labels, truth = output.acting.name, Encoding(output), first.truth
    given = f"The labels of {output.words}, of shape {labels.given},"
    against = f"and the loss {output.loss_name!r} over {labels.units} unit{'' if labels.units == 1 else 's'} expects"
    if loss in SPARSE and truth.one_hot and len(labels.true_shape) == len(labels.pred_shape):
        return (
            f"{given} are one-hot, {against} class indices, of shape (n,).",
            f"Use categorical_crossentropy, which reads them so, or give y.argmax(-1) to {output.loss_name}.",
        )
    if loss in _OF_ROWS and labels.layout == "indices" and labels.units > 1 and labels.class_like:
        return (
            f"{given} are class indices ({brief(labels.distinct)}), {against} one-hot rows, of shape {labels.made}.",
            f"Use sparse_categorical_crossentropy, or keras.utils.to_categorical(y, {labels.units}).",
        )
    if loss in BINARY and labels.layout == "indices" and labels.units > 1 and labels.class_like:
        return (
            f"{given} are class indices ({brief(labels.distinct)}), {against} a 0 or 1 for each unit.",
            "For one class of several use softmax and sparse_categorical_crossentropy; for yes or no a single unit.",
        )
    if loss in BINARY and truth.one_hot and labels.units == 1 and labels.layout == "other":
        return (
            f"{given} are one-hot, {against} one 0 or 1 for each sample.",
            "Give y[:, 1], or use two units with softmax and categorical_crossentropy.",
        )
    if loss in BINARY | SPARSE | CATEGORICAL and truth.signs and labels.layout != "other":
        return (
            f"{given} are -1 and 1, {against} {'class indices' if loss in SPARSE else '0 and 1'}.",
            "Use (y + 1) / 2 as labels, or keras.losses.Hinge, which takes -1 and 1, without a sigmoid.",
        )
    return None
