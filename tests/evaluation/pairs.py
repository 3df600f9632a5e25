"""Random pairs of labels and scores, and how tests evaluate them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.evaluation import Chunk, Evaluation, evaluate
from truetap.tasks import OutputTask, Task

Array = npt.NDArray[Any]

BINARY = OutputTask(Task.BINARY, logits=False, classes=2)
MULTICLASS = OutputTask(Task.MULTICLASS, logits=False, classes=7)
MULTILABEL = OutputTask(Task.MULTILABEL, logits=False, classes=4)
ORDINAL = OutputTask(Task.ORDINAL, logits=False, classes=5)
REGRESSION = OutputTask(Task.REGRESSION, logits=False, classes=0)


def chunked(whole: Chunk, size: int) -> list[Chunk]:
    """The same samples in chunks of a size."""

    def part(values: Array | None, start: int) -> Array | None:
        return None if values is None else values[start : start + size]

    return [
        Chunk(
            whole.y_true[start : start + size],
            whole.y_pred[start : start + size],
            part(whole.mask, start),
            part(whole.weight, start),
            part(whole.loss, start),
        )
        for start in range(0, len(whole.y_pred), size)
    ]


def run(whole: Chunk, spec: OutputTask, size: int | None = None, **options: Any) -> Evaluation:
    chunks = [whole] if size is None else chunked(whole, size)

    def again() -> Iterator[Chunk]:
        return iter(chunks)

    return evaluate(again, spec, **options)


def softmax_rows(rng: np.random.Generator, *shape: int) -> Array:
    powers = np.exp(rng.normal(0, 2, shape))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def pairs(task: Task, n: int = 200, seed: int = 0) -> Chunk:
    """Pairs of n samples with weights and losses, for the specs above."""
    rng = np.random.default_rng(seed)
    weight, loss = rng.random(n) + 0.1, rng.random(n)
    y_true: Array
    y_pred: Array
    if task is Task.BINARY:
        y_true = rng.integers(0, 2, n)
        y_pred = (0.3 * y_true + 0.7 * rng.random(n))[:, None]
    elif task is Task.MULTICLASS:
        y_true = rng.integers(0, 7, n)
        y_pred = softmax_rows(rng, n, 7) + 0.3 * np.eye(7)[y_true]
        y_pred = y_pred / y_pred.sum(1, keepdims=True)
    elif task is Task.MULTILABEL:
        y_true = rng.integers(0, 2, (n, 4))
        y_pred = 0.3 * y_true + 0.7 * rng.random((n, 4))
    elif task is Task.ORDINAL:
        y_true = (np.arange(4) < rng.integers(0, 5, (n, 1))).astype(np.float32)
        y_pred = 0.3 * y_true + 0.7 * rng.random((n, 4))
    else:
        y_true = rng.normal(50, 3, n)
        y_pred = (y_true + rng.normal(0.5, 1, n))[:, None]
    return Chunk(y_true, y_pred, weight=weight, loss=loss)


SPECS = (BINARY, MULTICLASS, MULTILABEL, ORDINAL, REGRESSION)
