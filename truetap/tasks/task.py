"""The types that say what one output's values mean.

`Hint` is what a model and its loss tell before a value is seen, `OutputTask` what is known after all
values were seen. Both are small immutable values: they can be stored with a run and compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]


class Task(StrEnum):
    """What an output was trained for."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    MULTILABEL = "multilabel"
    ORDINAL = "ordinal"
    REGRESSION = "regression"


class Family(StrEnum):
    """What kind of targets a loss is made for."""

    CATEGORICAL = "categorical"
    BINARY = "binary"
    REGRESSION = "regression"
    PAIRLESS = "pairless"  # no value of y_true belongs to one value of y_pred
    UNKNOWN = "unknown"


_FAMILIES = {
    Family.CATEGORICAL: (
        "categorical_crossentropy sparse_categorical_crossentropy categorical_focal_crossentropy "
        "categorical_generalized_cross_entropy categorical_hinge kl_divergence kld"
    ),
    Family.BINARY: "binary_crossentropy bce binary_focal_crossentropy hinge squared_hinge",
    Family.REGRESSION: (
        "mean_squared_error mse mean_absolute_error mae mean_absolute_percentage_error mape "
        "mean_squared_logarithmic_error msle huber log_cosh logcosh poisson cosine_similarity"
    ),
    Family.PAIRLESS: "ctc circle",
}
_FAMILY_OF = {name: family for family, names in _FAMILIES.items() for name in names.split()}
_HINGES = frozenset({"hinge", "squared_hinge", "categorical_hinge"})


@dataclass(frozen=True, slots=True)
class Hint:
    """What the model and its loss say about an output before a value is seen.

    Attributes:
        loss: Keras' registered name of the loss (`"binary_crossentropy"`), or a user's function name.
        from_logits: The loss' own flag; None when the loss has none.
        activation: Name of the output's activation; None when not known.
        ignore_class: The label that `SparseCategoricalCrossentropy(ignore_class=)` leaves out.
    """

    loss: str | None = None
    from_logits: bool | None = None
    activation: str | None = None
    ignore_class: int | None = None

    @property
    def family(self) -> Family:
        """The kind of targets that the loss is made for."""
        return _FAMILY_OF.get(self._loss, Family.UNKNOWN)

    @property
    def hinge(self) -> bool:
        """Whether the loss compares margins, which are no probabilities."""
        return self._loss in _HINGES

    @property
    def squashed(self) -> str | None:
        """`"softmax"` or `"sigmoid"` when the activation makes probabilities, else None."""
        name = (self.activation or "").lower()
        return {"softmax": "softmax", "sigmoid": "sigmoid", "hard_sigmoid": "sigmoid"}.get(name)

    @property
    def _loss(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.loss or "").lower()


@dataclass(frozen=True, slots=True)
class OutputTask:
    """What an output's values mean, as told or as found by `infer`.

    Attributes:
        task: What the output was trained for.
        logits: Whether scores are logits rather than probabilities.
        classes: Number of classes or labels; 2 for binary, 0 for regression.
        positions: Number of axes between the sample axis and the class axis: 0 for one prediction
            per sample, 1 for sequences, 2 for images.
        margins: Whether scores are margins (hinge losses): decided at 0, never probabilities.
        cumulative: For ordinal outputs, whether unit k scores "rank above k" (one unit less than
            ranks) rather than "rank is k".
        ignore_class: A label that counts as "not labelled".
    """

    task: Task
    logits: bool
    classes: int
    positions: int = 0
    margins: bool = False
    cumulative: bool = True
    ignore_class: int | None = None

    @property
    def threshold(self) -> float:
        """The score at and above which a binary, multi-label or ordinal unit says yes."""
        return 0.0 if self.logits or self.margins else 0.5

    @property
    def by_index(self) -> bool:
        """Whether the class axis holds one score per class, of which the highest is chosen."""
        return self.task is Task.MULTICLASS or (self.task is Task.ORDINAL and not self.cumulative)
