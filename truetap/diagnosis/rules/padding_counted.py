"""Padded steps that are learnt from as if they were data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.learnt import best_skill
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.padding import Padding, padding
from truetap.diagnosis.sampled import Sampled, sampled
from truetap.rules.finding import Finding, Severity

__all__ = ["PaddingCounted"]

Array = npt.NDArray[np.float64]

_SHARE = 0.1  # of all steps; a tenth moves a mean or a loss by as much
_SHARE_LAST = 0.25  # behind which little is left of a state
_LEARNT = 0.8
_SAME = 0.99  # of the labels of padded steps
_MEAN = "GlobalAveragePooling1D"
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_MAKERS = ("Embedding", "Masking")


class PaddingCounted:
    """Padding, at least a tenth of all steps, in a loss, a mean over time or the last state of a recurrent layer.

    In the loss: labels are a value a step, one and the same in padded steps, and neither a mask nor weights of 0 nor
    `ignore_class` leave these out. In a mean: GlobalAveragePooling1D that was given no mask, a warning only where the
    model leaves labels unexplained, since a table can learn to say next to nothing for padding. In a last state: a
    recurrent layer that was given no mask and reads padding at the end, a quarter of all steps at least. What was given
    a mask, the trace of the step says. Maxima over time, convolutions and dense layers may learn to pass padding over,
    and are let be.
    """

    name = "padding_counted"
    needs = ("inputs", "facts")
    after = ("constant_features", "axes_scrambled")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each input with padding."""
        assert evidence.facts is not None
        for some in sampled(evidence):
            found = padding(some)
            if found is None or found.share < _SHARE:
                continue
            place = self._in_loss(evidence, some, found) or self._in_layers(evidence, found)
            if place is None:
                continue
            where, what, output, layers = place
            lost = _lost(evidence)
            averaged = bool(layers) and evidence.facts.model.by_path[layers[0]].kind == _MEAN
            yield Finding(
                rule=self.name,
                severity=Severity.NOTE if averaged and _harmless(evidence) else Severity.WARNING,
                seen=f"{found.share:.0%} of the steps of {some.words} are padding ({found.value:g}), and {what}.{lost}",
                why="What is learnt and reported is as much about padding as about data, and changes with its length.",
                do=(
                    "Set mask_zero=True in Embedding, or put a Masking layer first, and use layers that pass the "
                    "mask on; "
                    "or weigh padded steps 0 (sample_weight of shape (n, time))."
                ),
                where=where,
                reference="https://keras.io/guides/understanding_masking_and_padding/",
                numbers={"share": found.share, "value": found.value},
                output=output,
                layers=layers,
                certainty=0.85,
            )

    def _in_loss(
        self, evidence: Evidence, some: Sampled, found: Padding
    ) -> tuple[str, str, str | None, tuple[str, ...]] | None:
        for output in evidence.labelled or ():
            share = _labels_of_padding(output, some, found)
            if share is not None:
                return (
                    "the loss",
                    f"the loss of {output.words} counts them: their labels are all {share:g}, without mask or weights",
                    output.name,
                    (),
                )
        return None

    def _in_layers(self, evidence: Evidence, found: Padding) -> tuple[str, str, None, tuple[str, ...]] | None:
        assert evidence.facts is not None
        layers = evidence.facts.model.by_path
        trace = evidence.trace
        for call in trace.calls if trace.masked is not None else ():
            layer = layers.get(call.partition("#")[0])
            if layer is None or call in (trace.masked or ()):
                continue
            if layer.kind == _MEAN:
                return call, f"{call!r} averages over them: it was given no mask", None, (layer.path,)
            last = layer.kind in _RECURRENT and not layer.settings.get("return_sequences") and "/" not in call
            if last and found.trailing and found.share >= _SHARE_LAST:
                words = f"{call!r} reads them last, and gives the state after them: it was given no mask"
                return call, words, None, (layer.path,)
        return None


def _labels_of_padding(output: OutputEvidence, some: Sampled, found: Padding) -> float | None:
    """The one label of all padded steps where they count in the loss; None where they don't."""
    rows = output.first
    true = rows.y_true
    time = found.steps.shape[1]
    if true is None or rows.mask is not None or true.shape[1:2] != (time,):
        return None
    if rows.y_pred.ndim < 3 or rows.y_pred.shape[1] != time:
        return None  # a vector, not a value a step
    both = some.labels(rows)
    if both is None or not len(both[0]):
        return None
    steps, at = found.steps[both[0]], both[1]
    if not steps.any():
        return None
    labels = np.asarray(true[at], np.float64)
    values = labels.argmax(-1) if output.first.truth is not None and output.first.truth.one_hot else labels
    values = values.reshape(*values.shape[:2], -1)[..., 0]
    padded = values[steps]
    kinds, counts = np.unique(padded, return_counts=True)
    label = float(kinds[counts.argmax()])
    if counts.max() < _SAME * len(padded) or len(np.unique(values[~steps])) < 2:
        return None
    weight = None if rows.weight is None else np.asarray(rows.weight, np.float64)
    if weight is not None and weight.ndim > 1 and weight.shape[1] == time:
        inside = weight[at].reshape(len(at), time, -1)[..., 0]
        if np.abs(inside[steps]).mean() < 0.5 * np.abs(inside[~steps]).mean():
            return None
    if output.loss is not None and output.loss.ignore_class is not None and output.loss.ignore_class == label:
        return None
    if output.loss is not None and output.loss.own and not _counts(output, at, values):
        return None
    return label


def _counts(output: OutputEvidence, at: npt.NDArray[np.int64], values: Array) -> bool:
    """Whether a user's loss is the mean over all steps, told by its values; False where that isn't seen."""
    rows = output.first
    loss, pred = rows.loss, np.asarray(rows.y_pred[at], np.float64)
    if loss is None or pred.ndim != 3:
        return False
    recorded = np.asarray(loss[at], np.float64)
    if pred.shape[-1] > 1 and values.min() >= 0 and values.max() < pred.shape[-1]:
        pred = pred if output.probabilities else _softmax(pred)
        each = -np.log(np.clip(np.take_along_axis(pred, values[..., None].astype(np.int64), -1)[..., 0], 1e-7, 1))
    else:
        each = (pred[..., 0] - values) ** 2
    everything = each.mean(axis=1)
    return bool(np.allclose(everything, recorded, rtol=1e-2, atol=1e-4))


def _softmax(logits: Array) -> Array:
    raised = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def _harmless(evidence: Evidence) -> bool:
    """Whether nothing shows that a mean over padding does harm: the model learns, or hasn't been trained."""
    if evidence.curve is None:
        return True
    learnt = best_skill(evidence)
    return learnt is not None and learnt >= _LEARNT


def _lost(evidence: Evidence) -> str:
    """Where a mask was made, and did not arrive."""
    assert evidence.facts is not None
    made = [
        layer.path
        for layer in evidence.facts.model.layers
        if layer.kind in _MAKERS and (layer.kind == "Masking" or layer.settings.get("mask_zero"))
    ]
    return f" {made[0]!r} makes a mask, which is lost on the way." if made else ""
