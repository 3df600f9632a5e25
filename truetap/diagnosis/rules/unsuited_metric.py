"""Metrics that don't measure what the output is for, and which accuracy Keras took for "accuracy"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from truetap.diagnosis.encoding import Encoding
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.facts.types import MetricFacts
from truetap.rules.finding import Finding, Severity

__all__ = ["UnsuitedMetric"]

_ANY_ACCURACY = {"accuracy": "", "acc": ""}
_KINDS = {
    "binary_accuracy": "binary",
    "BinaryAccuracy": "binary",
    "categorical_accuracy": "categorical",
    "CategoricalAccuracy": "categorical",
    "sparse_categorical_accuracy": "sparse",
    "SparseCategoricalAccuracy": "sparse",
}
_AT_HALF = ("Precision", "Recall", "F1Score", "FBetaScore", "TruePositives", "FalsePositives", "TrueNegatives")
_FROM_0_TO_1 = ("AUC", "PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity")
_WHOLE_OUTPUTS = ("MeanIoU", "IoU")
_BETWEEN = 0.01  # of the outputs, on the wrong side of a half


@dataclass(frozen=True)
class _Said:
    seen: str
    do: str
    certainty: float = 0.8
    severity: Severity = Severity.WARNING


class UnsuitedMetric:
    """An accuracy of numbers, a threshold at a half on logits, an accuracy of another encoding than the labels'.

    Told by names, shapes and labels, as Keras chooses (`keras/src/trainers/compile_utils.py`): "accuracy" is binary
    over one unit, sparse categorical where labels have no axis of classes, else categorical. A threshold at a half on
    logits counts if more than 1% of the outputs of the first or last epoch lie between it and 0; with a hinge, which
    leaves few there, it is a note.
    """

    name = "unsuited_metric"
    needs = ("labelled", "facts")
    after = (
        "label_encoding",
        "labels_out_of_range",
        "wrong_number_of_units",
        "softmax_on_one_unit",
        "logits_as_probabilities",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for each metric of each output."""
        assert evidence.facts is not None
        outputs = evidence.labelled or ()
        for metric in evidence.facts.model.metrics:
            for output in outputs:
                if metric.output != output.name and (metric.output is not None or len(outputs) > 1) and output.name:
                    continue
                found = _accuracy(metric, output) or _threshold(metric, output) or _whole_outputs(metric, output)
                if found is None:
                    continue
                yield Finding(
                    rule=self.name,
                    severity=found.severity,
                    seen=found.seen,
                    why="It says little of the predictions, and callbacks that watch it decide by it.",
                    do=found.do,
                    where=f"metrics: {metric.name}",
                    reference="https://keras.io/api/metrics/accuracy_metrics/",
                    numbers={"units": float(output.first.pred.units)},
                    output=output.name,
                    certainty=found.certainty,
                )


def _chosen(metric: MetricFacts, labels: Encoding) -> tuple[str | None, str]:
    """The kind of accuracy that a metric is, and how that came in words; None of others."""
    kind = _KINDS.get(metric.kind) or _KINDS.get(metric.name if metric.kind in ("name", "function") else "")
    if kind is not None:
        return kind, f"The metric {metric.name!r}"
    if metric.kind != "name" or metric.name.lower() not in _ANY_ACCURACY:
        return None, ""
    given = labels.output.given
    true = labels.true_shape if given is None else tuple(given.shape[1:])
    pred = labels.pred_shape
    if pred[-1:] == (1,):
        kind = "binary"
    else:
        kind = "sparse" if len(true) < len(pred) or (true[-1:] == (1,) and labels.units > 1) else "categorical"
    words = {"binary": "BinaryAccuracy", "sparse": "SparseCategoricalAccuracy", "categorical": "CategoricalAccuracy"}
    return kind, f"Of {metric.name!r} Keras made {words[kind]}, by the shapes {labels.given} and {labels.made}; it"


