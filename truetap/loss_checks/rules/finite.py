"""NaN and infinities: in the batch as given, where a value reaches its border, and in float16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from truetap.loss_checks.evidence import Array, Evidence
from truetap.loss_checks.numbers import distributions, probabilities, shown
from truetap.rules.finding import Finding, Severity

__all__ = ["Float16Overflow", "NotFinite", "NotFiniteAtBorder"]

_LARGE = 300.0  # an ordinary value in many targets; its square is no float16


class NotFinite:
    """The loss or its gradient isn't finite on the batch as given.

    Exact: no threshold. NaN among the labels are counted and named as the reason.
    """

    name = "not_finite"
    needs: tuple[str, ...] = ("values",)
    after = ("float16_overflow", "value_in_python")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        what = _trouble(evidence, evidence.y_true, evidence.y_pred)
        if what is None:
            return
        missing = int(np.isnan(evidence.y_true).sum()) if evidence.y_true.dtype.kind == "f" else 0
        yield Finding(
            self.name,
            Severity.ERROR,
            f"On the batch as given, {what}" + (f"; y_true holds {missing} NaN." if missing else "."),
            "One step makes every weight NaN.",
            "Replace NaN in y_true before the formula, then leave those elements out of the sum: where() around the "
            "result still sends NaN back through the branch that isn't taken. tt.losses.Masked does both."
            if missing
            else "Check the range of y_pred and y_true against the formula.",
        )


@dataclass(frozen=True, slots=True)
class _Border:
    """A batch at the edge of what can occur; `likely` when training gets there."""

    place: str
    y_true: Array
    y_pred: Array
    likely: bool = True


class NotFiniteAtBorder:
    """The loss or its gradient isn't finite where training can get: log 0, sqrt 0, a division by 0.

    One sample of the batch is put at a border: outputs of 0, of 1 (of a distribution, all of it in one class), equal to
    the label; a label of 0. A warning where outputs or labels of this kind come there, else a note, as of Keras' own
    losses.
    """

    name = "not_finite_at_border"
    needs: tuple[str, ...] = ("values", "slope")
    after = (
        "not_finite",
        "float16_overflow",
        "value_in_python",
        "no_gradient",
        "implicit_broadcast",
        "swapped_arguments",
    )

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        found = [
            (border, what)
            for border in _borders(evidence)
            if (what := _trouble(evidence, border.y_true, border.y_pred)) is not None
        ]
        if not found:
            return
        alarming = any(border.likely for border, _ in found) and not evidence.subject.documented
        yield Finding(
            self.name,
            Severity.WARNING if alarming else Severity.NOTE,
            "Where " + "; where ".join(f"{border.place}, {what}" for border, what in found) + ".",
            "A saturated output or a perfect prediction gets there, and one such sample makes every weight NaN.",
            "Clip before log and division (ops.clip(p, eps, 1 - eps)); add a small number inside sqrt, not behind it.",
            where=found[0][0].place,
        )


class Float16Overflow:
    """The loss computes in float16, and leaves its range.

    Looked at where the loss casts to float16 or is of that dtype: on the batch, and, unless outputs are probabilities,
    on the batch scaled to outputs of 300, whose square is beyond 65,504, the largest float16.
    """

    name = "float16_overflow"
    needs: tuple[str, ...] = ("values", "graph")
    after = ("value_in_python",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        assert evidence.graph is not None
        casts = "cast to float16" in {node.op for node in evidence.graph.nodes}
        if not (casts or evidence.subject.loss.dtype == "float16"):
            return
        size = max(float(np.abs(evidence.y_pred).max()), 1e-6)
        large = evidence.y_pred * np.float32(_LARGE / size)
        batches = [evidence.y_pred] if probabilities(evidence.y_pred) else [evidence.y_pred, large]
        for y_pred in batches:
            total, most = evidence.total(evidence.y_true, y_pred).value, float(np.abs(y_pred).max())
            if total is not None and not np.isfinite(total) and most < np.finfo(np.float16).max:
                yield Finding(
                    self.name,
                    Severity.WARNING,
                    f"With outputs up to {shown(most)} the loss, computed in float16, is {total}.",
                    "float16 ends at 65504, and 1e-8 is 0 in it.",
                    "Compute in float32: Keras casts y_true and y_pred to it unless the loss asks for another dtype.",
                    where="cast to float16" if casts else "dtype",
                )
                return


def _trouble(evidence: Evidence, y_true: Array, y_pred: Array) -> str | None:
    """What isn't finite at a batch, in words."""
    found = evidence.gradient(y_true, y_pred).value
    if found is None:
        return None
    if not np.isfinite(found.value):
        return f"the loss is {found.value}"
    if found.slope is not None and not np.isfinite(found.slope).all():
        bad = int((~np.isfinite(found.slope)).sum())
        return f"the loss is {shown(found.value)} and {bad} of {found.slope.size} gradients are NaN or infinite"
    return None


def _borders(evidence: Evidence) -> Iterator[_Border]:
    """One sample of the batch at a border, the others as they are."""
    y_true, y_pred = evidence.y_true, evidence.y_pred
    if distributions(y_pred):  # never 0 altogether: one class has it all
        for sure in (0, -1):
            row = np.eye(y_pred.shape[-1])[sure]
            yield _Border(f"y_pred is {_listed(row)}", y_true, _with_first(y_pred, row))
    else:
        yield _Border(
            "y_pred is 0", y_true, _with_first(y_pred, 0.0), probabilities(y_pred) or bool((y_pred == 0).any())
        )
        if probabilities(y_pred):
            yield _Border("y_pred is 1", y_true, _with_first(y_pred, 1.0))
    if evidence.element_wise is None:
        return
    exact = y_pred.copy()
    exact[0] = np.where(np.isfinite(y_true[0]), y_true[0], exact[0])
    yield _Border("y_pred equals y_true", y_true, exact)
    if y_true.dtype.kind == "f":
        crosses = bool((y_true == 0).any() or (y_true.min() < 0 < y_true.max()))
        yield _Border("y_true is 0", _with_first(y_true, 0.0), y_pred, crosses)


def _listed(row: Array) -> str:
    return "[" + ", ".join(f"{value:g}" for value in row[:4]) + (", …]" if len(row) > 4 else "]")


def _with_first(values: Array, value: Any) -> Array:
    changed = values.copy()
    changed[0] = value
    return changed
