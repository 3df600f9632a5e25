"""log(0), sqrt(0) or a division by zero, in the loss or in the model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.diagnosis.breakdown import Breakdown, breakdown
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.loss_findings import of_losses, retold
from truetap.rules.finding import Finding, Severity

__all__ = ["LogOrRootOfZero"]

_TINY = 1e-6


class LogOrRootOfZero:
    """Numbers that were not finite, and were no overflow: how they came about says where.

    See `truetap.diagnosis.breakdown` for the proof. A loss that would not be finite at outputs of 0, of 1, or equal to
    the label (`tt.check_loss`), and hasn't met them, is a note.
    """

    name = "log_or_root_of_zero"
    needs = ("outputs",)
    after = ("nan_in_data", "logits_as_probabilities", "loss_activation_mismatch", "loss_unsuited_to_task")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for what happened, or a note for each loss."""
        for found in _at_first_layer(evidence), _of_percentages(evidence):
            if found is not None:
                yield found
                return
        broken = breakdown(evidence)
        suspects = list(of_losses(evidence, "not_finite_at_border", "not_finite"))
        if broken is None:
            for output, finding in suspects:
                if finding.rule == "not_finite_at_border":
                    yield retold(finding, self.name, output, Severity.NOTE, 0.3)
            return
        at_fault = next((each for output, each in suspects if output.name == broken.output.name), None)
        in_loss = broken.place == "loss" or (at_fault is not None and broken.place == "derivative")
        output = broken.output
        yield Finding(
            rule=self.name,
            severity=Severity.ERROR,
            seen=f"In step {broken.step} {_seen(broken)}" + ("" if at_fault is None else f" {at_fault.seen}"),
            why="One such number makes every weight NaN in the same step; nothing was growing before.",
            do=(
                "Clip before log and division (ops.clip(p, eps, 1 - eps)), add a small number inside sqrt, not behind"
                + (", in the loss." if in_loss else ", in the model: a distance of equal vectors is such a root.")
            ),
            where=f"loss {output.loss_name!r}" if in_loss else "the model",
            numbers={"samples": float(len(broken.rows))},
            output=output.name,
            steps=(broken.step,),
            sample_ids=() if broken.place == "derivative" else tuple(broken.found.ids[broken.rows[:5]].tolist()),
            certainty=0.92 if in_loss else 0.85,
        )


def _seen(broken: Breakdown) -> str:
    rows, output = broken.found, broken.output
    count = f"{len(broken.rows)} sample{'' if len(broken.rows) == 1 else 's'}"
    if broken.place == "model":
        return f"{output.words} was NaN or infinite for {count} of {int(np.sum(rows.steps == broken.step))}."
    if broken.place == "derivative":
        return f"loss and outputs of {output.words} were ordinary numbers, and gradients were not finite."
    pred = np.asarray(rows.y_pred[broken.rows], np.float64)
    places = [f"{edge:g}" for edge in (0.0, 1.0) if np.any(np.abs(pred - edge) < _TINY)]
    true = rows.y_true
    if true is not None and true.shape == rows.y_pred.shape and np.any(np.abs(pred - true[broken.rows]) < _TINY):
        places.append("equal to the label")
    return f"the loss of {count} was NaN or infinite, with outputs from {pred.min():.3g} to {pred.max():.3g}" + (
        f", some of them {' or '.join(places)}." if places else "."
    )


def _at_first_layer(evidence: Evidence) -> Finding | None:
    """A layer whose outputs weren't finite in the very first step, when all weights and inputs were."""
    activations, inputs = evidence.activations, evidence.inputs
    if activations is None or inputs is None or not all(np.isfinite(each).all() for each in inputs.values()):
        return None
    found = activations.first("nonfinite")
    calls = [path for path in evidence.trace.calls if path in found] or list(found)
    bad = next((path for path in calls if found[path] > 0), None)
    if bad is None or int(activations.steps[bad]["nonfinite"][0]) != 0:
        return None
    layer = None if evidence.facts is None else evidence.facts.model.by_path.get(bad.partition("#")[0])
    kind = "" if layer is None else f" ({layer.kind})"
    return Finding(
        rule="log_or_root_of_zero",
        severity=Severity.ERROR,
        seen=f"In the first step {found[bad]:g} numbers from the layer {bad!r}{kind} were not finite; inputs were.",
        why="No weight had changed yet: its formula, or what comes before it, takes a log, root or division of 0.",
        do="Use log1p, add a small number inside, or clip what goes into it.",
        where=bad,
        numbers={"nonfinite": found[bad]},
        layers=(bad,),
        steps=(0,),
        certainty=0.9,
    )


def _of_percentages(evidence: Evidence) -> Finding | None:
    """A percentage error of targets that are 0."""
    for output in evidence.labelled or ():
        if output.acting.name != "mean_absolute_percentage_error" or output.first.y_true is None:
            continue
        share = float(np.mean(np.abs(np.asarray(output.first.y_true, np.float64)) < _TINY))
        if share > 0:
            return Finding(
                rule="log_or_root_of_zero",
                severity=Severity.ERROR,
                seen=f"{share:.1%} of the targets of {output.words} are 0, and {output.loss_name!r} divides by them.",
                why="Keras divides by 1e-7 there: these samples weigh millions of times as much as all others.",
                do="Use 'mae' or 'mean_squared_logarithmic_error', or leave such samples out.",
                where=f"loss {output.loss_name!r}",
                reference="https://keras.io/api/losses/regression_losses/#meanabsolutepercentageerror-class",
                numbers={"share": share},
                output=output.name,
                certainty=0.9,
            )
    return None
