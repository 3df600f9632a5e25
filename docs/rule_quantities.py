"""What the pictures of the rules show beside the loss: for each rule a quantity that it reads, of one recorded run.

A quantity is a function of `Seen` that gives lines by name; `QUANTITIES` has it for each rule, with its titles and the
rule's threshold, which comes from the rule's own module.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
from rule_charts import Line

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.rows import Rows

__all__ = ["QUANTITIES", "Quantity", "Seen"]

Array = npt.NDArray[Any]
Lines = Mapping[str, Line]


@dataclass(frozen=True)
class Seen:
    """A training that was recorded.

    Attributes:
        evidence: What rules read of it.
        model: The model, trained.
        data: As given to `fit`.
        options: Of `fit`.
    """

    evidence: Evidence
    model: Any
    data: tuple[Any, Any]
    options: Mapping[str, Any]

    def rows(self, epoch: int = -1, phase: str = "train", output: int = 0) -> Rows:
        """Rows of an output."""
        assert self.evidence.outputs is not None
        found = self.evidence.rows(self.evidence.outputs[output].name, phase, epoch)
        assert found is not None
        return found

    @property
    def true(self) -> Array:
        """The last epoch's labels, flat."""
        return np.asarray(self.rows().y_true, float).ravel()

    @property
    def pred(self) -> Array:
        """Its predictions."""
        return np.asarray(self.rows().y_pred, float)


@dataclass(frozen=True)
class Quantity:
    """How a quantity is drawn.

    Attributes:
        y: What it is.
        x: Along what.
        of: The lines of a run; values alone where `mark` is "steps", which draws their histogram.
        mark: As of `rule_charts.Panel`.
        limit: A name in the rule's module: its threshold.
    """

    y: str
    x: str
    of: Callable[[Seen], Any]
    mark: Literal["line", "steps", "bars"] = "line"
    limit: str | float | None = field(default=None)

    def threshold(self, rule: str) -> float | None:
        """The number at which the rule speaks."""
        if isinstance(self.limit, str):
            return float(getattr(importlib.import_module(f"truetap.diagnosis.rules.{rule}"), self.limit))
        return self.limit


# --- over steps and epochs -----------------------------------------------------------------------------


def layer(statistic: str, path: str = "hidden") -> Callable[[Seen], Lines]:
    """A statistic of a layer's output in each recorded step."""

    def of(seen: Seen) -> Lines:
        series = seen.evidence.activations
        if series is None or statistic not in series.values.get(path, {}):
            return {}
        return {"": (series.steps[path][statistic], series.of_path(path, statistic))}

    return of


def gradient(statistic: str = "norm", end: str = "hidden/kernel") -> Callable[[Seen], Lines]:
    """A statistic of a weight's gradient in each recorded step; 0 where there is none."""

    def of(seen: Seen) -> Lines:
        series = seen.evidence.gradients
        path = next((each for each in (series.paths if series else ()) if each.endswith(end)), None)
        if series is None or path is None:
            return {"": ([0, 1], [0.0, 0.0])}
        return {"": (series.steps[path][statistic], series.of_path(path, statistic))}

    return of


def update_ratio(seen: Seen) -> Lines:
    """The median over kernels of an update's norm over the weight's."""
    series = seen.evidence.updates
    assert series is not None
    paths = [path for path in series.values if path.endswith("kernel")]
    steps = series.steps[paths[0]]["ratio"]
    return {"": (steps, np.median([series.of_path(path, "ratio") for path in paths], axis=0))}


def weight(statistic: str, end: str = "hidden/kernel") -> Callable[[Seen], Lines]:
    """A statistic of a weight after each epoch."""

    def of(seen: Seen) -> Lines:
        series = seen.evidence.weights
        assert series is not None
        path = next(each for each in series.paths if each.endswith(end))
        values = series.of_path(path, statistic)
        return {"": (range(len(values)), values)}

    return of


def rate(seen: Seen) -> Lines:
    """The learning rate of each step."""
    curve = seen.evidence.steps
    assert curve is not None
    return {"": (curve.steps, curve.learning_rate)}


def history(**lines: str) -> Callable[[Seen], Lines]:
    """What Keras reports of each epoch: names of metrics by what they are called here."""

    def of(seen: Seen) -> Lines:
        found = seen.evidence.history or {}
        return {name.strip("_"): (range(len(found[each])), found[each]) for name, each in lines.items()}

    return of


