"""NaN or infinity in the loss, the gradients or the weights, and where it came first."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.series import Series
from truetap.rules.finding import Finding, Severity

__all__ = ["GradientNotFinite"]


class GradientNotFinite:
    """A loss, gradients or weights that aren't finite, where no cause has been found.

    Steps that mixed precision left out for an overflow don't count. A loss that isn't finite over finite weights
    comes from the loss or the data, and is another finding than weights that are lost.
    """

    name = "gradient_not_finite"
    needs = ()
    after = (
        "nan_in_data",
        "log_or_root_of_zero",
        "learning_rate_too_high",
        "exploding_gradient",
        "negative_learning_rate",
        "unscaled_inputs",
        "initial_weights_too_large",
        "labels_out_of_range",
        "label_encoding",
        "logits_as_probabilities",
        "output_range",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """At most one finding."""
        curve = evidence.steps
        left_out = frozenset() if curve is None else frozenset(curve.steps[curve.skipped].tolist())
        gradient = _first(evidence.gradients, left_out)
        weights = {} if evidence.weights is None else evidence.weights.last("nonfinite")
        lost = [path for path, count in weights.items() if count > 0 and "seed_generator" not in path]
        loss = None
        if curve is not None and not curve.finite.all():
            steps = curve.steps[~curve.finite & ~curve.skipped]
            loss = int(steps[0]) if len(steps) else None
        if gradient is None and loss is None and not lost:
            return
        told = []
        if loss is not None:
            told.append(f"the loss is no finite number from step {loss} on")
        if gradient is not None:
            told.append(
                f"the first recorded gradient that isn't finite is that of {gradient[0]!r} in step {gradient[1]}"
            )
        if lost:
            told.append(f"{len(lost)} of {len(weights)} weights are lost ({lost[0]!r} first)")
        elif weights and loss is not None:
            told.append("all weights are finite")
        seen = "; ".join(told)
        from_loss = loss is not None and bool(weights) and not lost
        yield Finding(
            rule=self.name,
            severity=Severity.ERROR,
            seen=f"{seen[0].upper()}{seen[1:]}.",
            why=(
                "The weights are sound, so it is the loss or the data that give NaN."
                if from_loss
                else "One such gradient makes the weights NaN for good."
            ),
            do=(
                "Look at that step's samples (run.samples), and for log, sqrt or a division in the loss "
                "(tt.check_loss)."
                if from_loss
                else "Look at that step's samples for NaN, for log, sqrt or a division in loss and model, and lower "
                "the learning rate."
            ),
            where=None if gradient is None else gradient[0],
            layers=() if gradient is None else (gradient[0],),
            steps=tuple(
                sorted({each for each in (loss, None if gradient is None else gradient[1]) if each is not None})
            ),
            numbers={"lost_weights": float(len(lost))},
            certainty=0.3,
        )


def _first(gradients: Series | None, left_out: frozenset[int]) -> tuple[str, int] | None:
    """The weight and the step of the first recorded gradient that isn't finite; of one step the last weight."""
    found: list[tuple[int, int, str]] = []
    for place, (path, counts) in enumerate(gradients.each("nonfinite").items() if gradients is not None else ()):
        assert gradients is not None
        steps = gradients.steps[path]["nonfinite"]
        bad = [int(step) for step, count in zip(steps, counts, strict=True) if count > 0 and int(step) not in left_out]
        if bad:
            found.append((bad[0], -place, path))
    if not found:
        return None
    step, _, path = min(found)
    return path, step