def _accuracy(metric: MetricFacts, output: OutputEvidence) -> _Said | None:
    labels, truth = Encoding(output), output.first.truth
    kind, opening = _chosen(metric, labels)
    if kind is None or truth is None:
        return None
    numbers = output.acting.name not in ("", "kl_divergence") and output.meant == "regression"
    soft = truth.unit_interval and output.probabilities  # smoothed, mixed, or a picture
    if numbers and not truth.whole and not (soft and truth.rows_sum_to_one):
        return _Said(
            f"{opening} counts predictions that equal their label, and the labels of {output.words} are numbers from "
            f"{truth.low:.4g} to {truth.high:.4g}.",
            "Use 'mae', keras.metrics.RootMeanSquaredError or keras.metrics.R2Score.",
            0.85,
        )
    if kind == "categorical" and labels.layout == "elements" and labels.units > 1 and truth.binary:
        rows = np.asarray(output.first.y_true, np.float64).sum(axis=-1)
        several = float(np.mean(rows != 1))
        if several > 0.05:
            return _Said(
                f"{opening} compares the highest unit with the highest label, and {several:.0%} of the rows of labels "
                f"of {output.words} don't hold exactly one 1.",
                "Use metrics=['binary_accuracy'], or keras.metrics.AUC(multi_label=True).",
            )
    if kind == "categorical" and labels.layout == "indices" and labels.class_like:
        return _Said(
            f"{opening} expects one-hot labels, and those of {output.words} are class indices.",
            "Use 'sparse_categorical_accuracy', or 'accuracy', which chooses by the shapes.",
            0.9,
        )
    if kind == "sparse" and truth.one_hot and labels.layout == "elements":
        return _Said(
            f"{opening} expects class indices, and the labels of {output.words} are one-hot.",
            "Use 'categorical_accuracy', or 'accuracy', which chooses by the shapes.",
            0.9,
        )
    if kind == "binary" and labels.units > 2 and (truth.one_hot or (labels.layout == "indices" and labels.class_like)):
        share = 1 - 1 / labels.units
        return _Said(
            f"{opening} judges each of the {labels.units} units by itself, and of {output.words} one class holds: "
            f"zeros alone get {share:.2f}.",
            "Use 'accuracy', which chooses by the shapes.",
            0.9,
        )
    if kind == "binary" and truth.signs:
        return _Said(
            f"{opening} compares 0 and 1 with the labels of {output.words}, which are -1 and 1.",
            "Use labels 0 and 1: hinge losses take them, too.",
            0.9,
        )
    return None


def _threshold(metric: MetricFacts, output: OutputEvidence) -> _Said | None:
    """A threshold between 0 and 1 on outputs that are none of that."""
    kind, opening = _chosen(metric, Encoding(output))
    truth, acting = output.first.truth, output.acting
    by_name = metric.kind if metric.kind != "name" else metric.name
    half = kind == "binary" or by_name in _AT_HALF
    ranks = by_name in _FROM_0_TO_1 and not metric.settings.get("from_logits")
    if truth is None or not (half or ranks) or output.probabilities or not truth.binary:
        return None
    hinge = acting.name in ("hinge", "squared_hinge")
    if not (acting.from_logits or hinge):
        return None
    threshold = metric.settings.get("threshold", metric.settings.get("thresholds"))
    if half and isinstance(threshold, int | float) and threshold <= 0:
        return None
    begun, ended = (values[np.isfinite(values)] for values in (output.first.y_pred, output.last.y_pred))
    between = max((float(np.mean((each > 0) & (each < 0.5))) for each in (begun, ended) if each.size), default=0.0)
    outside = float(np.mean((ended < 0) | (ended > 1))) if ended.size else 0.0
    if half and between <= _BETWEEN:
        return None
    what = "margins" if hinge else "logits"
    if half:
        seen = (
            f"{opening or f'The metric {metric.name!r}'} has its threshold at 0.5, and {output.words} gives {what}, "
            f"which say yes from 0 on: up to {between:.1%} of them in an epoch are in between."
        )
        do = "Use keras.metrics.BinaryAccuracy(threshold=0.0), or the like with thresholds=0."
    else:
        seen = f"The metric {metric.name!r} has thresholds from 0 to 1, and {outside:.0%} of the {what} are outside."
        do = "Use keras.metrics.AUC(from_logits=True), or the activation on the model's last layer."
    return _Said(seen, do, 0.75, Severity.NOTE if hinge else Severity.WARNING)


def _whole_outputs(metric: MetricFacts, output: OutputEvidence) -> _Said | None:
    if metric.kind not in _WHOLE_OUTPUTS or output.last.pred.whole:
        return None
    return _Said(
        f"The metric {metric.name!r} takes outputs for class indices and cuts their fractions off; those of "
        f"{output.words} run from {output.last.pred.low:.3g} to {output.last.pred.high:.3g}.",
        "Use keras.metrics.BinaryIoU, OneHotMeanIoU, or MeanIoU(sparse_y_pred=False), which take what models give.",
        0.9,
    )
