"""`tt.lint`: one batch through the real training step, read by the rules; the model is afterwards as it was.

The step is the one that `fit` would run, recorded with the taps of `taps="diagnose"` into a folder that is
deleted again. Cost: a compilation and a step; on a model that was never run also its building.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from truetap.agreement.state import State, every_metric
from truetap.backends import current
from truetap.backends.comparing import comparing
from truetap.backends.keras_private import build_from, output_losses
from truetap.backends.tensors import all_to_host, is_array
from truetap.data.element import Parts, split
from truetap.data.opening import open_source
from truetap.data.source import nothing_came
from truetap.diagnosis.diagnose import chosen_rules
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.output import OutputEvidence
from truetap.diagnosis.rows import Rows
from truetap.errors import DiagnosisError, ModelError
from truetap.facts import Facts, PhaseFacts
from truetap.facts.model import model_facts
from truetap.facts.types import ArrayFacts
from truetap.pairing import declared_outputs, pair
from truetap.recorder import Recorder
from truetap.rules.report import Report
from truetap.rules.rule import Rule
from truetap.rules.running import run_rules
from truetap.run import Run
from truetap.structure import flatten, map_leaves

__all__ = ["lint"]

Array = npt.NDArray[Any]

_ROWS = 256


def lint(
    model: Any,
    data: Any,
    *,
    batch_size: int | None = None,
    rules: Sequence[Rule[Any]] | None = None,
    ignore: Collection[str] = (),
) -> Report:
    """Looks at a model, its loss and its data before training, through one batch of the real training step.

    What it looks for: an activation, loss, units and labels that don't fit together, labels out of range, implicit
    broadcasting, losses that reduce before weights or average over masked elements, weights without gradient, frozen
    or unused ones, unscaled or scrambled inputs, values that are not finite, metrics that don't fit the task, and
    more: `report.checked` names the rules that ran. What is said doesn't depend on the backend.

    Everything is put back: weights, optimizer, metrics, seeds, the generators of Python, NumPy and torch. A model or
    optimizer that wasn't built is built by this and stays so.

    Args:
        model: A compiled Keras model.
        data: What `fit` will get: `(x, y)` or `(x, y, sample_weight)` of arrays, of which rows spread over all are
            taken, or a source of batches, of which the first is read.
        batch_size: Of arrays, how many rows are taken; 256 by default.
        rules: Rules to run; by default those of truetap and those that were registered (`tt.rules.register`).
        ignore: Names of rules to leave out.

    Returns:
        A `tt.Report`: true when nothing is wrong; `print` it.

    Raises:
        ModelError: It is no compiled Keras model.
        DataError: The data can't be read, or hold no batch.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.compile("adam", "sparse_categorical_crossentropy")
        >>> rng = np.random.default_rng(0)
        >>> x, y = rng.normal(size=(60, 4)), rng.integers(0, 3, 60)
        >>> [finding.rule for finding in lint(model, (x, y)).wrong]
        ['logits_as_probabilities']
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"tt.lint takes a compiled Keras model. Received: {type(model).__name__}.")
    if not model.compiled or model.optimizer is None:
        raise ModelError(
            "The model isn't compiled, so there is no training step to look at. Expected: "
            "model.compile(optimizer=…, loss=…) first."
        )
    parts = _batch(data, batch_size)
    chosen = chosen_rules(rules)
    with tempfile.TemporaryDirectory() as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the step says is seen in the evidence
            evidence = _step(model, parts, folder)
        answers = run_rules(chosen, evidence, ignore, DiagnosisError)
    return Report(f"Model {model.name!r}", current().name, answers.findings, answers.checked, answers.skipped)


def _batch(data: Any, batch_size: int | None) -> Parts:
    """One batch: of arrays, rows spread over all of them; else the first."""
    if isinstance(data, tuple) and 2 <= len(data) <= 3 and all(map(_holds_arrays, data[:2])):
        parts = split(tuple(all_to_host(part) for part in data), "arrays")
        wanted = min(parts.size, _ROWS if batch_size is None else batch_size)
        rows = np.linspace(0, parts.size - 1, wanted).astype(np.int64)

        def some(part: Any) -> Any:
            return map_leaves(lambda leaf: leaf if leaf is None else np.asarray(leaf)[rows], part)

        return Parts(some(parts.x), some(parts.y), some(parts.sample_weight), wanted)
    source = open_source(data, batch_size=batch_size)
    for drawn in source.draw(1):
        parts = split(drawn.element, source.facts.kind)
        return Parts(all_to_host(parts.x), all_to_host(parts.y), all_to_host(parts.sample_weight), parts.size)
    raise nothing_came(source.facts.kind)


def _holds_arrays(part: Any) -> bool:
    found = [leaf for leaf in flatten(part).values() if leaf is not None]
    return bool(found) and all(is_array(leaf) for leaf in found)


