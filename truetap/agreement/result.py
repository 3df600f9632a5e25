"""What a comparison found: `Agreement`, its findings, and the updates side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from truetap.errors import LossError
from truetap.notebook.objects import agreement_html

__all__ = ["Agreement", "Finding", "VariableDifference"]

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for which the loop differs from `fit`.

    Attributes:
        rule: Its name, such as "broadcast" or "sample_weight".
        text: What the loop does, by how much it differs, and what to do.
        numbers: The numbers in the text, by name.
    """

    rule: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class VariableDifference:
    """How one variable of the model moved in both steps.

    Attributes:
        path: The variable.
        trainable: Whether `fit` trains it.
        fit: Norm of the change that `fit` made.
        loop: Norm of the change that the loop made.
        max_abs: The largest difference of an element afterwards.
        relative: Norm of the difference of the changes, over the larger of both norms.
        agrees: Whether that is within tolerance.
    """

    path: str
    trainable: bool
    fit: float
    loop: float
    max_abs: float
    relative: float
    agrees: bool


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a step of a loop compares with a step of `fit`; true when they do the same.

    Attributes:
        agrees: Whether the loss and every change of the model are the same, to tolerance.
        findings: The reasons, if not; the smallest set that gives the loop's numbers.
        loss_fit: The loss that `fit` reports for the batch.
        loss_loop: The loss that the loop's step returned, or None.
        updates: Every variable of the model.
        notes: What this batch or this loop doesn't let one see.
    """

    agrees: bool
    findings: tuple[Finding, ...]
    loss_fit: float
    loss_loop: float | None
    updates: tuple[VariableDifference, ...]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.agrees

    def __str__(self) -> str:
        loop = "not returned" if self.loss_loop is None else f"{self.loss_loop:.6g}"
        verdict = "does what fit does" if self.agrees else "does not do what fit does"
        lines = [f"The loop {verdict} on this batch. Loss: fit {self.loss_fit:.6g}, loop {loop}."]
        lines += [f"{number}. {finding}" for number, finding in enumerate(self.findings, 1)]
        lines += self._table()
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return agreement_html(self)

    def _table(self) -> list[str]:
        wrong = [each for each in self.updates if not each.agrees]
        if not wrong:
            return [f"All {len(self.updates)} variables change alike."] if self.updates else []
        width = max(len(each.path) for each in wrong[:_SHOWN])
        lines = [f"{len(wrong)} of {len(self.updates)} variables change differently:"]
        lines += [
            f"  {each.path:<{width}}  change by fit {each.fit:.3e}, by the loop {each.loop:.3e}; "
            f"they differ by {each.relative:.1e} of that, at most {each.max_abs:.1e} in an element"
            for each in wrong[:_SHOWN]
        ]
        return lines + ([f"  and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else [])

    def raise_if_different(self) -> None:
        """Does nothing if the loop agrees with `fit`.

        Raises:
            LossError: It doesn't; the text is that of the agreement.
        """
        if not self.agrees:
            raise LossError(str(self))
