"""`samples.evaluate()`: the metrics of each output, overall and by slice."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap import rows, tasks
from truetap.about import column
from truetap.backends.tensors import is_array, to_host
from truetap.errors import DataError
from truetap.evaluation import Chunk, Evaluation, evaluate, evaluate_slices
from truetap.tasks import OutputTask, Task
from truetap.timesteps import valid_steps

if TYPE_CHECKING:
    from truetap.samples import Samples

__all__ = ["Evaluations", "evaluate_samples"]

Array = npt.NDArray[Any]


class Evaluations(Mapping[str, Evaluation]):
    """The evaluation of each output of a model by its name; prints and shows itself."""

    def __init__(self, by_output: Mapping[str, Evaluation]) -> None:
        self._by_output = dict(by_output)

    def __getitem__(self, output: str) -> Evaluation:
        return self._by_output[output]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_output)

    def __len__(self) -> int:
        return len(self._by_output)

    def __str__(self) -> str:
        return "\n\n".join(f"output {name!r}\n{each}" for name, each in self._by_output.items())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(f"<h4>{html.escape(name)}</h4>{each._repr_html_()}" for name, each in self._by_output.items())


def evaluate_samples(
    samples: Samples, *, by: Any, task: Task | str | None, weighted: bool, bins: int
) -> Evaluation | Evaluations:
    """Evaluates every output that has labels; see `Samples.evaluate`."""
    slices = {} if by is None else _slices(by, len(samples))
    if samples.output_names == ("",):
        return _one(samples, slices, task, weighted, bins)
    labelled = [name for name in samples.output_names if _has_labels(samples, name)]
    return Evaluations({name: _one(samples[name], slices, task, weighted, bins) for name in labelled})


def _has_labels(samples: Samples, name: str) -> bool:
    return column("y_true", name) in rows.column_names(samples.record_batches)


def _one(
    samples: Samples, slices: Mapping[str, Array], task: Task | str | None, weighted: bool, bins: int
) -> Evaluation:
    spec: OutputTask = samples.task()
    if task is not None:
        hint = samples.about.hints.get("", tasks.Hint())
        spec = tasks.infer(samples.pairs(), hint, task)

    def chunks() -> Iterator[Chunk]:
        for batch in rows.uniform(samples.record_batches):
            yield _chunk(batch)

    options: dict[str, Any] = {"weighted": weighted, "bins": bins}
    if spec.task is not Task.REGRESSION:
        options["class_names"] = _names(samples, spec)
    whole = evaluate(chunks, spec, **options)
    return replace(whole, slices=evaluate_slices(chunks, spec, slices, **options)) if slices else whole


def _names(samples: Samples, spec: OutputTask) -> tuple[str, ...] | None:
    """The class names, if they are of this output: a data set names the classes of one output only."""
    names = samples.class_names
    return names if names is not None and len(names) == spec.classes else None


def _chunk(batch: Any) -> Chunk:
    def get(name: str) -> Array | None:
        return rows.array([batch], name) if name in batch.schema.names else None

    y_true, y_pred = get("y_true"), get("y_pred")
    assert y_true is not None  # the task was inferred from both
    assert y_pred is not None
    weighted_loss = get("weighted_loss")
    return Chunk(
        y_true=y_true,
        y_pred=y_pred,
        mask=valid_steps(batch, ""),
        weight=get("sample_weight"),
        loss=get("loss") if weighted_loss is None else weighted_loss,
    )


def _slices(by: Any, size: int) -> dict[str, Array]:
    """Bool masks by name: of each value of an array, or as a dict gives them."""
    found: dict[str, Array] = {}
    if isinstance(by, Mapping):
        for name, values in by.items():
            array = _column(values, size)
            if array.dtype.kind == "b":
                found[str(name)] = array
            else:
                found |= {f"{name}={value}": array == value for value in np.unique(array)}
        return found
    array = _column(by, size)
    return {str(value): array == value for value in np.unique(array)}


def _column(values: Any, size: int) -> Array:
    array = to_host(values) if is_array(values) else np.asarray(list(values))
    if array.dtype.kind == "O":
        array = array.astype(str)
    if array.shape != (size,):
        raise DataError(
            f"A slice is given by one value per sample. Received: shape {array.shape}. Expected: ({size},)."
        )
    return array
