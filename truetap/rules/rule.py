"""The contract of a rule: of losses (`tt.check_loss`), of models and data (`tt.lint`), of runs (`run.diagnose`).

Rules are small and know nothing of each other but names: a rule that would repeat what another one has
explained already gives way to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from truetap.rules.finding import Finding

__all__ = ["ANY", "Evidence", "Rule"]

ANY = "*"  # in `after`: gives way to whatever was found; for symptoms, of which any cause may be the reason


class Evidence(Protocol):
    """What rules read. An attribute that a rule needs is None where it can't be had."""

    def without(self, need: str) -> str:
        """Why something that a rule needs can't be had, in words."""


E = TypeVar("E", contravariant=True)


class Rule(Protocol[E]):
    """One kind of mistake.

    Attributes:
        name: Its name in findings, in snake_case.
        needs: Names of attributes of the evidence that must not be None: the rule is left out, and said to be,
            where they can't be had, such as "values" of a loss that doesn't run, or "gradients" of a run without.
        after: Names of rules whose findings (errors and warnings) explain what this one would see; "*" for any.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def after(self) -> tuple[str, ...]: ...

    def check(self, evidence: E) -> Iterable[Finding]:
        """What is to be said; nothing when all is well.

        Args:
            evidence: What is read; attributes that `needs` names are not None.
        """