def each_epoch(value: Callable[[Rows], float]) -> Callable[[Seen], Lines]:
    """A value of each epoch's rows."""

    def of(seen: Seen) -> Lines:
        epochs = seen.evidence.sample_epochs["train"]
        return {"": (epochs, [value(seen.rows(place)) for place in range(len(epochs))])}

    return of


def accuracy(rows: Rows) -> float:
    """The share told right."""
    return float("nan") if rows.accuracy is None else rows.accuracy


def each_step(value: Callable[[Rows, Array], float], epoch: int = 0) -> Callable[[Seen], Lines]:
    """A value of the rows of each step of an epoch."""

    def of(seen: Seen) -> Lines:
        rows = seen.rows(epoch)
        steps = np.unique(rows.steps)
        return {"": (steps, [value(rows, rows.steps == step) for step in steps])}

    return of


def distance(rows: Rows, here: Array) -> float:
    """The root mean square distance of outputs from labels."""
    gap = np.asarray(rows.y_pred, float)[here].ravel() - np.asarray(rows.y_true, float)[here].ravel()
    return float(np.sqrt(np.mean(gap**2)))


def reported(expected: Callable[[Rows, Array], float]) -> Callable[[Seen], Lines]:
    """The loss of each step over what it should be."""

    def of(seen: Seen) -> Lines:
        (steps, values) = each_step(expected)(seen)[""]
        curve = seen.evidence.steps
        assert curve is not None
        loss = dict(zip(curve.steps.tolist(), curve.loss.tolist(), strict=True))
        return {"": (steps, [loss[int(step)] / value for step, value in zip(steps, values, strict=True)])}

    return of


def squares(rows: Rows, here: Array) -> Array:
    """The squared differences."""
    gap = np.asarray(rows.y_true, float).ravel()[here] - np.asarray(rows.y_pred, float).ravel()[here]
    return np.asarray(gap**2)


def of_known(rows: Rows, here: Array) -> float:
    """The mean over what isn't labelled -1."""
    known = np.asarray(rows.y_true, float).ravel()[here] != -1
    return float(squares(rows, here)[known].mean())


def weighted(rows: Rows, here: Array) -> float:
    """The mean of weighted differences."""
    assert rows.weight is not None
    return float(np.mean(squares(rows, here) * np.asarray(rows.weight, float).ravel()[here]))


# --- over values ---------------------------------------------------------------------------------------


def by_layer(statistic: str) -> Callable[[Seen], Lines]:
    """A statistic of the gradient of each kernel at the first step; 0 where there is none."""

    def of(seen: Seen) -> Lines:
        series = seen.evidence.gradients
        assert series is not None
        first = {_ending(path): value for path, value in series.first(statistic).items()}
        kernels = [_ending(each.path) for each in seen.model.weights if each.path.endswith("kernel")]
        return {"": ([_layer(path) for path in kernels], [first.get(path, 0.0) for path in kernels])}

    return of


def size_over_he(seen: Seen) -> Lines:
    """The deviation of each kernel over He's, sqrt(2 / inputs)."""
    series = seen.evidence.weights
    assert series is not None
    first = {_ending(path): value for path, value in series.first("std").items()}
    kernels = {_ending(each.path): each.shape[0] for each in seen.model.weights if each.path.endswith("kernel")}
    values = [first[path] / np.sqrt(2 / fan_in) for path, fan_in in kernels.items()]
    return {"": ([_layer(path) for path in kernels], values)}


def _ending(path: str) -> str:
    """A weight's path without what is before its layer: of a record and of Keras the same."""
    return "/".join(path.split("/")[-2:])


def _layer(path: str) -> str:
    """The layer's name; of one that Keras named, without its number, which grows over a process."""
    name = path.split("/")[0]
    return "dense" if name.startswith("dense") else name


def counted(values: Callable[[Seen], Array]) -> Callable[[Seen], Lines]:
    """How often each value occurs."""

    def of(seen: Seen) -> Lines:
        found, counts = np.unique(values(seen), return_counts=True)
        return {"": ([f"{each:.3g}" for each in found], counts)}

    return of


def by_class(value: Callable[[Seen, Array], float], what: str = "") -> Callable[[Seen], Lines]:
    """A value of the samples of each class."""

    def of(seen: Seen) -> Lines:
        classes = np.unique(seen.true)
        return {"": ([f"{what}{each:.3g}" for each in classes], [value(seen, seen.true == each) for each in classes])}

    return of


def told_right(seen: Seen, here: Array) -> float:
    """The share of samples whose highest output is their label."""
    return float(np.mean(seen.pred.argmax(axis=-1)[here] == seen.true[here]))


