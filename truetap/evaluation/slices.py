"""`evaluate_slices`: the same metrics for parts of the samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from truetap.errors import TaskError
from truetap.evaluation.chunk import Chunk
from truetap.evaluation.evaluator import Chunks, evaluate
from truetap.evaluation.result import Evaluation
from truetap.evaluation.totals import NothingToMeasureError
from truetap.tasks.task import Array, OutputTask


def evaluate_slices(
    chunks: Chunks,
    spec: OutputTask,
    by: Mapping[str, Array],
    *,
    class_names: Sequence[str] | None = None,
    weighted: bool = False,
    bins: int = 15,
    memory: int = 1 << 30,
) -> dict[str, Evaluation]:
    """The same metrics for parts of the samples; one pass over the chunks per part.

    Args:
        chunks: As for `evaluate`.
        spec: As for `evaluate`.
        by: bool (n,) per name: which of all samples, in order, belong to the part.
        class_names: As for `evaluate`.
        weighted: As for `evaluate`.
        bins: As for `evaluate`.
        memory: As for `evaluate`; for one part at a time.

    Returns:
        An Evaluation per name. A part that holds nothing has no metrics and a note.

    Raises:
        TaskError: As for `evaluate`, or a part's array isn't bool (n,).
    """
    found = {}
    for name, members in by.items():
        select = _selection(chunks, np.asarray(members), name)
        try:
            found[name] = evaluate(select, spec, class_names=class_names, weighted=weighted, bins=bins, memory=memory)
        except NothingToMeasureError as empty:
            note = f"Nothing to measure in this slice: {empty}"
            found[name] = Evaluation(spec.task, int(members.sum()), 0, None, {}, notes=(note,))
    return found


def _selection(chunks: Chunks, members: Array, name: str) -> Chunks:
    if members.dtype.kind != "b" or members.ndim != 1:
        raise TaskError(
            f"A slice can't be read. Received: {name!r} of dtype {members.dtype} and shape "
            f"{members.shape}. Expected: bool of shape (n,), True where a sample belongs to it."
        )

    def selected() -> Iterator[Chunk]:
        start = 0
        for chunk in chunks():
            rows = members[start : start + len(chunk.y_pred)]
            start += len(chunk.y_pred)
            if len(rows) == len(chunk.y_pred):
                yield _rows(chunk, rows)
        if start != len(members):
            raise TaskError(
                f"A slice doesn't fit the samples. Received: {name!r} with {len(members):,} values for "
                f"{start:,} samples. Expected: one per sample."
            )

    return selected


def _rows(chunk: Chunk, rows: Array) -> Chunk:
    def pick(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    return replace(
        chunk,
        y_true=chunk.y_true[rows],
        y_pred=chunk.y_pred[rows],
        mask=pick(chunk.mask),
        weight=pick(chunk.weight),
        loss=pick(chunk.loss),
    )
