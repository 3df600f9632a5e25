"""Values per sample: reduced too early, or dependent on the rest of the batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from truetap.loss_checks.evidence import Evidence
from truetap.loss_checks.numbers import same, shown
from truetap.loss_checks.subject import formula
from truetap.rules.finding import Finding, Severity

__all__ = ["BatchStatistics", "PartialBatch", "ReducedBeforeWeights"]


class PartialBatch:
    """The loss raises on a smaller batch: the last of an epoch, or a single sample.

    Exact: run on the batch without its last sample, and on its first sample alone.
    """

    name = "partial_batch"
    needs: tuple[str, ...] = ("values",)
    after = ("implicit_broadcast",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        for size in dict.fromkeys((evidence.n - 1, 1)):
            run = evidence.unreduced_of(slice(size))
            if run.error is not None:
                yield Finding(
                    self.name,
                    Severity.ERROR,
                    f"A batch of {evidence.n} runs, a batch of {size} raises {type(run.error).__name__}: "
                    f"{' '.join(str(run.error).split())[:200]}",
                    "The last batch of an epoch has fewer samples; fit stops there.",
                    "Take sizes from ops.shape(y_pred), -1 in ops.reshape, and name the axis in ops.squeeze.",
                )
                return


class ReducedBeforeWeights:
    """The loss reduces the batch itself, so that weights reach only the result.

    Told by the shape of what it returns for the batch and for single samples. An error with `sample_weight`, else a
    warning. One that is no mean of its samples, or is documented to be of the whole batch as Dice is, is named if
    weights are given; without them it is left to `BatchStatistics`.
    """

    name = "reduced_before_weights"
    needs: tuple[str, ...] = ("values", "singles", "repeatable")
    after = ("implicit_broadcast", "value_in_python", "dynamic_shape", "swapped_arguments")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        assert evidence.values is not None
        weighted = evidence.sample_weight is not None
        if _per_sample(evidence) or not (weighted or _is_mean(evidence)):
            return
        yield Finding(
            self.name,
            Severity.ERROR if weighted else Severity.WARNING,
            f"It returns shape {evidence.values.shape} for a batch of {evidence.n}.{_of_single_weights(evidence)}",
            "sample_weight, class_weight and masks are applied to what the loss returns: they lose their meaning.",
            _remedy(evidence),
            reference="keras-team/keras#19637" if _of_whole_batch(evidence) else "tensorflow/tensorflow#42446",
        )


class BatchStatistics:
    """The loss of a sample depends on the samples that happen to be beside it.

    Each sample is run alone and must have the loss that it has in the batch (to 1e-3). Contrastive losses mean it so;
    Dice, and others whose documentation says it, get a note.
    """

    name = "batch_statistics"
    needs: tuple[str, ...] = ("values", "singles", "repeatable")
    after = ("implicit_broadcast", "value_in_python", "dynamic_shape", "swapped_arguments", "reduced_before_weights")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        assert evidence.values is not None
        assert evidence.singles is not None
        if _per_sample(evidence):
            alone = np.concatenate(evidence.singles)
            if same(evidence.values, alone):
                return
            worst = int(np.argmax(np.abs(evidence.values - alone).reshape(evidence.n, -1).max(axis=1)))
            seen = (
                f"Sample {worst} has the loss {shown(float(np.mean(evidence.values[worst])))} in this batch of "
                f"{evidence.n}, and {shown(float(np.mean(alone[worst])))} alone."
            )
        elif not _is_mean(evidence):
            whole, mean = float(np.mean(evidence.values)), float(np.mean(_own_losses(evidence)))
            seen = (
                f"The batch of {evidence.n} has the loss {shown(whole)}; the mean of its samples, each alone, is "
                f"{'by chance the same' if same(whole, mean) else shown(mean)}."
            )
        else:
            return
        own = evidence.subject.documented or getattr(evidence.subject.loss, "normalize", None) == "weights"
        yield Finding(
            self.name,
            Severity.NOTE if own else Severity.WARNING,
            seen,
            "The value depends on the batch size and on who is in the batch; the last batch counts otherwise, and "
            "sample weights can't select samples.",
            "That is how the loss is defined; some can reduce within samples, such as Dice(axis=(1, 2, 3))."
            if own
            else "Reduce within each sample (axis=1 and up). If it is meant, as in contrastive losses, "
            'pass ignore=["batch_statistics"].',
            reference="keras-team/keras#19637",
        )


def _per_sample(evidence: Evidence) -> bool:
    """Whether the first axis of the values is the batch: it is shorter for a shorter batch."""
    values, n = evidence.values, evidence.n
    if values is None or not values.ndim or values.shape[0] != n:
        return False
    return all(each.ndim == values.ndim and each.shape[0] == 1 for each in evidence.singles or [])


def _of_single_weights(evidence: Evidence) -> str:
    """What Keras makes of weights that choose the best sample, and of those that choose the worst."""
    own = np.asarray(_own_losses(evidence))
    if not np.isfinite(own).all() or same(own.min(), own.max()):
        return ""  # whatever the weights choose, it has that loss
    low, high = int(own.argmin()), int(own.argmax())
    got = [_with_weight_on(evidence, chosen) for chosen in (low, high)]
    too = " too" if got[0] == got[1] else ""
    return (
        f" With weight 1 on sample {low} and 0 on the others Keras gets {got[0]}, with weight 1 on sample {high} it "
        f"gets {got[1]}{too}; alone, these samples have the losses {shown(own[low])} and {shown(own[high])}."
    )


def _with_weight_on(evidence: Evidence, chosen: int) -> str:
    weights = np.zeros(evidence.n, np.float32)
    weights[chosen] = 1.0
    run = evidence.total(evidence.y_true, evidence.y_pred, weights)
    return f"a {type(run.error).__name__}" if run.value is None else shown(run.value)


def _own_losses(evidence: Evidence) -> list[float]:
    return [float(np.mean(each)) for each in evidence.singles or []]


def _of_whole_batch(evidence: Evidence) -> bool:
    """Whether Keras says of the loss that it reduces the batch; with outputs of shape (n,) any does so unawares."""
    home = str(getattr(formula(evidence.subject.loss), "__module__", ""))
    return home.startswith("keras.") and evidence.y_pred.ndim > 1


def _remedy(evidence: Evidence) -> str:
    if _of_whole_batch(evidence):
        return "Let it reduce within samples, as Dice(axis=(1, 2, 3)) does, or give it no weights."
    if evidence.y_pred.ndim == 1:
        return "Give outputs and labels the shape (n, 1): a loss reduces the last axis, and here that is the batch."
    return "Return one value per sample, by reducing over axis=-1 only: Keras reduces the batch."


def _is_mean(evidence: Evidence) -> bool:
    """Whether the loss of the batch is the mean or the sum of the samples' own, and not by chance."""
    if _of_whole_batch(evidence):
        return False
    whole = float(np.mean(evidence.values if evidence.values is not None else np.nan))
    own = _own_losses(evidence)
    return same(whole, np.mean(own)) or same(whole, np.sum(own))