def against_labels(seen: Seen) -> Lines:
    """The mean output of ten groups of samples, ordered by their label."""
    order = np.array_split(np.argsort(seen.true), 10)
    return {"": ([seen.true[each].mean() for each in order], [seen.pred.ravel()[each].mean() for each in order])}


def by_feature(value: Callable[[Seen], Array]) -> Callable[[Seen], Lines]:
    """A value of each column of the inputs."""

    def of(seen: Seen) -> Lines:
        found = value(seen)
        return {"": ([str(place) for place in range(len(found))], found)}

    return of


def inputs(seen: Seen) -> Array:
    """The inputs that were given."""
    return np.asarray(seen.data[0], float)


def gap_of_means(seen: Seen) -> Array:
    """How far the means of validation are from those of training, in deviations of training."""
    x, held_out = inputs(seen), np.asarray(seen.options["validation_data"][0], float)
    return np.asarray(np.abs(held_out.mean(axis=0) - x.mean(axis=0)) / x.std(axis=0))


def likeness(seen: Seen) -> Lines:
    """The correlation of neighbours along each axis of images."""
    x = inputs(seen)

    def between(one: Array, other: Array) -> float:
        return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])

    down, across = between(x[:, 1:], x[:, :-1]), between(x[:, :, 1:], x[:, :, :-1])
    return {"": (["down", "across", "colours"], [down, across, between(x[..., 1:], x[..., :-1])])}


def one_number(name: str, value: Callable[[Seen], float]) -> Callable[[Seen], Lines]:
    """A single number."""
    return lambda seen: {"": ([name], [value(seen)])}


def overlap(seen: Seen) -> float:
    """The share of validation inputs that are inputs of training."""
    train, val = seen.evidence.prints("train", 0), seen.evidence.prints("val", 0)
    assert train is not None
    assert val is not None
    return float(np.isin(val, train).mean())


def neighbours_agree(seen: Seen) -> float:
    """The share of samples whose nearest neighbour has the same label."""
    x, y = inputs(seen), np.asarray(seen.data[1])
    far = ((x[:, None] - x[None]) ** 2).sum(axis=-1) + 1e9 * np.eye(len(x))
    return float(np.mean(y[far.argmin(axis=1)] == y))


def contradicted(seen: Seen) -> float:
    """How many samples have the inputs of another one and another label."""
    found: dict[bytes, set[Any]] = {}
    for row, label in zip(*map(np.asarray, seen.data), strict=True):
        found.setdefault(row.tobytes(), set()).add(int(label))
    return float(sum(len(labels) > 1 for labels in found.values()))


def padding_read(seen: Seen) -> float:
    """The share of the steps a recurrent layer reads that are padding."""
    words, masked = np.asarray(seen.data[0]), seen.evidence.trace.masked or ()
    return 0.0 if "gru" in masked else float(np.mean(words == 0))


def counted_tags(seen: Seen) -> Array:
    """The labels that count in the loss."""
    rows = seen.rows()
    assert rows.y_true is not None
    true = np.asarray(rows.y_true, float).reshape(rows.y_pred.shape[:2])
    words = np.asarray(seen.data[0])
    return true.ravel() if rows.mask is None else true[np.asarray(rows.mask, bool).reshape(true.shape)][: words.size]


def along_a_line(seen: Seen) -> Lines:
    """What goes into the last layer, of inputs on a straight line through one sample: the unit that moves most."""
    inner = keras.Model(seen.model.inputs, seen.model.layers[-2].output)
    places = np.linspace(-3, 3, 21)
    values = keras.ops.convert_to_numpy(inner((places[:, None] * inputs(seen)[:1]).astype("float32")))
    return {"": (places, values[:, values.std(axis=0).argmax()])}


def asked_twice(seen: Seen) -> Array:
    """How far two predictions of the same inputs lie apart."""
    x = inputs(seen).astype("float32")
    once, again = (keras.ops.convert_to_numpy(seen.model(x, training=False)) for _ in range(2))
    return np.asarray(np.abs(once - again).max(axis=-1))


def both_accuracies(seen: Seen) -> Lines:
    """The share told right in training and in validation."""
    return {"": (["training", "validation"], [accuracy(seen.rows()), accuracy(seen.rows(phase="val"))])}


def sums_by_labels(seen: Seen) -> Lines:
    """The mean sum of the outputs by how many labels are true."""
    rows = seen.rows()
    count = np.asarray(rows.y_true).sum(axis=-1)
    places = np.unique(count)
    return {"": (places, [seen.pred.sum(axis=-1)[count == each].mean() for each in places])}


