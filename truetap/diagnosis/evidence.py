"""What the rules of `lint` and `diagnose` read: one view of a recorded run, of its model, and of nothing else.

Each attribute is read when a rule first asks for it and is None where it can't be had; `without` says why. Of
samples at most `MOST` rows an epoch are looked at, and of epochs the first and the last: a run of a
million rows costs no more than one of fifty thousand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.about import column
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.diagnosis.series import Series
from truetap.errors import NotRecordedError, StoreError, TruetapError
from truetap.facts import Facts, FitFacts, PhaseFacts

if TYPE_CHECKING:
    from truetap.loss_checks import LossReport
    from truetap.run import Run

__all__ = ["Curve", "Evidence"]

Array = npt.NDArray[Any]

MOST = 50_000
_BLOCK = 1_000
_FEWEST_STEPS = 10  # of which a curve can be read

_WITHOUT = {
    "facts": "the run has no facts of the model (it is of an older version, or of a loop of your own)",
    "fit": "no call of fit was recorded",
    "outputs": "no outputs of training steps were recorded (tt.Outputs)",
    "labelled": "no labels were recorded",
    "validated": "no validation was recorded",
    "steps": "no training steps were recorded",
    "ended": "the training has not ended",
    "curve": f"fewer than {_FEWEST_STEPS} training steps were recorded",
    "history": "fewer than 2 epochs have ended",
    "epochs": "fewer than 2 epochs of samples were recorded",
    "activations": "no activations were recorded (taps='diagnose' has them)",
    "val_activations": "no activations of validation were recorded (taps='diagnose' has them)",
    "gradients": "no gradients were recorded (taps='diagnose' has them)",
    "weights": "no weights were recorded (taps='diagnose' has them)",
    "updates": "no updates were recorded (taps='diagnose' has them)",
    "inputs": "no inputs were recorded (taps='diagnose' has them)",
    "val_inputs": "no inputs of validation were recorded (taps='diagnose' has them)",
    "model": "the model itself isn't at hand: run.diagnose(model)",
    "loss_reports": "the model itself isn't at hand, or its loss can't be run on a batch: run.diagnose(model)",
    "batch": "only tt.lint has the data themselves",
    "step_error": "the step ran",
}


@dataclass(frozen=True)
class Curve:
    """The training steps, in order; one value a step.

    Attributes:
        steps: Over the run, int64.
        epochs: int32.
        loss: Each step's own loss; NaN where there is none.
        learning_rate: NaN where it isn't known.
        skipped: Whether the update was left out for an overflow.
        samples: In the batch.
    """

    steps: Array
    epochs: Array
    loss: Array
    learning_rate: Array
    skipped: Array
    samples: Array

    def __len__(self) -> int:
        return len(self.steps)

    @cached_property
    def finite(self) -> Array:
        """Whether each loss is a finite number."""
        return np.isfinite(self.loss)

    @cached_property
    def epoch_means(self) -> Array:
        """The mean of the steps' losses in each epoch, in order."""
        return np.asarray([self.loss[self.epochs == epoch].mean() for epoch in np.unique(self.epochs)])


