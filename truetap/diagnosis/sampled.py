"""Inputs of some samples as rules on data look at them: what kind of numbers they are, and the labels beside them.

A recorder with `taps="diagnose"` keeps the inputs of 200 samples of the first epoch, and of as many of validation;
`lint` has those of its batch. Nothing here reads more than that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from truetap.diagnosis.features import standardised
from truetap.diagnosis.rows import Rows
from truetap.errors import TruetapError

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence
    from truetap.diagnosis.output import OutputEvidence

__all__ = ["Sampled", "order_of", "sampled"]

Array = npt.NDArray[Any]

_BITS = 32
_FEW_KINDS = 20


@dataclass(frozen=True)
class Sampled:
    """The inputs of some samples at one path.

    Attributes:
        path: "x" of a single one.
        values: Shape (n, …), float64.
        prints: Fingerprints of the samples, shape (n,); None in `lint`, whose batch has the order of its rows.
        looked_up: Whether an Embedding can look these numbers up: whole, from 0 to below its size.
    """

    path: str
    values: Array
    prints: Array | None
    looked_up: bool

    def __len__(self) -> int:
        return len(self.values)

    @property
    def words(self) -> str:
        """What it is called in sentences: "the inputs", or "the input 'age'"."""
        return "the inputs" if self.path == "x" else f"the input {self.path!r}"

    @cached_property
    def finite(self) -> Array:
        """Which values are finite, in the shape of them all."""
        return np.isfinite(self.values)

    @cached_property
    def whole(self) -> bool:
        """Whether all finite values are whole numbers."""
        some = self.values[self.finite]
        return bool(np.all(some == np.round(some)))

    @cached_property
    def continuous(self) -> bool:
        """Whether samples can differ in so many ways that two are equal by being one and the same only.

        True when the entropies of the values add up to more than 32 bits, or some feature is a fraction that is another
        one for nearly each sample.
        """
        flat = np.unique(self.values.reshape(len(self), -1), axis=0)
        bits = 0.0
        for column in flat.T[:: max(1, flat.shape[1] // 256)]:
            _, counts = np.unique(column, return_counts=True)
            share = counts / len(column)
            bits -= float((share * np.log2(share)).sum())
            fractions = bool(np.any(column != np.round(column)))
            if fractions and len(counts) > max(_FEW_KINDS, 0.8 * len(column)):
                return True
        return bits > _BITS

    def labels(self, rows: Rows) -> tuple[Array, Array] | None:
        """Which of these samples have a label among some rows, and where: positions here, positions there.

        Of samples that occur several times one place; None where they can't be brought together.
        """
        if rows.y_true is None:
            return None
        if self.prints is None:
            return (np.arange(len(self)), np.arange(len(self))) if len(rows) == len(self) else None
        if rows.prints is None:
            return None
        known, first = np.unique(rows.prints, return_index=True)
        at = np.minimum(np.searchsorted(known, self.prints), len(known) - 1)
        mine = np.flatnonzero(known[at] == self.prints)
        return mine, first[at[mine]]


def sampled(evidence: Evidence, phase: str = "train") -> tuple[Sampled, ...]:
    """The inputs of some samples of a phase, by path; none where none were recorded."""
    found = evidence.inputs if phase == "train" else evidence.val_inputs
    sizes = _embeddings(evidence)
    made = []
    for path, values in (found or {}).items():
        some = values[np.isfinite(values)]
        top = float(some.max()) if some.size else 0.0
        ids = bool(some.size and some.min() >= 0 and np.all(some == np.round(some)) and top < max(sizes, default=0))
        made.append(Sampled(path, values, _prints(evidence, path, phase), ids and values.ndim <= 3))
    return tuple(made)


def order_of(output: OutputEvidence, rows: Rows, most: int = 64) -> Array | None:
    """Labels as columns of numbers: classes one-hot, numbers standardised; shape (n, k). None without labels."""
    if rows.y_true is None or rows.truth is None or not len(rows):
        return None
    classes = rows.true_classes if output.meant in ("classes", "binary") else None
    if classes is not None and classes.ndim == 1:
        names, index = np.unique(classes, return_inverse=True)
        return np.eye(len(names))[index] if len(names) <= most else (index[:, None] / len(names)).astype(float)
    flat = np.asarray(rows.y_true, np.float64).reshape(len(rows), -1)
    flat = flat[:, :: max(1, flat.shape[1] // most)][:, :most]
    flat = np.where(np.isfinite(flat), flat, 0.0)
    return standardised(flat)


def _prints(evidence: Evidence, path: str, phase: str) -> Array | None:
    if evidence.batch is not None or evidence.run is None:
        return None
    try:
        return np.asarray(evidence.run.inputs(path, phase=phase).fingerprints)
    except TruetapError:
        return None


def _embeddings(evidence: Evidence) -> list[int]:
    layers = () if evidence.facts is None else evidence.facts.model.layers
    sizes = [layer.settings.get("input_dim") for layer in layers if "input_dim" in layer.settings]
    return [size for size in sizes if isinstance(size, int)]
