"""`evaluate`: metrics fit for the task, from a stream of chunks, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from truetap.errors import TaskError
from truetap.evaluation.categorical import Categorical, Ordinal
from truetap.evaluation.chunk import Chunk, flatten
from truetap.evaluation.measure import Measure, Options
from truetap.evaluation.multilabel import Multilabel
from truetap.evaluation.regression import Regression
from truetap.evaluation.result import Evaluation
from truetap.evaluation.steps import Steps
from truetap.evaluation.totals import Totals
from truetap.tasks.task import OutputTask, Task

Chunks = Callable[[], Iterator[Chunk]]

_MEASURES: dict[Task, Callable[[OutputTask, Options], Measure]] = {
    Task.BINARY: Categorical,
    Task.MULTICLASS: Categorical,
    Task.MULTILABEL: Multilabel,
    Task.ORDINAL: Ordinal,
    Task.REGRESSION: Regression,
}


def evaluate(
    chunks: Chunks,
    spec: OutputTask,
    *,
    class_names: Sequence[str] | None = None,
    weighted: bool = False,
    bins: int = 15,
    memory: int = 1 << 30,
) -> Evaluation:
    """Metrics fit for the task.

    Args:
        chunks: Called for an iterator over the samples; a chunk of any number of them at a time.
        spec: What the output's values mean, from `truetap.tasks.infer`.
        class_names: One name per class, in the order of class indices.
        weighted: Whether weights count, as scikit-learn's `sample_weight` does.
        bins: Number of bins of the calibration.
        memory: Bytes of scores that may be held for metrics that need all at once (ROC AUC, average
            precision; quantiles of residuals). Above that they are left out, and `notes` says so.

    Returns:
        The same numbers, to float rounding, for any division into chunks.

    Raises:
        TaskError: There is nothing to measure, or labels, scores, names and `spec` don't fit.

    Example:
        >>> from truetap.tasks import OutputTask, Task
        >>> chunk = Chunk(y_true=np.array([0, 1, 1]), y_pred=np.array([[0.2], [0.9], [0.4]]))
        >>> result = evaluate(lambda: iter([chunk]), OutputTask(Task.BINARY, logits=False, classes=2))
        >>> result["recall"]
        0.5
    """
    options = Options(_checked_names(class_names, spec), bins, memory)
    totals, steps, measured = Totals(), Steps(spec.task), _MEASURES[spec.task](spec, options)
    for chunk in chunks():
        positions = flatten(chunk, spec, weighted=weighted)
        totals.add(positions)
        if not len(positions.true):
            continue
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and inf are counted, and said in notes
            for reducer in measured.reducers:
                reducer.add(positions)
            if spec.positions == 1:
                steps.add(positions)
    totals.check(weighted=weighted)
    parts = measured.result()
    metrics = dict(parts.metrics)
    if spec.positions == 1 and spec.task is not Task.REGRESSION:
        metrics["exact_match"] = steps.exact_match
    return Evaluation(
        task=spec.task,
        num_samples=totals.samples,
        num_valid=totals.positions,
        loss=totals.loss,
        metrics=metrics,
        per_class=parts.per_class,
        per_output=parts.per_output,
        confusion=parts.confusion,
        calibration=parts.calibration,
        residual_quantiles=parts.residual_quantiles,
        per_timestep=steps.rows(),
        class_names=options.class_names,
        notes=(*totals.notes(spec), *parts.notes),
    )


def _checked_names(names: Sequence[str] | None, spec: OutputTask) -> tuple[str, ...] | None:
    if names is None:
        return None
    if spec.task is not Task.REGRESSION and len(names) != spec.classes:
        raise TaskError(
            f"Class names don't match the classes. Received: {len(names)} names. Expected: "
            f"{spec.classes}, one per class of a {spec.task} output, in the order of class indices."
        )
    return tuple(map(str, names))