class Evidence:
    """A run, for rules.

    Args:
        run: The run; None for what is known without one.
        model: The model, where it is at hand.

    Attributes:
        run: The run.
        model: The model, or None.
        batch: The first batch `(x, y, sample_weight)` as given to `tt.lint`, NumPy; else None.
        step_error: Of `tt.lint`: what the real step raised; else None.
    """

    batch: tuple[Any, Any, Any] | None = None
    step_error: Exception | None = None

    def __init__(self, run: Run | None, model: Any = None) -> None:
        self.run = run
        self.model = model
        self._read: dict[tuple[str, int], tuple[int, Sequence[pa.RecordBatch]]] = {}

    def without(self, need: str) -> str:
        """Why something that a rule needs can't be had."""
        return _WITHOUT.get(need, f"there is no {need}")

    # --- what is static ---------------------------------------------------------------------------

    @cached_property
    def facts(self) -> Facts | None:
        """The model, the call of fit, and the traces."""
        plain = None if self.run is None else self.run.metadata.get("facts")
        return Facts.from_json(plain) if isinstance(plain, Mapping) else None

    @cached_property
    def fit(self) -> FitFacts | None:
        """The call of fit."""
        return None if self.facts is None else self.facts.fit

    @property
    def trace(self) -> PhaseFacts:
        """What the trace of the training step showed; empty where there was none."""
        return (self.facts.phases.get("train") if self.facts is not None else None) or PhaseFacts()

    @property
    def ended(self) -> bool | None:
        """Whether the recorder came to its end; None while it runs, or where it was killed."""
        return (self.run is not None and self.run.complete) or None

    # --- samples ----------------------------------------------------------------------------------

    @cached_property
    def outputs(self) -> tuple[OutputEvidence, ...] | None:
        """The model's outputs with their labels, losses and predictions."""
        return self._recorded()

    def _recorded(self) -> tuple[OutputEvidence, ...] | None:
        names = self.run.output_names if self.run is not None and "samples" in self.run.tables else ()
        return tuple(OutputEvidence(name, self) for name in names if self.rows(name, "train", 0) is not None) or None

    @cached_property
    def labelled(self) -> tuple[OutputEvidence, ...] | None:
        """The outputs that have labels which are numbers."""
        return tuple(each for each in self.outputs or () if each.first.truth is not None) or None

    @cached_property
    def validated(self) -> tuple[OutputEvidence, ...] | None:
        """The labelled outputs that were validated."""
        return tuple(each for each in self.labelled or () if each.val_last is not None) or None

    @cached_property
    def epochs(self) -> list[int] | None:
        """The epochs of training of which samples are recorded, two at least."""
        found = self.sample_epochs.get("train", [])
        return found if len(found) > 1 else None

    @cached_property
    def sample_epochs(self) -> dict[str, list[int]]:
        """The epochs of which samples are recorded, by phase."""
        return {} if self.run is None else self.run.sample_epochs

    def rows(self, output: str, phase: str, epoch: int) -> Rows | None:
        """Rows of an output in an epoch (-1: the last), at most `MOST`; None where there are none."""
        epochs = self.sample_epochs.get(phase, [])
        if not epochs:
            return None
        chosen = epochs[epoch]
        total, some = self._some(phase, chosen)
        known = rows.column_names(some)

        def values(kind: str, name: str = output) -> Array | None:
            whole = column(kind, name)
            return rows.array(some, whole) if whole in known else None

        y_pred = values("y_pred")
        if y_pred is None or y_pred.dtype.kind not in "fiub" or not len(y_pred):
            return None
        weight = values("sample_weight")
        return Rows(
            phase,
            chosen,
            total,
            values("y_true"),
            y_pred,
            values("loss"),
            values("sample_weight", "") if weight is None else weight,
            values("mask"),
            values("fingerprint", ""),
            rows.array(some, "sample_id"),
            rows.array(some, "step"),
        )

    def prints(self, phase: str, epoch: int) -> Array | None:
        """The fingerprints of all samples of an epoch (-1: the last), in order; None where there are none."""
        epochs = self.sample_epochs.get(phase, [])
        if not epochs or self.run is None:
            return None
        batches = self.run.samples(phase, epochs[epoch]).record_batches
        return rows.array(batches, "fingerprint") if "fingerprint" in rows.column_names(batches) else None

    # --- curves -----------------------------------------------------------------------------------

    @property
    def curve(self) -> Curve | None:
        """The training steps, if there are enough."""
        return None if self.steps is None or len(self.steps) < _FEWEST_STEPS else self.steps

    @cached_property
    def steps(self) -> Curve | None:
        """The training steps, be they as few as one; rules that need no more read their rates and skipped updates."""
        if self.run is None:
            return None
        try:
            table = self.run.scalars("train")
        except (NotRecordedError, StoreError):
            return None
        if not table.num_rows:
            return None
        order = np.argsort(table.column("step").to_numpy(), kind="stable")

        def numbers(name: str) -> Array:
            if name not in table.column_names:
                return np.full(len(order), np.nan)
            return _numbers(table, name)[order]

        skipped = numbers("skipped")
        return Curve(
            numbers("step").astype(np.int64),
            numbers("epoch").astype(np.int32),
            numbers("loss"),
            numbers("learning_rate"),
            np.nan_to_num(skipped) > 0,
            numbers("samples"),
        )

    @cached_property
    def history(self) -> dict[str, Array] | None:
        """What `History` has, by metric: one value an epoch, NaN where an epoch has none; of two epochs at least."""
        if self.run is None:
            return None
        try:
            table = self.run.epochs()
        except StoreError:
            return None
        if table.num_rows < 2:
            return None
        names = [name for name in table.column_names if name not in ("phase", "epoch")]
        return {name: _numbers(table, name) for name in names}

    # --- layers and weights -------------------------------------------------------------------------

    @cached_property
    def activations(self) -> Series | None:
        """Statistics of what came out of layers in training."""
        return Series.of(self.run, "activations", "train")

    @cached_property
    def val_activations(self) -> Series | None:
        """The same in validation."""
        return Series.of(self.run, "activations", "val")

    @cached_property
    def gradients(self) -> Series | None:
        """Statistics of the gradients of weights."""
        return Series.of(self.run, "gradients", "train")

    @cached_property
    def weights(self) -> Series | None:
        """Statistics of the weights at the ends of epochs."""
        return Series.of(self.run, "weights", "train")

    @cached_property
    def updates(self) -> Series | None:
        """What steps added to the weights: "norm" and "ratio"."""
        return Series.of(self.run, "updates", "train")

    @cached_property
    def inputs(self) -> dict[str, Array] | None:
        """The inputs of some samples of training by path ("x" of a single one), shape (n, …), float64."""
        return self._inputs("train")

    @cached_property
    def val_inputs(self) -> dict[str, Array] | None:
        """The inputs of some samples of validation."""
        return self._inputs("val")

    # --- with the model at hand ---------------------------------------------------------------------

    @cached_property
    def loss_reports(self) -> dict[str, LossReport] | None:
        """What `tt.check_loss` says of the loss of each output, on rows of the first epoch."""
        if self.model is None or self.labelled is None:
            return None
        found = {}
        for each in self.labelled:
            report = each.loss_report(self.model)
            if report is not None:
                found[each.name] = report
        return found or None

    # --- inside -------------------------------------------------------------------------------------

    def _some(self, phase: str, epoch: int) -> tuple[int, Sequence[pa.RecordBatch]]:
        """How many rows an epoch has, and at most `MOST` of them, in blocks spread over it."""
        key = (phase, epoch)
        if key not in self._read:
            assert self.run is not None  # where there are epochs, there is a run
            samples = self.run.samples(phase, epoch)
            total = len(samples)
            if total > MOST:
                starts = np.linspace(0, total - _BLOCK, MOST // _BLOCK).astype(np.int64)
                samples = samples[(starts[:, np.newaxis] + np.arange(_BLOCK)).ravel()]
            self._read[key] = total, samples.record_batches
        return self._read[key]

    def _inputs(self, phase: str) -> dict[str, Array] | None:
        if self.run is None:
            return None
        found = {}
        for path in self.run.inputs.paths:
            try:
                values = self.run.inputs(path, phase=phase).values
            except TruetapError:
                continue  # not of this phase, or of shapes that differ: no array
            if len(values) and values.dtype.kind in "fiub":
                found[path] = np.asarray(values, np.float64)
        return found or None


def _numbers(table: pa.Table, name: str) -> Array:
    """A column as float64, NaN where it is null."""
    return np.asarray([np.nan if each is None else each for each in table.column(name).to_pylist()], np.float64)
