"""`Samples`: what was true, what was predicted, and by which name each sample is known.

The rows are Arrow record batches, in memory or memory-mapped from a run on disk. Work that needs
every value (labels, metrics, the hardest samples) goes through them a batch at a time; `y_pred` and
its like put a whole column into memory when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from truetap import rows
from truetap.about import About, column
from truetap.columns import concatenate, decode
from truetap.data.reader import notice
from truetap.errors import DataError, StructureError, TaskError, near_names
from truetap.identity import Naming
from truetap.output_view import OutputView
from truetap.positions import positions
from truetap.seen import Seen, look
from truetap.structure import unflatten
from truetap.tasks import Hint, OutputTask, Task, infer, pred_labels, true_labels
from truetap.timesteps import flat_steps, valid_steps

if TYPE_CHECKING:
    import pandas as pd

    from truetap.evaluation import Evaluation
    from truetap.outputs_evaluation import Evaluations

__all__ = ["Samples"]

Array = npt.NDArray[Any]

_OF_PAIRS = ("y_true", "y_pred", "mask", "sample_weight")


class Samples:
    """Pairs of truth and prediction, one row per sample, in the order in which they came.

    Made by `tt.collect`, `tt.stream` and `run.samples`; not by hand.

    Values of a model with one output are arrays; with several, they are in the structure of the
    model's outputs, and `samples["age"]` is the `Samples` of the output of that name.
    """

    def __init__(
        self,
        batches: Sequence[pa.RecordBatch],
        about: About | None = None,
        *,
        expected_ids: Array | None = None,
        tasks: Mapping[str, Callable[[], OutputTask]] | None = None,
    ) -> None:
        self._batches = batches
        self._expected_ids = expected_ids
        self._known_tasks = dict(tasks or {})
        self._tasks: dict[str, OutputTask] = {}
        self.about: About = about or About()
        self.notices: list[str] = list(self.about.notices)

    # --- the values -----------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return rows.count(self._batches)

    @cached_property
    def ids(self) -> Array:
        """What each sample is called: int64 or an object array of str, shape (n,).

        The ids that were given; else the fingerprint of the sample's input.
        """
        return rows.array(self._batches, "sample_id")

    @cached_property
    def fingerprints(self) -> Array:
        """The fingerprint of each sample's input, int64 of shape (n,)."""
        return rows.array(self._batches, "fingerprint")

    @cached_property
    def steps(self) -> Array:
        """The batch in which each sample came: of a recorded run counted over all its epochs; shape (n,)."""
        return rows.array(self._batches, "step")

    @cached_property
    def epochs(self) -> Array | None:
        """The epoch of each row, int32 of shape (n,); None for a collection, which is a single pass."""
        return self._optional("epoch")

    @cached_property
    def positions(self) -> Array | None:
        """The row of each sample in its batch, int32 of shape (n,), of a recorded run; else None."""
        return self._optional("position")

    @cached_property
    def y_true(self) -> Any:
        """The labels, shape (n, ...) per output, as the data gave them, in the dtype of the data.

        Where labels and predictions differ by one axis of length 1 they have the predictions' rank.
        None for an output without labels.
        """
        return self._by_output("y_true")

    @cached_property
    def y_pred(self) -> Any:
        """The predictions, shape (n, ...) per output, as the model gave them."""
        return self._by_output("y_pred")

    @cached_property
    def mask(self) -> Any:
        """Which positions are real, bool of shape (n, T, ...) per output; None where all are."""
        return self._by_output("mask", dtype=bool)

    @cached_property
    def loss(self) -> Array | None:
        """The loss of each sample, shape (n,), without sample weights; None when there is none.

        The mean over the sample's valid elements, summed over outputs with their `loss_weights`.
        Without regularisation and other losses that belong to no sample.
        """
        return self._optional("loss")

    @cached_property
    def weighted_loss(self) -> Array | None:
        """The loss of each sample with the sample weights applied; equals `loss` without weights."""
        found = self._optional("weighted_loss")
        return self.loss if found is None else found

    @cached_property
    def sample_weight(self) -> Any:
        """The weights, shape (n,) or (n, T, ...); None without; by output where they differ."""
        if "sample_weight" in rows.names(self._batches, "sample_weight").values():
            return self._optional("sample_weight")
        return self._by_output("sample_weight")

    @cached_property
    def inputs(self) -> Any:
        """The inputs, in their own structure; with `collect(…, inputs=True)`."""
        found = rows.names(self._batches, "inputs")
        if not found:
            raise DataError("The inputs were not kept. Expected: collect(…, inputs=True).")
        values = {path: rows.array(self._batches, name) for path, name in found.items()}
        return unflatten(self.about.x_shape, values)

    @cached_property
    def layers(self) -> Mapping[str, Array]:
        """Layer outputs by path, shape (n, ...); with `collect(…, layers=…)`."""
        return rows.Columns(self._batches, rows.names(self._batches, "layers"), "layer")

    @property
    def losses(self) -> Mapping[str, Array]:
        """The unweighted loss of each output by name; of a model with several."""
        found = rows.names(self._batches, "loss")
        return rows.Columns(self._batches, {name: at for name, at in found.items() if name}, "output")

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes by index, when the data carry them."""
        return self.about.class_names

    # --- one output, some rows ------------------------------------------------------------------

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs in the model's declared order; ("",) for a single one."""
        return self.about.outputs

    def __getitem__(self, key: str | slice | Sequence[int] | Array) -> Samples:
        """One output by its name, or some rows by slice, indices or bool mask."""
        if isinstance(key, str):
            return self._output(key)
        return self._part([rows.take(self._batches, positions(key, len(self)))])

    def batches(self) -> Iterator[Samples]:
        """The rows a batch at a time, as they were collected; memory for one."""
        for batch in self._batches:
            yield self._part([batch])

    def _output(self, name: str) -> Samples:
        name = self._named(name)
        if name == "":
            return self
        hint = self.about.hints.get(name)
        about = replace(self.about, outputs=("",), shape="", hints={} if hint is None else {"": hint})
        return Samples(OutputView(self._batches, name), about, tasks={"": lambda: self.task(name)})

    def _part(self, batches: Sequence[pa.RecordBatch]) -> Samples:
        """Some of the rows, of which nobody expects that they are all."""
        part = self._like(batches)
        part.about = replace(self.about, expected_steps=None, expected_samples=None)
        return part

    def _like(self, batches: Sequence[pa.RecordBatch]) -> Samples:
        """Other rows of the same outputs: what their values mean is decided by all rows."""
        known = {name: partial(self.task, name) for name in self.about.outputs}
        return Samples(batches, self.about, tasks=known)

    # --- what the values mean -------------------------------------------------------------------

    def task(self, output: str | None = None) -> OutputTask:
        """What the values of an output mean; found in one pass over them, then kept.

        Args:
            output: The output, of a model with several.

        Raises:
            StructureError: There are several outputs and none, or an unknown one, is named.
        """
        name = self._named(output)
        if name not in self._tasks:
            hint = self.about.hints.get(name, Hint())
            known = self._known_tasks.get(name)
            self._tasks[name] = known() if known is not None else infer(self.pairs(name), hint)
        return self._tasks[name]

    @cached_property
    def true_labels(self) -> Any:
        """Class indices of the truth, int64: one-hot, sparse, binary and ordinal alike; shape (n,).

        Sequences and images have shape (n, T, ...); multi-label outputs a 0/1 matrix (n, L).
        """
        return self._labels("y_true", true_labels)

    @cached_property
    def pred_labels(self) -> Any:
        """Class indices of the predictions, in the same shape as `true_labels`."""
        return self._labels("y_pred", pred_labels)

    @cached_property
    def residual(self) -> Array:
        """Prediction minus truth, of a model with one numeric output, in the shape of `y_pred`."""
        name = self._named()
        if self.task(name).task is not Task.REGRESSION:
            raise TaskError(
                f"Residuals are differences of numbers. Received: a {self.task(name).task} output. Expected: a "
                "regression; compare true_labels and pred_labels."
            )
        return np.asarray(self.y_pred - self.y_true)

    def evaluate(
        self,
        *,
        by: Any = None,
        task: Task | str | None = None,
        weighted: bool = False,
        bins: int = 15,
    ) -> Evaluation | Evaluations:
        """Metrics fit for the task, by scikit-learn, from these very pairs.

        Args:
            by: Slices to evaluate too: an array of one value per sample (each value is a slice), or a
                dict from a name to such an array or a bool mask.
            task: "binary", "multiclass", "multilabel", "ordinal" or "regression", if the guess from
                the loss, the activation and the values is wrong.
            weighted: Whether sample weights count in the metrics.
            bins: Bins of the calibration.

        Returns:
            An `Evaluation`; for several outputs, a mapping of one per output.

        Raises:
            TaskError: The values don't fit the task.
        """
        from truetap.outputs_evaluation import evaluate_samples  # scikit-learn takes a second to import

        return evaluate_samples(self, by=by, task=task, weighted=weighted, bins=bins)

    def hardest(self, count: int = 20) -> Samples:
        """The samples with the highest loss, worst first; by error of prediction without a loss.

        Over several epochs of a recorded run, a sample may be among them more than once: see `run.hardest`.

        Args:
            count: How many, at most.
        """
        scores = self.loss if self.loss is not None else self._error()
        finite = np.where(np.isnan(scores), np.inf, scores)  # a NaN loss is the worst there is
        return self[np.argsort(-finite, kind="stable")[: max(0, count)]]

    def _error(self) -> Array:
        name = self._named()
        spec = self.task(name)
        errors = []
        for y_true, y_pred, _ in self.pairs(name):
            if spec.task is Task.REGRESSION:
                error = np.abs(np.asarray(y_pred, np.float64) - y_true)
            else:
                wrong = true_labels(y_true, spec) != pred_labels(y_pred, spec)
                error = np.asarray(wrong, np.float64)
            errors.append(error.reshape(len(error), -1).mean(axis=1))
        return np.concatenate(errors)

    # --- sequences ------------------------------------------------------------------------------

    def flat_valid(self) -> Samples:
        """The steps of sequences that are no padding, one row each, with their sample's id.

        A step is valid where the output's mask says so; without a mask, where the weight of the step
        is not 0. `timestep` is its position. Rows keep the order of samples, then of steps.

        Raises:
            TaskError: The output has one prediction per sample.
        """
        name = self._named()
        flat = [flat_steps(batch, name) for batch in rows.uniform(self._batches)]
        return Samples(flat, replace(self.about, outputs=("",), shape=""))

    @cached_property
    def timestep(self) -> Array:
        """The position of each row in its sequence, int32; after `flat_valid`."""
        found = self._optional("timestep")
        if found is None:
            raise TaskError("There is one row per sample here. Expected: samples.flat_valid().timestep.")
        return found

    # --- identity -------------------------------------------------------------------------------

    def identify(self, data: Any, ids: Any = None, *, steps: int | None = None) -> Samples:
        """Names the samples after the fact, by walking the data once and comparing fingerprints.

        Args:
            data: The data in an order that `ids` follow; any source that `collect` takes, labelled
                or not shuffled at all. Inputs must be the very ones that were collected.
            ids: One name per sample in that order; a key; a function; None for the names that the data
                carry (file paths, `with_ids`), else row numbers.
            steps: Number of batches to walk.

        Returns:
            The same samples under the new ids. Identical inputs get the first name that belongs to
            them, and are said; samples that are not in the data keep their fingerprint, and are said.

        Raises:
            IdError: Not one sample is in the data; or row numbers would be names in data that give another order
                each time.
        """
        naming = Naming.of(data, ids, steps=steps, columns=self.about.columns)
        names, said = naming.apply(self.fingerprints)
        other = self._like(rows.with_column(self._batches, "sample_id", names))
        other._expected_ids = naming.names
        for message in said:
            notice(other.notices, message)
        return other

    def drop_duplicates(self) -> Samples:
        """What is left of a source that wrapped around, or gave samples twice.

        Returns:
            The first row of each id, in each epoch, in their order.
        """
        _, codes = np.unique(self.ids, return_inverse=True)
        if self.epochs is not None:
            codes = codes + self.epochs.astype(np.int64) * (codes.max(initial=0) + 1)
        _, first = np.unique(codes, return_index=True)
        kept = self[np.sort(first)]
        kept._expected_ids = self._expected_ids
        return kept

    @cached_property
    def seen(self) -> Seen:
        """What was seen: counts, duplicates, missing ids, batches that came again; epoch by epoch."""
        return look(
            self.ids,
            self.fingerprints,
            self.steps,
            passes=self.epochs,
            expected=self.about.expected_samples,
            expected_steps=self.about.expected_steps,
            expected_ids=self._expected_ids,
        )

    # --- elsewhere ------------------------------------------------------------------------------

    def to_arrow(self) -> pa.Table:
        """All columns as an Arrow table; tensors as `fixed_shape_tensor`. No copy."""
        return rows.as_table(list(self._batches))

    def to_pandas(self) -> pd.DataFrame:
        """A frame of one row per sample: ids, labels, predictions, loss, weights.

        Values of several numbers per sample (scores, images) are arrays in their cells.
        """
        from truetap.show_samples import frame

        return frame(self)

    def __repr__(self) -> str:
        from truetap.show_samples import text

        return text(self)

    def _repr_html_(self) -> str:
        from truetap.show_samples import html

        return html(self)

    # --- inside ---------------------------------------------------------------------------------

    def _named(self, output: str | None = None) -> str:
        name = output or ""
        if name in self.about.outputs:
            return name
        if self.about.outputs == ("",):
            raise StructureError(
                f"The model has one output, without a name. Received: {output!r}. Expected: its values as they are, "
                "such as samples.y_pred."
            )
        if output:
            raise StructureError(f"There is no output named {output!r}. {near_names(output, self.about.outputs)}")
        first = self.about.outputs[0]
        raise StructureError(
            f"The model has several outputs. Received: none of them. Expected: one of {list(self.about.outputs)}; "
            f"samples[{first!r}] is the Samples of that one."
        )

    def _optional(self, name: str) -> Array | None:
        if name not in rows.column_names(self._batches):
            return None
        return rows.array(self._batches, name)

    def _by_output(self, kind: str, dtype: type | None = None) -> Any:
        found = {name: self._optional(column(kind, name)) for name in self.about.outputs}
        if all(value is None for value in found.values()):
            return None
        if dtype is not None:
            found = {name: None if value is None else value.astype(dtype) for name, value in found.items()}
        return unflatten(self.about.shape, found)

    @property
    def record_batches(self) -> Sequence[pa.RecordBatch]:
        """The rows as they are held: Arrow record batches, perhaps memory-mapped."""
        return self._batches

    def pairs(self, output: str | None = None) -> Iterator[tuple[Array, Array, Array | None]]:
        """Truth, prediction and mask, batch by batch: memory for one.

        Args:
            output: The output, of a model with several.

        Yields:
            Arrays of shape (rows, ...); the mask is bool, or None where every position counts.

        Raises:
            StructureError: There are several outputs and none, or an unknown one, is named.
            TaskError: There are no labels for it.
        """
        name = self._named(output)
        truth, pred = column("y_true", name), column("y_pred", name)
        if truth not in rows.column_names(self._batches):
            of = f" for the output {name!r}" if name else ""
            raise TaskError(
                f"There are no labels{of} in these samples. Received: columns "
                f"{rows.column_names(self._batches)}. Expected: data with labels."
            )
        needed = [kind for kind in rows.column_names(self._batches) if kind.partition("/")[0] in _OF_PAIRS]
        for batch in rows.uniform(rows.only(self._batches, needed)):
            yield decode(batch.column(truth)), decode(batch.column(pred)), valid_steps(batch, name)

    def _labels(self, kind: str, function: Any) -> Any:
        found = {}
        for name in self.about.outputs:
            spec = self.task(name)
            if spec.task is Task.REGRESSION:
                raise TaskError(
                    f"Numbers have no class. Received: a regression output{f' {name!r}' if name else ''}. Expected: "
                    "classes; samples.y_true and y_pred hold the numbers, samples.residual their difference."
                )
            index = 0 if kind == "y_true" else 1
            found[name] = concatenate([function(pair[index], spec) for pair in self.pairs(name)])
        return unflatten(self.about.shape, found)
