"""Each output in the view that fits its task: what came out of the last recorded epoch.

Validation is looked at where it was recorded with labels, else training, else what there is. Numbers are those of
`samples.evaluate()`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from truetap import rows
from truetap.about import column
from truetap.errors import TaskError
from truetap.evaluation import Evaluation
from truetap.report import charts
from truetap.report.confused import confused
from truetap.report.content import Chart, Column, Part, Section, Table
from truetap.report.roster import Roster
from truetap.tasks import OutputTask, Task

if TYPE_CHECKING:
    from truetap.run import Run
    from truetap.samples import Samples

__all__ = ["Looked", "looked_at", "metrics_table", "outputs", "precision_recall", "reliability"]

Array = npt.NDArray[Any]

_PHASES = ("val", "test", "train", "predict")
_WORDS = {"val": "validation", "train": "training", "test": "test", "predict": "prediction"}
_MOST_POINTS, _BINS, _MOST_CURVE = 1_500, 40, 400


@dataclass(frozen=True)
class Looked:
    """The samples that the views are of.

    Attributes:
        phase: Their phase; "" of a collection, which has none.
        epoch: Their epoch; None of a collection.
        samples: The rows.
    """

    phase: str
    epoch: int | None
    samples: Samples

    @property
    def words(self) -> str:
        """Such as "validation, epoch 3"."""
        if self.epoch is None:
            return f"{len(self.samples):,} samples"
        return f"{_WORDS.get(self.phase, self.phase)}, epoch {self.epoch}, {len(self.samples):,} samples"


def looked_at(run: Run) -> Looked | None:
    """The last epoch of the phase that tells most; None where there are no labelled samples."""
    if "samples" not in run.tables or not run.reader.num_rows("samples"):
        return None
    epochs = run.sample_epochs
    if not epochs:
        samples = run.samples()
        return Looked("", None, samples) if _labelled(samples) else None
    for phase in sorted(epochs, key=lambda name: _PHASES.index(name) if name in _PHASES else len(_PHASES)):
        samples = run.samples(phase, -1)
        if _labelled(samples):
            return Looked(phase, epochs[phase][-1], samples)
    return None


def outputs(run: Run, looked: Looked, roster: Roster) -> list[Section]:
    """A section for each output that has labels."""
    made = []
    for place, name in enumerate(looked.samples.output_names):
        if not _has_labels(looked.samples, name):
            continue
        view = looked.samples[name] if name else looked.samples
        heading = f"Output {name}" if name else "What came out"
        made.append(_section(run, looked, view, f"output-{place}", heading, roster))
    return made


def _section(run: Run, looked: Looked, view: Samples, anchor: str, heading: str, roster: Roster) -> Section:
    try:
        task = view.task()
        evaluation = view.evaluate()
    except TaskError as error:
        return Section(anchor, heading, (f"There are no metrics of it: {error}",))
    assert isinstance(evaluation, Evaluation)  # the view is of one output
    parts: list[Part] = [metrics_table(evaluation)]
    parts += _parts(run, looked, view, task, evaluation, roster)
    said = (f"A {task.task} output; {looked.words}.", *evaluation.notes)
    return Section(anchor, heading, said, tuple(parts))


def _parts(
    run: Run, looked: Looked, view: Samples, task: OutputTask, evaluation: Evaluation, roster: Roster
) -> Iterable[Part]:
    if evaluation.confusion is not None:
        yield confused(run, looked.phase, view, task, evaluation, roster)
    if task.task is Task.REGRESSION:
        yield from _numbers(view, evaluation)
    if evaluation.per_class:
        title = "Labels, each by itself" if task.task is Task.MULTILABEL else "Classes, each against the others"
        names = ("precision", "recall", "f1", "support", "roc_auc", "average_precision", "iou")
        yield _rows(title, "name", names, evaluation.per_class)
    if task.task in (Task.BINARY, Task.MULTICLASS) and task.classes == 2 and not task.positions:
        curve = _precision_recall(view)
        if curve is not None:
            yield curve
    bins = evaluation.calibration
    if bins is not None and bins.count.sum():
        yield reliability(bins.confidence, bins.accuracy, bins.count, bins.ece)
    if evaluation.per_output and any(math.isfinite(row.mae) for row in evaluation.per_output):
        yield _rows("Dimensions of the output", "name", ("mae", "rmse", "r2", "bias"), evaluation.per_output)
    if evaluation.per_timestep:
        yield from _timesteps(evaluation)


def metrics_table(evaluation: Evaluation, title: str = "Metrics") -> Table:
    """The loss and the metrics."""
    found = dict(evaluation.metrics)
    if evaluation.loss is not None:
        found = {"loss": evaluation.loss, **found}
    return Table(title, (Column("metric", "text"), Column("value")), tuple(found.items()))


def _rows(title: str, key: str, names: tuple[str, ...], found: Iterable[Any]) -> Table:
    """Dataclass rows without the columns that hold nothing."""
    listed = list(found)
    names = tuple(name for name in names if any(not math.isnan(getattr(row, name)) for row in listed))
    columns = (Column(key, "text"), *(Column(name) for name in names))
    return Table(
        title, columns, tuple((str(getattr(row, key)), *(getattr(row, name) for name in names)) for row in listed)
    )


def _precision_recall(view: Samples) -> Chart | None:
    """Precision over recall of the second class, at every threshold."""
    true = np.asarray(view.true_labels).reshape(-1)
    score = np.asarray(view.y_pred, np.float64).reshape(len(true), -1)[:, -1]
    if np.asarray(view.y_pred).reshape(len(true), -1).shape[1] == 2:
        score = score - np.asarray(view.y_pred, np.float64).reshape(len(true), -1)[:, 0]
    known = np.isfinite(score) & np.isin(true, (0, 1))
    if not known.any() or not true[known].any():
        return None
    precision, recall, _ = precision_recall_curve(true[known], score[known])
    return precision_recall(precision, recall, int(known.sum()), float(true[known].mean()), "1")


def precision_recall(precision: Array, recall: Array, count: int, share: float, name: str) -> Chart:
    """Precision over recall at some of all thresholds.

    Args:
        precision, recall: As scikit-learn's precision_recall_curve gives them.
        count: Of samples.
        share: Of the class that is looked for.
        name: Of that class.
    """
    kept = np.unique(np.linspace(0, len(recall) - 1, min(_MOST_CURVE, len(recall))).round().astype(int))[::-1]
    words = (
        f"Precision of class {name} over its recall, {count:,} samples. A prediction by chance would have a "
        f"precision of {share:.3g}, the share of that class."
    )
    spec = charts.lines({"precision": (recall[kept], precision[kept])}, "recall", "precision", log=False)
    return Chart("Precision and recall", words, spec)


def reliability(confidence: Array, right: Array, count: Array, error: float) -> Chart:
    """How often predictions of a confidence are right, by bins; `error` is the expected calibration error."""
    words = (
        f"How often predictions are right, by their confidence. Expected calibration error {error:.3g}: the mean "
        "distance from the diagonal. Points below it are of a model that is too sure of itself."
    )
    return Chart("Reliability", words, charts.reliability(confidence, right, count))


def _numbers(view: Samples, evaluation: Evaluation) -> Iterable[Part]:
    """Predicted against true, and residuals."""
    true, pred = _flat(view)
    known = np.isfinite(true) & np.isfinite(pred)
    true, pred = true[known], pred[known]
    if not len(true):
        return
    some = np.arange(len(true))
    if len(true) > _MOST_POINTS:
        some = np.sort(np.random.default_rng(0).choice(len(true), _MOST_POINTS, replace=False))
    drawn = (
        f"{len(some):,} of {len(true):,} values, drawn at random" if len(some) < len(true) else f"{len(true):,} values"
    )
    yield Chart(
        "Predicted against true",
        f"{drawn}; on the dashed line they would be equal.",
        charts.scatter(true[some], pred[some]),
    )
    residual = pred - true
    counts, edges = np.histogram(residual, _BINS)
    quantiles = ", ".join(f"{at:.0%}: {value:.4g}" for at, value in evaluation.residual_quantiles.items())
    words = f"Prediction minus truth, of {len(true):,} values. Quantiles: {quantiles}."
    yield Chart("Residuals", words, charts.bars(edges, counts, "prediction minus truth"))


def _flat(view: Samples) -> tuple[Array, Array]:
    """All valid numbers of truth and prediction, end to end."""
    found: list[tuple[Array, Array]] = []
    for true, pred, mask in view.pairs():
        right = np.asarray(true, np.float64).reshape(pred.shape) if true.size == pred.size else None
        if right is None:
            right = np.broadcast_to(true, pred.shape).astype(np.float64)
        left = np.asarray(pred, np.float64)
        if mask is not None:
            right, left = right[mask.astype(bool)], left[mask.astype(bool)]
        found.append((right.reshape(-1), left.reshape(-1)))
    return np.concatenate([each[0] for each in found]), np.concatenate([each[1] for each in found])


def _timesteps(evaluation: Evaluation) -> Iterable[Part]:
    steps = evaluation.per_timestep
    name = "mae" if all(math.isnan(step.accuracy) for step in steps) else "accuracy"
    at = np.asarray([step.step for step in steps], np.float64)
    values = np.asarray([getattr(step, name) for step in steps], np.float64)
    words = f"{name} at each of {len(steps):,} timesteps: {values[0]:.4g} at the first, {values[-1]:.4g} at the last."
    yield Chart("By timestep", words, charts.lines({name: (at, values)}, "timestep", name, log=False, points=True))
    yield _rows("Timesteps", "step", ("count", "accuracy", "mae"), steps)


def _labelled(samples: Samples) -> bool:
    return any(_has_labels(samples, name) for name in samples.output_names)


def _has_labels(samples: Samples, name: str) -> bool:
    return column("y_true", name) in rows.column_names(samples.record_batches)
