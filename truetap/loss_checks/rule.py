"""The contract of a rule.

Rules are small and know nothing of each other but names: a rule that would repeat what another one has
explained already gives way to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from truetap.loss_checks.evidence import Evidence
from truetap.loss_checks.finding import Finding

__all__ = ["Rule"]


class Rule(Protocol):
    """One kind of mistake.

    Attributes:
        name: Its name in findings, in snake_case.
        needs: Names of attributes of the evidence that must not be None: the rule is left out where
            they can't be had, such as "values" of a loss that doesn't run.
        after: Names of rules whose findings (errors and warnings) explain what this one would see.
    """

    @property
    def name(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    @property
    def after(self) -> tuple[str, ...]: ...

    def check(self, evidence: Evidence) -> Iterable[Finding]:
        """What is to be said; nothing when all is well."""
