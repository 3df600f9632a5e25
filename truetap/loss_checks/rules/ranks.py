"""Labels and outputs of different ranks: (n,) against (n, 1), (n, T) against (n, T, 1)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from keras import ops

from truetap.backends.tensors import to_host
from truetap.loss_checks.evidence import Array, Evidence, attempt
from truetap.loss_checks.numbers import distributions, probabilities, same, shown
from truetap.rules.finding import Finding, Severity

__all__ = ["ImplicitBroadcast", "UnalignedRanks"]


class ImplicitBroadcast:
    """The loss compares every label with every output.

    Of (n,) against (n, 1) broadcasting makes a table of n by n, whose mean is minimised. Told by its effect: with
    labels reshaped to the outputs' shape, the same numbers give another loss (by more than 1e-3); or, where the shapes
    differ inside the loss, labels shuffled among the samples give the same one.
    """

    name = "implicit_broadcast"
    needs: tuple[str, ...] = ("values", "repeatable")
    after: tuple[str, ...] = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        for y_true in _label_probes(evidence):
            found = self._outside(evidence, y_true)
            if found is not None:
                yield found
                return
        found = self._inside(evidence)
        if found is not None:
            yield found

    def _outside(self, evidence: Evidence, y_true: Array) -> Finding | None:
        """Shapes that differ as they arrive."""
        aligned = _aligned(y_true, evidence.y_pred)
        if aligned is None:
            return None
        given = evidence.total(y_true, evidence.y_pred).value
        right = evidence.total(aligned, evidence.y_pred).value
        if given is None or right is None:
            return None
        shapes = f"labels {y_true.shape} and outputs {evidence.y_pred.shape}"
        if not same(given, right):
            return self._crossed(evidence, shapes, given, right)
        bare = _bare(evidence, y_true)
        crossed = bare is not None and not same(bare, right) and not _unpaired(evidence)
        return self._aligned_by_keras(shapes, bare, right) if bare is not None and crossed else None

    def _inside(self, evidence: Evidence) -> Finding | None:
        """Shapes that the loss itself makes different: then it doesn't matter which label is whose."""
        if not _unpaired(evidence):
            return None
        return Finding(
            self.name,
            Severity.ERROR,
            f"Labels {evidence.y_true.shape} shuffled among the samples give the same loss, and 2 labels are accepted "
            "for 3 outputs.",
            "Inside the loss the two have different ranks and broadcast, so each label meets the outputs of other "
            "samples: training minimises that.",
            "Change the rank of both alike, or begin with y_true = ops.reshape(y_true, ops.shape(y_pred)).",
            where="y_true",
            reference="keras-team/keras#19662",
        )

    def _crossed(self, evidence: Evidence, shapes: str, given: float, right: float) -> Finding:
        values = evidence.values
        table = f"; its values have shape {values.shape}" if values is not None and values.ndim > 1 else ""
        kind = "" if evidence.subject.function is not None else " Keras aligns ranks for functions, not in a Loss."
        return Finding(
            self.name,
            Severity.ERROR,
            f"With {shapes} the loss is {shown(given)}, with the same labels reshaped to "
            f"{evidence.y_pred.shape} it is {shown(right)}{table}.",
            f"The shapes broadcast, so each label meets the outputs of other samples: training minimises that.{kind}",
            "Give the labels the shape of the outputs, such as y[:, None], or begin with "
            "y_true = ops.reshape(y_true, ops.shape(y_pred)).",
            where="y_true",
            reference="keras-team/keras#19662",
        )

    def _aligned_by_keras(self, shapes: str, bare: float, right: float) -> Finding:
        return Finding(
            self.name,
            Severity.NOTE,
            f"compile aligns {shapes} for a function (loss {shown(right)}); called by hand it gives {shown(bare)}.",
            "In a loop of your own, or as the call of a Loss, the same code broadcasts.",
            "Give the labels the shape of the outputs.",
            where="y_true",
        )


class UnalignedRanks:
    """The loss raises on labels of another rank, and would run had they the outputs' shape.

    Exact: (n,) against (n, 1), or (n, T) against (n, T, 1), run both ways.
    """

    name = "unaligned_ranks"
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        aligned = _aligned(evidence.y_true, evidence.y_pred)
        if evidence.ran.error is None or aligned is None:
            return
        right = evidence.total(aligned, evidence.y_pred).value
        if right is not None:
            yield Finding(
                self.name,
                Severity.ERROR,
                f"Labels {evidence.y_true.shape} against outputs {evidence.y_pred.shape} raise "
                f"{type(evidence.ran.error).__name__}; reshaped to {aligned.shape} they give {shown(right)}.",
                "Where two sizes happen to be equal, the same shapes broadcast without an error.",
                f"Give the labels the shape {('n', *aligned.shape[1:])}.".replace("'", ""),
                where="y_true",
            )


def _aligned(y_true: Array, y_pred: Array) -> Array | None:
    """Labels in the outputs' shape, where only an axis of 1 at the end is between them."""
    if y_true.ndim == y_pred.ndim or y_true.size != y_pred.size:
        return None
    longer, shorter = sorted((y_true.shape, y_pred.shape), key=len, reverse=True)
    return y_true.reshape(y_pred.shape) if longer == (*shorter, 1) else None


def _label_probes(evidence: Evidence) -> Iterator[Array]:
    """The labels, and others that differ from sample to sample: equal ones would hide a broadcast."""
    yield evidence.y_true
    kind, shape = evidence.y_true.dtype, evidence.y_true.shape
    drawn = evidence.rng().uniform(0, 1, shape)
    yield (drawn > 0.5).astype(kind) if kind.kind in "iub" else drawn.astype(kind)


def _unpaired(evidence: Evidence) -> bool:
    """Whether the loss looks at labels and outputs, but not at which belong together."""
    _, drawn = _label_probes(evidence)
    shuffled, changed = np.roll(drawn, 1, axis=0), drawn.copy()
    changed[0] = 1 - changed[0]
    if np.array_equal(drawn, shuffled):
        return False
    for pred in _output_probes(evidence):
        batches = ((drawn, pred), (shuffled, pred), (changed, pred), (drawn, pred[:1].repeat(len(pred), axis=0)))
        here, other, *dependent = (evidence.total(*each).value for each in batches)
        if here is None or other is None or not same(here, other):
            return False
        if not any(each is None or same(here, each) for each in dependent):
            return evidence.total(drawn[:2], pred[:3], rows=slice(3)).error is None
    return False


def _output_probes(evidence: Evidence) -> Iterator[Array]:
    """The outputs, and others that differ more: before anything is learnt a model may say nearly the same of all."""
    pred = evidence.y_pred
    yield pred
    drawn = evidence.rng().uniform(0.05, 0.95, pred.shape)
    if distributions(pred):
        drawn /= drawn.sum(axis=-1, keepdims=True)
    elif not probabilities(pred):
        drawn = 4 * drawn - 2
    yield drawn.astype(pred.dtype)


def _bare(evidence: Evidence, y_true: Array) -> float | None:
    """A function without what Keras does around it; None where it isn't one, or raises."""
    function = evidence.subject.function
    if function is None or evidence.subject.documented:
        return None
    tensors = (ops.convert_to_tensor(each, dtype="float32") for each in (y_true, evidence.y_pred))
    return attempt(lambda: float(np.mean(to_host(function(*tensors))))).value