def accuracy_and_truth(seen: Seen) -> Lines:
    """The accuracy that Keras reports, and the share of logits on the right side of 0."""
    history = seen.evidence.history or {}
    name = next(each for each in history if "accuracy" in each and not each.startswith("val"))
    right = each_epoch(lambda rows: float(np.mean((rows.y_pred > 0) == (np.asarray(rows.y_true) > 0))))(seen)[""]
    return {"as Keras reports it": (range(len(history[name])), history[name]), "by the sign": right}


def mean_weight(seen: Seen, here: Array) -> float:
    """The mean weight of some samples."""
    rows = seen.rows()
    assert rows.weight is not None
    return float(np.asarray(rows.weight, float).ravel()[here].mean())


def given_weights(seen: Seen) -> Array:
    """The sample weights given to `fit`."""
    return np.asarray(seen.options["sample_weight"], float)


def weights_in_order(seen: Seen) -> Lines:
    """The weight of each sample."""
    weights = given_weights(seen)
    return {"": (range(len(weights)), np.where(weights < 1e-6, 0.0, weights))}


def steps_of_epochs(seen: Seen) -> Lines:
    """How many steps each epoch had."""
    curve = seen.evidence.steps
    assert curve is not None
    epochs = range(int(seen.options["epochs"]))
    return {"": ([str(epoch) for epoch in epochs], [int((curve.epochs == epoch).sum()) for epoch in epochs])}


def of_output(seen: Seen) -> Array:
    """The labels given to the first output."""
    return np.asarray(seen.rows().y_true, float).ravel()


def trained(seen: Seen) -> float:
    """How many numbers Keras trains."""
    return float(sum(int(np.prod(each.shape)) for each in seen.model.trainable_variables))


Q = Quantity
STEP, EPOCH = "step", "epoch"
LABELS = Q("labels: how many of each", "label", counted(lambda seen: seen.true), "bars")
AGAINST = Q("mean output of samples ordered by their label", "label", against_labels)
OUTPUTS = Q("outputs: share of each value", "output", lambda seen: seen.pred.ravel(), "steps")
RATIO = Q("norm of an update over that of its weight", STEP, update_ratio)
ACCURACY = Q("share told right", EPOCH, each_epoch(accuracy))
RIGHT = Q("share told right, by class", "class", by_class(told_right), "bars")

