"""Evaluation: what came out, as one immutable value that prints and shows itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from truetap.errors import TaskError, UnknownMetricError, near_names
from truetap.evaluation.show import as_html, as_rich, as_text
from truetap.frames import pandas
from truetap.json_values import json_value
from truetap.tasks.task import Array, Task

if TYPE_CHECKING:
    import pandas as pd

    from truetap.evaluation.probability import Calibration


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class (or label) against the rest; NaN where a number is undefined or wasn't computed."""

    index: int
    name: str
    precision: float
    recall: float
    f1: float
    support: float
    roc_auc: float = math.nan
    average_precision: float = math.nan
    iou: float = math.nan


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One dimension of a regression's output."""

    index: int
    name: str
    mae: float
    rmse: float
    r2: float
    bias: float


@dataclass(frozen=True, slots=True)
class StepRow:
    """One timestep of sequences: how many valid positions, and how good they are."""

    step: int
    count: int
    accuracy: float = math.nan
    mae: float = math.nan


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Metrics of one output over some samples.

    Attributes:
        task: What the output was trained for.
        num_samples: Number of samples.
        num_valid: Number of positions counted: samples, or steps and pixels that no mask excludes.
        loss: Mean of the recorded losses of samples; None when none were recorded.
        metrics: Numbers by name; NaN where undefined, with the reason in `notes`.
        per_class: One row per class; empty for regression.
        per_output: One row per dimension of a regression with 2 to 32 dimensions.
        confusion: float64 (classes, classes), rows are true classes; None where there is none.
        calibration: Bins of confidence; None where scores are no probabilities.
        residual_quantiles: Quantile of prediction minus target by fraction; empty unless regression.
        per_timestep: One row per timestep; empty unless the output is a sequence.
        class_names: Names in the order of class indices; None when not known.
        notes: What to know about these numbers, one sentence each.
        slices: Evaluations of parts of the samples, by name.
    """

    task: Task
    num_samples: int
    num_valid: int
    loss: float | None
    metrics: Mapping[str, float]
    per_class: tuple[ClassRow, ...] = ()
    per_output: tuple[OutputRow, ...] = ()
    confusion: Array | None = None
    calibration: Calibration | None = None
    residual_quantiles: Mapping[float, float] = field(default_factory=dict)
    per_timestep: tuple[StepRow, ...] = ()
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    slices: Mapping[str, Evaluation] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        """One metric.

        Raises:
            UnknownMetricError: There is no such metric; also a KeyError.
        """
        if name in self.metrics:
            return self.metrics[name]
        raise UnknownMetricError(
            f"Unknown metric. Received: {name!r} for a {self.task} output. "
            f"{near_names(str(name), self.metrics)} What was left out is said in notes."
        )

    def __contains__(self, name: object) -> bool:
        return name in self.metrics

    def to_dict(self) -> dict[str, Any]:
        """Everything as dicts, lists, strings and numbers that `json.dumps` takes; NaN becomes None."""
        fields = {name: json_value(value) for name, value in vars(self).items() if name != "slices"}
        if self.calibration is not None:
            fields["calibration"]["ece"] = json_value(self.calibration.ece)
        return fields | {"slices": {name: part.to_dict() for name, part in self.slices.items()}}

    def to_pandas(self, table: str | None = None) -> pd.DataFrame:
        """One table as a pandas DataFrame.

        Args:
            table: `"metrics"`, `"per_class"`, `"per_output"`, `"per_timestep"` or `"slices"`; None
                for per_class where there are classes, else metrics.

        Raises:
            TaskError: There is no such table.
            TruetapError: pandas isn't installed.
        """
        pd = pandas()
        table = table or ("per_class" if self.per_class else "metrics")
        if table == "metrics":
            return pd.DataFrame({"value": dict(self.metrics)}).rename_axis("metric")
        if table == "slices":
            rows = {name: {"num_samples": part.num_samples, **part.metrics} for name, part in self.slices.items()}
            return pd.DataFrame.from_dict(rows, orient="index").rename_axis("slice")
        keys = {"per_class": "name", "per_output": "name", "per_timestep": "step"}
        if table not in keys:
            raise TaskError(f"Unknown table. Received: {table!r}. {near_names(table, ['metrics', 'slices', *keys])}")
        frame = pd.DataFrame([asdict(row) for row in getattr(self, table)])
        return frame.set_index(keys[table]) if len(frame) else frame

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__

    def __rich__(self) -> Any:
        return as_rich(self)

    def _repr_html_(self) -> str:
        return as_html(self)