def _step(model: Any, parts: Parts, folder: str) -> Evidence:
    """Runs one step and records it; whatever it raises is kept as evidence."""
    batch = (parts.x, parts.y) if parts.sample_weight is None else (parts.x, parts.y, parts.sample_weight)
    try:
        build_from(model, _tensors(batch))
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    except Exception as error:  # of the user's model, loss or data, and may be anything: rules are shown it
        unbuilt = _Linted(model, parts, error, None)
        unbuilt.forward()
        return unbuilt
    before = State(model, comparing())
    own = model.train_function, model.test_function
    failed: Exception | None = None
    path = str(Path(folder, "run"))
    try:
        for metric in every_metric(model):
            metric.reset_state()
        recorder = Recorder(path, taps="diagnose")
        with recorder.attach(model):
            x, y, weight = _tensors((parts.x, parts.y, parts.sample_weight))  # as fit hands them out: run eagerly, too
            model.train_on_batch(x, y, sample_weight=weight)
        recorder.finish()
    except Exception as error:  # the same, in the step
        failed = error
    finally:
        before.restore()
        model.train_function, model.test_function = own
    recorded = Path(path, "manifest.json").exists()
    evidence = _Linted(model, parts, failed, Run(path) if recorded else None)
    evidence.forward()
    return evidence


def _tensors(batch: tuple[Any, ...]) -> tuple[Any, ...]:
    def convert(leaf: Any) -> Any:
        if leaf is None or leaf.dtype.kind not in "fiub":
            return leaf
        return keras.ops.convert_to_tensor(leaf.astype(keras.config.floatx()) if leaf.dtype.kind == "f" else leaf)

    return tuple(map_leaves(convert, part) for part in batch)


def _described(arrays: Mapping[str, Array | None]) -> tuple[ArrayFacts, ...]:
    return tuple(
        ArrayFacts(name, tuple(value.shape), str(value.dtype)) for name, value in arrays.items() if value is not None
    )


class _Linted(Evidence):
    """The evidence of a single step; where the step raised, of a forward pass on the same batch."""

    def __init__(self, model: Any, parts: Parts, failed: Exception | None, run: Run | None) -> None:
        super().__init__(run, model)
        self._parts = parts
        self.batch = (parts.x, parts.y, parts.sample_weight)
        self.step_error = failed
        self._seen: dict[str, Rows] = {}
        self._static: Facts | None = None

    def without(self, need: str) -> str:
        """Why something that a rule needs can't be had."""
        if need in ("curve", "history", "epochs", "fit", "validated", "val_inputs"):
            return "one batch says nothing of it; run.diagnose() does"
        if self.step_error is not None and need in ("gradients", "activations", "weights", "updates"):
            return f"the step raised {type(self.step_error).__name__}"
        return super().without(need)

    def forward(self) -> None:
        """Where the step left no outputs, those of a forward pass in inference mode."""
        if self._recorded():
            return
        try:
            y_pred = self.model(_tensors((self._parts.x,))[0], training=False)
            outputs = declared_outputs(self.model, y_pred)
            truth = {} if self._parts.y is None else pair(self._parts.y, outputs)[0]
        except Exception as error:  # neither the step nor the model runs: the error of the first is the answer
            self.step_error = self.step_error or error
            return
        values = {name: np.asarray(all_to_host(value)) for name, value in outputs.flat(y_pred).items()}
        labels = {name: None if truth.get(name) is None else np.asarray(truth[name]) for name in values}
        none = np.zeros(self._parts.size, np.int64)
        for name, value in values.items():
            weight = self._parts.sample_weight
            weight = weight if isinstance(weight, np.ndarray) else None
            found = labels[name]
            self._seen[name] = Rows(
                "train", 0, len(value), found, value, None, weight, None, None, np.arange(len(value)), none
            )
        try:
            losses = output_losses(self.model, self._parts.y, y_pred)
        except Exception:  # the labels don't fit the losses; that is what rules will say
            losses = []
        trace = PhaseFacts(y=_described(labels), y_pred=_described(values))
        self._static = Facts(model_facts(self.model, outputs, losses), None, {"train": trace})

    @cached_property
    def facts(self) -> Facts | None:
        """The model and the trace."""
        if self._static is not None:
            return self._static
        return super().facts or Facts(model_facts(self.model, None, []))

    @cached_property
    def outputs(self) -> tuple[OutputEvidence, ...] | None:
        """The model's outputs."""
        if self._seen:
            return tuple(OutputEvidence(name, self) for name in self._seen)
        return self._recorded()

    @cached_property
    def inputs(self) -> dict[str, Array] | None:
        """The batch's inputs."""
        found = {path or "x": np.asarray(leaf) for path, leaf in flatten(self._parts.x).items() if leaf is not None}
        numbers = {path: leaf.astype(np.float64) for path, leaf in found.items() if leaf.dtype.kind in "fiub"}
        return numbers or None

    def rows(self, output: str, phase: str, epoch: int) -> Rows | None:
        """The batch."""
        if self._seen:
            return self._seen[output] if phase == "train" else None
        return super().rows(output, phase, epoch)
