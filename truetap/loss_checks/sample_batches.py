"""Batches made up for a loss of which nothing but its name is known; for the command line.

What was assumed is said with the result: a batch of the user's own tells more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from truetap.backends.loss_probe import Array
from truetap.errors import LossError

__all__ = ["KINDS", "Made", "kind_of", "made"]

_ROWS, _CLASSES = 8, 4

KINDS = {
    "regression": "labels and outputs of shape (8, 3), standard normal",
    "binary": "labels 0 and 1, probabilities, of shape (8, 1)",
    "one-hot": "one-hot labels and probabilities of 4 classes, shape (8, 4)",
    "classes": "class indices (8,) and probabilities of 4 classes (8, 4)",
    "signs": "labels -1 and 1, outputs of shape (8, 1), standard normal",
    "masks": "masks 0 and 1 and probabilities of shape (8, 4, 4, 1)",
    "letters": "labels (8, 3) from 1 to 4 and logits (8, 7, 5)",
}
_BY_WORD = (
    ("ctc", "letters"),
    ("sparse|generalized_cross", "classes"),
    ("dice|tversky|iou|jaccard|segment", "masks"),
    ("hinge", "signs"),
    ("binary|bce|focal", "binary"),
    ("crossentropy|cross_entropy|kl_div|kullback|categorical", "one-hot"),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A batch, and in words what it is."""

    y_true: Array
    y_pred: Array
    words: str


def kind_of(loss: str) -> str:
    """The kind of batch that a loss of this name probably wants.

    Example:
        >>> kind_of("losses:SparseCategoricalCrossentropy"), kind_of("my_losses:pinball")
        ('classes', 'regression')
    """
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", loss.rpartition(":")[2]).lower()
    if "categorical_hinge" in name or ("categorical" in name and "focal" in name):
        return "one-hot"
    return next((kind for words, kind in _BY_WORD if re.search(words, name)), "regression")


def made(kind: str) -> Made:
    """A batch of a kind; always the same one.

    Raises:
        LossError: A kind that there is not.
    """
    if kind not in KINDS:
        raise LossError(f"There is no kind of batch {kind!r}. Expected: one of {', '.join(KINDS)}.")
    rng = np.random.default_rng(0)
    return Made(*_arrays(kind, rng), KINDS[kind])


def _arrays(kind: str, rng: np.random.Generator) -> tuple[Array, Array]:
    classes = rng.permutation(np.arange(_ROWS) % _CLASSES)
    logits = rng.normal(size=(_ROWS, _CLASSES))
    shares = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)
    if kind == "one-hot":
        return np.eye(_CLASSES, dtype=np.float32)[classes], shares
    if kind == "classes":
        return classes, shares
    if kind == "letters":
        return rng.integers(1, 5, (_ROWS, 3)), rng.normal(size=(_ROWS, 7, 5)).astype(np.float32)
    if kind == "masks":
        shape = (_ROWS, 4, 4, 1)
        return rng.integers(0, 2, shape).astype(np.float32), rng.uniform(0.1, 0.9, shape).astype(np.float32)
    halves = rng.permutation(np.arange(_ROWS) % 2)[:, None].astype(np.float32)
    if kind == "binary":
        return halves, rng.uniform(0.1, 0.9, (_ROWS, 1)).astype(np.float32)
    if kind == "signs":
        return 2 * halves - 1, rng.normal(size=(_ROWS, 1)).astype(np.float32)
    return rng.normal(size=(_ROWS, 3)).astype(np.float32), rng.normal(size=(_ROWS, 3)).astype(np.float32)
