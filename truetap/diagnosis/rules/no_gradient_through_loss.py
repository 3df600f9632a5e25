"""A loss through which no gradient gets back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.loss_findings import of_losses, retold
from truetap.rules.finding import Finding, Severity

__all__ = ["NoGradientThroughLoss"]

_SAID = ("no gradients provided", "does not require grad")  # by TensorFlow and torch, when a step asks for one


class NoGradientThroughLoss:
    """With the model: `tt.check_loss` finds the gradient by the outputs missing, zero at several points, or raising.

    Without it: a user's loss, whose step raises for want of a gradient, or which isn't 0 while every recorded gradient
    of every weight is exactly 0.
    """

    name = "no_gradient_through_loss"
    needs = ("outputs",)
    after = ("implicit_broadcast", "swapped_arguments")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each output."""
        told = False
        for output, finding in of_losses(evidence, "no_gradient", "gradient_raises"):
            if output.loss is None or not output.loss.own:
                continue  # of Keras' own: what doesn't fit is the activation, the units or the labels
            told = True
            yield retold(finding, self.name, output, Severity.ERROR, 0.95)
        own = [each for each in evidence.outputs or () if each.loss is not None and each.loss.own]
        if told or not own or evidence.loss_reports is not None:
            return
        seen = _by_error(evidence) or _by_zeros(evidence)
        if seen is not None:
            yield Finding(
                rule=self.name,
                severity=Severity.ERROR,
                seen=f"{seen} The loss {own[0].loss_name!r} is your own.",
                why="The weights never move: TensorFlow says so in some cases, JAX and torch train without a word.",
                do="Replace round, argmax, comparisons and NumPy in the loss by something smooth, such as a sigmoid.",
                where=f"loss {own[0].loss_name!r}",
                reference="keras-team/keras#4175",
                output=own[0].name,
                certainty=0.8,
            )


def _by_error(evidence: Evidence) -> str | None:
    words = str(evidence.step_error or "")
    return f"The step raised: {' '.join(words.split())[:120]}" if any(each in words.lower() for each in _SAID) else None


def _by_zeros(evidence: Evidence) -> str | None:
    norms = {} if evidence.gradients is None else evidence.gradients.each("norm")
    losses = [each.first.loss for each in evidence.outputs or () if each.first.loss is not None]
    if not norms or not any(loss.dtype.kind == "f" and np.any(loss != 0) for loss in losses):
        return None
    if any(np.any(each != 0) for each in norms.values()):
        return None
    return f"The gradients of all {len(norms)} weights are exactly 0 in each recorded step, and the loss is not."
