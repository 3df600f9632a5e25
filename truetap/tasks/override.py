"""A task told by the user, checked against the values."""

from __future__ import annotations

from truetap.errors import TaskError
from truetap.tasks.facts import Facts, Layout
from truetap.tasks.task import Family, Hint, Task


def override(facts: Facts, hint: Hint, task: Task) -> tuple[Task, bool]:
    """The task as told and, for ordinal outputs, whether scores are cumulative.

    Raises:
        TaskError: The values contradict the task.
    """
    expected = _CHECKS[task](facts, hint)
    if expected:
        raise TaskError(
            f"The values contradict task='{task}'. Received: {facts.describe()}. Expected: {expected}. "
            "Pass another task, or leave it out to have it found from the values."
        )
    return task, task is not Task.ORDINAL or _cumulative(facts, hint)


def _binary(facts: Facts, hint: Hint) -> str:
    if facts.layout not in (Layout.SCALAR, Layout.SAME):
        return "one label per score"
    if facts.layout is Layout.SAME and (hint.squashed == "softmax" or hint.family is Family.CATEGORICAL):
        return f"a single sigmoid unit; {facts.units} units of a softmax are task='multiclass'"
    return _yes_or_no(facts)


def _multiclass(facts: Facts, hint: Hint) -> str:
    if facts.layout not in (Layout.INDEX, Layout.SAME):
        return "one score per class, in two units or more"
    return _index_or_rows(facts)


def _multilabel(facts: Facts, hint: Hint) -> str:
    if facts.layout not in (Layout.SCALAR, Layout.SAME):
        return "labels of the shape of the scores"
    return _yes_or_no(facts)


def _ordinal(facts: Facts, hint: Hint) -> str:
    if facts.layout is Layout.INDEX:
        return _index_or_rows(facts, extra=_cumulative(facts, hint))
    if facts.layout is not Layout.SAME:
        return "scores with two units or more, cumulative (1 1 0 0) or one per rank"
    rows = facts.target.rows_falling if _cumulative(facts, hint) else facts.target.rows_one_or_none
    return "" if facts.target.zero_one and rows else "rows such as 1 1 0 0, one-hot rows, or ranks"


def _regression(facts: Facts, hint: Hint) -> str:
    same = facts.layout in (Layout.SCALAR, Layout.SAME)
    return "" if same else "targets of the shape of the scores"


def _yes_or_no(facts: Facts) -> str:
    return "" if facts.target.plus_minus or facts.target.unit else "labels 0 and 1, -1 and 1, or between 0 and 1"


def _index_or_rows(facts: Facts, *, extra: bool = False) -> str:
    target, highest = facts.target, facts.units - 1 + extra
    if facts.layout is Layout.SAME:
        return "" if target.unit else "one-hot rows, or soft ones from 0 to 1"
    return "" if target.integral and target.high <= highest else f"class indices from 0 to {highest}"


def _cumulative(facts: Facts, hint: Hint) -> bool:
    """Whether units score "above rank k" rather than "rank k"."""
    if hint.squashed == "softmax" or hint.family is Family.CATEGORICAL:
        return False
    if facts.layout is Layout.INDEX:
        by_rank = hint.squashed is None and facts.scores_unit and facts.scores_sum
        return not by_rank or facts.target.high == facts.units
    return facts.target.rows_falling


_CHECKS = {
    Task.BINARY: _binary,
    Task.MULTICLASS: _multiclass,
    Task.MULTILABEL: _multilabel,
    Task.ORDINAL: _ordinal,
    Task.REGRESSION: _regression,
}
