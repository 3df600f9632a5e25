"""Single samples in two runs: those newly right, those newly wrong, and those whose loss changed most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap.comparison.measured import Calls, Measured

__all__ = ["changed_losses", "label_changes", "newly", "no_calls"]

Array = npt.NDArray[Any]


def newly(
    output: str, measured: tuple[Measured, Measured], places: tuple[Array, Array], names: Array, *, right: bool
) -> pa.Table:
    """Samples that the other run gets right and this one doesn't, or the other way round.

    Args:
        output: The output.
        measured: It, in both runs.
        places: Rows of here and there, one beside the other.
        names: What the rows of here are called.
        right: Whether newly right ones are meant.

    Returns:
        output, sample_id, unit (the label's index, of multi-label outputs), label, pred_here, pred_there (null for
        sequences and images, which are right when every step is), loss_here, loss_there; the greatest change of loss
        first. Samples whose labels differ between the runs are left out.
    """
    here, there = (each.calls for each in measured)
    if here is None or there is None or here.right.shape[1:] != there.right.shape[1:]:
        return no_calls(names)
    first, second = here.right[places[0]], there.right[places[1]]
    same = _same(here, there, places)
    turned = (~first & second if right else first & ~second) & same
    at, unit = turned.nonzero() if turned.ndim > 1 else (np.flatnonzero(turned), None)
    rows = (places[0][at], places[1][at])
    losses = [_at(each.losses, row) for each, row in zip(measured, rows, strict=True)]
    order = np.argsort(-np.nan_to_num(np.abs(losses[1] - losses[0]), nan=-1.0), kind="stable")
    named = here.label is not None and there.label is not None

    def values(calls: Calls, which: str, row: Array) -> pa.Array:
        kept = getattr(calls, which)
        if not named or kept is None:
            return pa.nulls(len(row), pa.int64())
        return pa.array((kept[row] if unit is None else kept[row, unit])[order], pa.int64())

    return pa.table(
        {
            "output": pa.array([output] * len(at), pa.string()),
            "sample_id": _ids(names[rows[0]][order], names),
            "unit": pa.nulls(len(at), pa.int64()) if unit is None else pa.array(unit[order], pa.int64()),
            "label": values(here, "label", rows[0]),
            "pred_here": values(here, "pred", rows[0]),
            "pred_there": values(there, "pred", rows[1]),
            "loss_here": _numbers(losses[0][order]),
            "loss_there": _numbers(losses[1][order]),
        }
    )


def label_changes(measured: tuple[Measured, Measured], places: tuple[Array, Array]) -> int:
    """How many samples have another label in the other run."""
    here, there = (each.calls for each in measured)
    if here is None or there is None or here.right.shape[1:] != there.right.shape[1:]:
        return 0
    valid = here.valid[places[0]] & there.valid[places[1]]
    same = _same(here, there, places)
    return int((valid & ~(same.all(axis=1) if same.ndim > 1 else same)).sum())


def changed_losses(
    losses: tuple[Array | None, Array | None], places: tuple[Array, Array], names: Array, most: int
) -> pa.Table:
    """The samples whose loss changed most.

    Args:
        losses: The unweighted loss of each row, here and there.
        places: Rows of here and there, one beside the other.
        names: What the rows of here are called.
        most: How many.

    Returns:
        sample_id, loss_here, loss_there, difference (there minus here), the greatest first. A loss that is NaN in one
        run is the greatest change; a sample whose loss is NaN in both, or the same, is left out.
    """
    first, second = (_at(loss, row) for loss, row in zip(losses, places, strict=True))
    difference = second - first
    one = np.isnan(first) != np.isnan(second)
    size = np.where(one & (losses[0] is not None) & (losses[1] is not None), np.inf, np.nan_to_num(np.abs(difference)))
    order = np.argsort(-size, kind="stable")[: max(0, most)]
    order = order[size[order] > 0]
    return pa.table(
        {
            "sample_id": _ids(names[places[0]][order], names),
            "loss_here": _numbers(first[order]),
            "loss_there": _numbers(second[order]),
            "difference": _numbers(difference[order]),
        }
    )


def no_calls(names: Array) -> pa.Table:
    """No samples, in the columns of `newly`."""
    kinds: Sequence[tuple[str, pa.DataType]] = [
        ("output", pa.string()),
        ("sample_id", _kind(names)),
        *((name, pa.int64()) for name in ("unit", "label", "pred_here", "pred_there")),
        *((name, pa.float64()) for name in ("loss_here", "loss_there")),
    ]
    return pa.schema(kinds).empty_table()


def _same(here: Calls, there: Calls, places: tuple[Array, Array]) -> Array:
    """Which pairs of rows have labels that are the same; of sequences, labels in both."""
    valid = here.valid[places[0]] & there.valid[places[1]]
    if here.label is None or there.label is None:
        return valid
    same = here.label[places[0]] == there.label[places[1]]
    return np.asarray(same & (valid[:, None] if same.ndim > 1 else valid))


def _at(losses: Array | None, rows: Array) -> Array:
    return np.full(len(rows), np.nan) if losses is None else losses[rows]


def _kind(names: Array) -> pa.DataType:
    return pa.int64() if names.dtype.kind == "i" else pa.string()


def _ids(ids: Array, names: Array) -> pa.Array:
    return pa.array(ids.tolist(), _kind(names))


def _numbers(values: Array) -> pa.Array:
    """Numbers, null for what isn't one."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))
