"""Layers or weights that the model doesn't know of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["UntrackedWeights"]


class UntrackedWeights:
    """What `call` reaches and `trainable_variables` doesn't hold: static, and certain.

    Layers and variables in objects, functions, closures and globals, and layers that are made within `call`. Frozen
    ones, such as a teacher that is kept aside on purpose, are let be.
    """

    name = "untracked_weights"
    needs = ("facts",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for the model."""
        assert evidence.facts is not None
        found = evidence.facts.model.untracked
        if not found:
            return
        names = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        yield Finding(
            rule=self.name,
            severity=Severity.ERROR,
            seen=f"Keras doesn't track {names}.",
            why="These weights are used and in no trainable_variables: they are never trained, saved or loaded.",
            do=(
                "Make the layers in __init__ and hold them as attributes of the model or layer, or in a list or dict "
                "that is one; a function or plain object that holds layers becomes a keras.Layer."
            ),
            where=found[0],
            reference="https://keras.io/guides/making_new_layers_and_models_via_subclassing/",
            numbers={"untracked": len(found)},
            certainty=0.95,
        )