QUANTITIES: dict[str, Quantity] = {
    # the model
    "broken_graph": Q("norm of the gradient at the first step", "layer", by_layer("norm"), "bars"),
    "dead_relu": Q("share of units of 'hidden' that are 0 for a batch", STEP, layer("dead"), limit="_MOST"),
    "dropout_too_high": Q("share of zeros behind 'dropout'", STEP, layer("near_zero", "dropout")),
    "frozen_by_mistake": Q("deviation of the kernel of 'hidden'", EPOCH, weight("std")),
    "initial_weights_too_large": Q("first kernels, in units of He's", "layer", size_over_he, "bars", 4.0),
    "mask_lost": Q("share of the steps read that are padding", "", one_number("'gru'", padding_read), "bars"),
    "missing_activation": Q("what reaches the last layer, along a line of inputs", "place", along_a_line),
    "penalty_too_strong": Q("norm of the kernel of 'hidden'", EPOCH, weight("norm")),
    "saturated_units": Q("share of values of 'hidden' at an end of tanh", STEP, layer("near_one")),
    "tiny_batches_under_batch_norm": Q("share told right", "", both_accuracies, "bars"),
    "too_few_units": RIGHT,
    "training_flag_ignored": Q("two answers to one input: how far apart", "distance", asked_twice, "steps"),
    "untracked_weights": Q("numbers that are trained", "", one_number("the model", trained), "bars"),
    "vanishing_gradient": Q("norm of the gradient at the first step", "layer", by_layer("norm"), "line"),
    "zero_initialisation": Q("norm of the gradient of 'one'", STEP, gradient(end="one/kernel")),
    # the data
    "axes_scrambled": Q("correlation of neighbouring numbers", "along", likeness, "bars"),
    "constant_features": Q(
        "different values",
        "feature",
        by_feature(lambda seen: np.array([len(np.unique(each)) for each in inputs(seen).T])),
        "bars",
    ),
    "epochs_differ": Q("steps", EPOCH, steps_of_epochs, "bars"),
    "nan_in_data": Q(
        "share of values that are no number",
        "feature",
        by_feature(lambda seen: np.isnan(inputs(seen)).mean(axis=0)),
        "bars",
    ),
    "not_shuffled": Q(
        "mean label of each batch of the first epoch",
        STEP,
        each_step(lambda rows, here: float(np.asarray(rows.y_true, float)[here].mean())),
    ),
    "padding_counted": Q("labels that count in the loss", "label", counted(counted_tags), "bars"),
    "train_validation_overlap": Q(
        "share of validation that is in training", "", one_number("validation", overlap), "bars", 0.05
    ),
    "unscaled_inputs": Q(
        "root mean square",
        "feature",
        by_feature(lambda seen: np.sqrt((inputs(seen) ** 2).mean(axis=0))),
        "bars",
        10.0,
    ),
    "validation_preprocessed_differently": Q(
        "validation's mean from training's, in deviations", "feature", by_feature(gap_of_means), "bars", 1.0
    ),
    # labels and weights
    "class_imbalance": RIGHT,
    "conflicting_duplicates": Q("inputs with two labels", "", one_number("all inputs", contradicted), "bars"),
    "inverted_class_weights": Q("mean weight, by class (2 is rare)", "class", by_class(mean_weight), "bars"),
    "label_encoding": LABELS,
    "labels_out_of_range": LABELS,
    "labels_scaled": LABELS,
    "misaligned_labels": Q(
        "nearest neighbours that share a label", "", one_number("all samples", neighbours_agree), "bars"
    ),
    "noisy_labels": Q(
        "probability given to the label, last epoch",
        "probability",
        lambda seen: seen.pred[np.arange(len(seen.pred)), seen.true.astype(int)],
        "steps",
    ),
    "weights_are_labels": Q("sample weights: share of each value", "weight", given_weights, "steps"),
    "zero_sample_weights": Q("weight (what is below a millionth: 0)", "sample", weights_in_order),
    # the loss
    "implicit_broadcast": AGAINST,
    "log_or_root_of_zero": Q("numbers from 'log' that are not finite", STEP, layer("nonfinite", "log")),
    "logits_as_probabilities": Q(
        "outputs of the first epoch",
        "output",
        lambda seen: np.asarray(seen.rows(0).y_pred, float).ravel(),
        "steps",
    ),
    "loss_activation_mismatch": Q("sum of the outputs, by how many labels are true", "true labels", sums_by_labels),
    "loss_unsuited_to_task": AGAINST,
    "mean_over_masked": Q("loss over the mean of what is known", STEP, reported(of_known)),
    "no_gradient_through_loss": Q("norm of the gradient of 'hidden'", STEP, gradient()),
    "output_range": AGAINST,
    "probabilities_as_logits": Q(
        "outputs of the first epoch",
        "output",
        lambda seen: np.asarray(seen.rows(0).y_pred, float).ravel(),
        "steps",
    ),
    "reduced_before_weights": Q("loss over the weighted mean of its samples", STEP, reported(weighted)),
    "softmax_on_one_unit": OUTPUTS,
    "swapped_arguments": OUTPUTS,
    "swapped_outputs": Q("labels given to 'kind'", "label", of_output, "steps"),
    "unsuited_metric": Q("share told right", EPOCH, accuracy_and_truth),
    "wrong_number_of_units": Q(
        "mean of the first output, by class",
        "class",
        by_class(lambda seen, here: float(seen.pred[here][..., 0].mean())),
        "bars",
    ),
    # optimisation
    "clipping_too_tight": RATIO,
    "exploding_gradient": Q("norm of the recurrent gradient", STEP, gradient(end="recurrent_kernel")),
    "gradient_not_finite": Q("numbers in a gradient that are not finite", STEP, gradient("nonfinite", "kernel")),
    "learning_rate_too_high": RATIO,
    "learning_rate_too_low": RATIO,
    "negative_learning_rate": Q(
        "root mean square distance from the labels",
        EPOCH,
        each_epoch(lambda rows: distance(rows, np.ones(len(rows), bool))),
    ),
    "schedule_dies": Q("learning rate", STEP, rate),
    # the course of training
    "collapsed_predictions": Q(
        "deviation of outputs over samples",
        EPOCH,
        each_epoch(lambda rows: float(np.asarray(rows.y_pred, float).std(axis=0).max())),
        limit="_OF_LABELS",
    ),
    "early_stopping_wrong_way": Q("accuracy, to be made small or large", EPOCH, history(_="accuracy")),
    "loss_not_falling": ACCURACY,
    "overfitting": Q("mean loss of an epoch", EPOCH, history(training="loss", validation="val_loss")),
    "too_few_epochs": ACCURACY,
}
