"""One output of the model: its loss, its labels, what it predicted, and what it was meant for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.formulas import Acting, recognised
from truetap.diagnosis.rows import Rows
from truetap.errors import TruetapError
from truetap.facts import LayerFacts, LossFacts, OutputFacts
from truetap.facts.types import ArrayFacts
from truetap.tasks import Hint
from truetap.tasks.task import Family

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence
    from truetap.loss_checks import LossReport

__all__ = ["Meant", "OutputEvidence"]

Array = npt.NDArray[Any]
Meant = Literal["classes", "binary", "labels", "regression", "unknown"]

_FEW = 100  # whole numbers of more different values are no classes


class OutputEvidence:
    """An output, as rules look at it.

    Args:
        name: As in `run.samples()`: "" for a single one.
        evidence: What the run has.

    Attributes:
        name: As given.
        first: Rows of the first recorded epoch of training.
        last: Of the last one; the same where there is one.
    """

    def __init__(self, name: str, evidence: Evidence) -> None:
        self.name = name
        self._evidence = evidence

    @cached_property
    def first(self) -> Rows:
        """Rows of the first recorded epoch of training; such outputs alone are evidence."""
        found: Rows = self._evidence.rows(self.name, "train", 0)  # type: ignore[assignment]
        return found

    @cached_property
    def last(self) -> Rows:
        """Rows of the last recorded epoch of training."""
        found = self._evidence.rows(self.name, "train", -1)
        return self.first if found is None else found

    @cached_property
    def val_first(self) -> Rows | None:
        """Rows of the first validation."""
        return self._evidence.rows(self.name, "val", 0)

    @cached_property
    def val_last(self) -> Rows | None:
        """Rows of the last validation, where it has labels."""
        found = self._evidence.rows(self.name, "val", -1)
        return None if found is None or found.truth is None else found

    # --- static -------------------------------------------------------------------------------------

    @property
    def words(self) -> str:
        """What it is called in sentences: "the output", or "the output 'age'"."""
        return f"the output {self.name!r}" if self.name else "the output"

    @property
    def opening(self) -> str:
        """The same at the head of a sentence."""
        return self.words[0].upper() + self.words[1:]

    @cached_property
    def facts(self) -> OutputFacts:
        """What is static of it."""
        known = self._evidence.facts.model.outputs if self._evidence.facts is not None else ()
        return next((each for each in known if each.name == self.name), OutputFacts(self.name))

    @cached_property
    def layer(self) -> LayerFacts | None:
        """The layer that makes it, where that can be told."""
        facts = self._evidence.facts
        return None if facts is None or self.facts.layer is None else facts.model.by_path.get(self.facts.layer)

    @cached_property
    def loss(self) -> LossFacts | None:
        """Its loss."""
        known = self._evidence.facts.model.losses if self._evidence.facts is not None else ()
        return next((each for each in known if each.output == self.name), None)

    @property
    def loss_name(self) -> str:
        """The loss' name, "" without one."""
        return "" if self.loss is None else self.loss.name

    @cached_property
    def family(self) -> Family:
        """The kind of targets that the loss is made for."""
        return Hint(loss=self.loss_name).family

    @property
    def activation(self) -> str | None:
        """The name of what is applied last; None where that can't be told: a subclassed model's own call."""
        return self.facts.activation

    @property
    def given(self) -> ArrayFacts | None:
        """The labels as the loss got them, with their own shape and dtype."""
        return next((each for each in self._evidence.trace.y if each.path == self.name), None)

    @property
    def squashed(self) -> bool:
        """Whether the activation makes probabilities, where it is known."""
        return Hint(activation=self.activation).squashed is not None

    @property
    def probabilities(self) -> bool:
        """Whether the values are probabilities: by the activation, else by how they look."""
        if self.squashed:
            return True
        if self.activation not in (None, "linear"):
            return False
        return self.first.pred.rows_sum_to_one or (self.activation is None and self.first.pred.unit_interval)

    @cached_property
    def meant(self) -> Meant:
        """What it was meant for, by labels, loss, activation and units together.

        "classes": one of several; "binary": yes or no; "labels": several of them at once; "regression": a number;
        "unknown": none of these can be told.
        """
        truth, units = self.first.truth, self.first.pred.units
        if truth is None:
            return "unknown"
        if truth.one_hot and truth.units > 1:
            return "classes"
        if self.family is Family.CATEGORICAL or self.activation == "softmax":
            return "classes"
        if self.family is Family.BINARY or self.activation == "sigmoid":
            if truth.binary or truth.signs:
                return "labels" if units > 1 and truth.units > 1 else "binary"
            if self.family is Family.BINARY and not truth.whole:
                return "labels" if units > 1 else "binary"  # soft targets, or scaled ones
        if truth.whole and truth.units == 1 and 1 < truth.distinct <= min(_FEW, max(2, len(self.first) // 10)):
            if truth.distinct == 2:
                return "binary" if units == 1 else "classes"
            if units > 1 and truth.distinct <= units and truth.low >= 0:
                return "classes"
        return "regression" if self.family in (Family.REGRESSION, Family.UNKNOWN) else "unknown"

    # --- with the model at hand ---------------------------------------------------------------------

    def loss_report(self, model: Any) -> LossReport | None:
        """What `tt.check_loss` says of its loss; None where that can't be asked."""
        from truetap.backends.keras_private import compiled_losses  # Keras, which reading a run doesn't need
        from truetap.loss_checks import check_loss

        losses = [each for each in compiled_losses(model) if self.owns(each.path)]
        rows = self.first
        finite = np.flatnonzero(np.isfinite(rows.y_pred).reshape(len(rows), -1).all(axis=1))[:16]
        if len(losses) != 1 or rows.y_true is None or len(finite) < 2:
            return None
        y_true, y_pred = self.as_given(rows)[finite], rows.y_pred[finite]
        weight = None if rows.weight is None else rows.weight[finite]
        try:
            return check_loss(losses[0].loss, y_true, y_pred, sample_weight=weight)
        except TruetapError:
            return None

    @cached_property
    def acting(self) -> Acting:
        """What its loss computes: by its name where it is Keras' own, else by its numbers."""
        loss, rows = self.loss, self.first
        if loss is None or not loss.own:
            return Acting() if loss is None else Acting(loss.name, bool(loss.from_logits))
        if rows.y_true is None or rows.truth is None:
            return Acting(own=True)
        chosen = np.flatnonzero(np.isfinite(rows.y_pred).reshape(len(rows), -1).all(axis=1))[:16]
        values = None if rows.loss is None or rows.loss.dtype.kind != "f" else rows.loss[chosen]
        if self._evidence.model is not None:
            from truetap.diagnosis.acting import loss_values  # Keras, which reading a run doesn't need

            here = loss_values(self, self._evidence.model, self.as_given(rows)[chosen], rows.y_pred[chosen])
            values = values if here is None else here
        return Acting(own=True) if values is None else recognised(values, rows.y_true[chosen], rows.y_pred[chosen])

    def owns(self, path: tuple[str | int, ...]) -> bool:
        """Whether a loss that stands at a path is its own."""
        return _name_of(path, self) == self.name

    def as_given(self, rows: Rows) -> Array:
        """The labels of rows in the shape and dtype in which the loss got them."""
        assert rows.y_true is not None
        given = self.given
        if given is None:
            return rows.y_true
        shape = (len(rows.y_true), *(each if each is not None else -1 for each in given.shape[1:]))
        known = all(each is not None for each in given.shape[1:])
        whole = rows.y_true.reshape(shape) if known and np.prod(shape) == rows.y_true.size else rows.y_true
        return whole.astype(given.dtype) if given.dtype in ("float32", "float64", "int32", "int64") else whole


def _name_of(path: tuple[str | int, ...], output: OutputEvidence) -> str:
    """The name of the output that a loss belongs to, by the facts' order."""
    if not path:
        return ""
    if isinstance(path[0], str):
        return "/".join(map(str, path))
    names = [each.name for each in output._evidence.outputs or ()]
    return names[path[0]] if path[0] < len(names) else str(path[0])
