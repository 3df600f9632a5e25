"""`Samples` as text, as HTML and as a pandas frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap import rows
from truetap.errors import TaskError
from truetap.notebook.html import page
from truetap.showing import Table, as_text, printable
from truetap.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

    from truetap.samples import Samples

__all__ = ["frame", "html", "text"]

Array = npt.NDArray[Any]

_SHOWN = 20


def text(samples: Samples) -> str:
    """A line of facts, then the first rows as a table."""
    lines = as_text(_table(samples), indent="") if len(samples) else []
    return "\n".join([printable(_headline(samples)), *lines, *(f"! {printable(said)}" for said in samples.notices)])


def html(samples: Samples) -> str:
    """The same as HTML."""
    return page(_headline(samples), *([_table(samples)] if len(samples) else []), notes=samples.notices)


def frame(samples: Samples) -> pd.DataFrame:
    """One row per sample; see `Samples.to_pandas`."""
    columns: dict[str, Any] = {"sample_id": samples.ids}
    if samples.epochs is not None:
        columns |= {"epoch": samples.epochs, "step": samples.steps}
    for name in samples.output_names:
        one = samples if samples.output_names == ("",) else samples[name]
        tail = f"/{name}" if name else ""
        labels = _labels(one)
        if labels is not None:
            columns |= {f"true_label{tail}": _cells(labels[0]), f"pred_label{tail}": _cells(labels[1])}
        for kind, values in (("y_true", one.y_true), ("y_pred", one.y_pred)):
            if values is not None:
                columns[f"{kind}{tail}"] = _cells(values)
    for kind, values in (("loss", samples.loss), ("sample_weight", samples.sample_weight)):
        if isinstance(values, np.ndarray):
            columns[kind] = _cells(values)
    return pd.DataFrame(columns)


def _headline(samples: Samples) -> str:
    about = samples.about
    outputs = "" if about.outputs == ("",) else f", outputs {', '.join(about.outputs)}"
    source = f" from {about.source}" if about.source else ""
    return f"Samples: {len(samples):,}{source}{outputs}"


def _table(samples: Samples) -> Table:
    """The first rows: ids, then truth and prediction of each output, then the loss."""
    first = samples[:_SHOWN] if len(samples) > _SHOWN else samples
    header, columns = ["sample_id"], [[str(item) for item in first.ids.tolist()]]
    if first.epochs is not None:
        header.append("epoch")
        columns.append([str(item) for item in first.epochs.tolist()])
    if "timestep" in rows.column_names(first.record_batches):
        header.append("timestep")
        columns.append([str(item) for item in first.timestep.tolist()])
    for name in first.output_names:
        one = first if first.output_names == ("",) else first[name]
        tail = f" {name}" if name else ""
        labels = _labels(one)
        truth, pred = labels if labels is not None else (one.y_true, one.y_pred)
        names = one.class_names if labels is not None else None
        for kind, values in (("true", truth), ("predicted", pred)):
            if values is not None:
                header.append(f"{kind}{tail}")
                columns.append([_spoken(value, names) for value in values])
    if first.loss is not None:
        header.append("loss")
        columns.append([f"{value:.4g}" for value in first.loss.tolist()])
    left = len(samples) - _SHOWN
    more = f"… {left:,} more" if left > 0 else ""
    return Table("", tuple(header), tuple(zip(*columns, strict=True)), left=0, more=more)


def _labels(samples: Samples) -> tuple[Array, Array] | None:
    try:
        if samples.task().task is Task.REGRESSION:
            return None
        return samples.true_labels, samples.pred_labels
    except TaskError:  # values of which no task can be made are shown as they are
        return None


def _spoken(value: Any, names: tuple[str, ...] | None) -> str:
    array = np.asarray(value)
    if array.size > 6:
        return f"{array.dtype}{list(array.shape)}"
    if array.dtype.kind in "iu" and array.ndim == 0 and names is not None and 0 <= int(array) < len(names):
        return names[int(array)]
    if array.size == 1:
        item = array.reshape(-1)[0].item()
        return f"{item:.4g}" if isinstance(item, float) else str(item)
    return np.array2string(array, precision=3, separator=" ", max_line_width=200).replace("\n", "")


def _cells(values: Array) -> Any:
    """Single numbers as a column; anything larger as one array per cell."""
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    return values if values.ndim == 1 else list(values)
