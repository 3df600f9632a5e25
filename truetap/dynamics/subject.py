"""Which rows of a run are looked at, and what their values mean.

The task is told from the first epoch alone, so that no pass over all epochs is needed for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from truetap import rows
from truetap.errors import StoreError, StructureError, TaskError
from truetap.samples import Samples
from truetap.tasks import OutputTask, Task

__all__ = ["Subject"]


@dataclass(frozen=True)
class Subject:
    """The samples of one phase and output over some epochs.

    Attributes:
        samples: Their rows, in the order of the steps.
        first: Those of the first of these epochs.
        epochs: The epochs.
        phase: The phase.
        output: The output, "" of a model with one.
    """

    samples: Samples
    first: Samples
    epochs: Sequence[int]
    phase: str
    output: str

    @classmethod
    def of(cls, samples: Samples, first: Samples, epochs: Sequence[int], phase: str, output: str | None) -> Subject:
        """Checks that there is such an output.

        Raises:
            StoreError: The run is of `tt.collect`, which saw every sample once.
            StructureError: There are several outputs and none is named, or an unknown one is.
        """
        if not epochs:
            raise StoreError(
                "Training dynamics are read from several passes over the same samples. Received: a run of tt.collect, "
                "which is one pass. Expected: a run of tt.Recorder; samples.hardest() ranks a collection by its loss."
            )
        name = output or ""
        if name not in samples.output_names:
            raise StructureError(
                f"Which output is meant? Received: output={output!r}. Expected: one of {list(samples.output_names)}."
                if samples.output_names != ("",)
                else f"The model has one output, without a name. Received: output={output!r}. Expected: output=None."
            )
        return cls(samples[name], first[name], epochs, phase, name)

    @property
    def columns(self) -> list[str]:
        """The columns of the rows."""
        return rows.column_names(self.samples.record_batches)

    def task(self) -> OutputTask:
        """What the output's values mean.

        Raises:
            TaskError: There are no labels or predictions, the values fit no task, or it is one with a
                prediction for each step of a sequence or pixel, or a loss of margins.
        """
        missing = [name for name in ("y_true", "y_pred") if name not in self.columns]
        if missing:
            what = "labels" if missing[0] == "y_true" else "predictions"
            raise TaskError(
                f"There are no {what} in these rows. Received: phase {self.phase!r} with columns {self.columns}. "
                f"Expected: a phase that was recorded with {what}, by tt.Outputs()."
            )
        task = self.first.task("")
        if task.positions and task.task is not Task.REGRESSION:
            raise TaskError(
                "Dynamics are those of samples with one label, or one for each unit. Received: an output with a "
                f"label for each of its positions ({task.positions} axes). Expected: one prediction per sample; "
                "run.hardest() ranks such samples by their loss."
            )
        if task.margins:
            raise TaskError(
                "Dynamics are those of probabilities. Received: an output trained by a hinge loss, whose scores are "
                "margins. Expected: softmax, sigmoid or logits; run.hardest() ranks such samples by their loss."
            )
        return task
