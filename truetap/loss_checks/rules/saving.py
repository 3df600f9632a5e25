"""Is the loss the same after it was saved and loaded with its model?"""

from __future__ import annotations

from collections.abc import Iterator

import keras

from truetap.loss_checks.evidence import Evidence, attempt
from truetap.loss_checks.numbers import same, shown
from truetap.loss_checks.subject import formula
from truetap.rules.finding import Finding, Severity

__all__ = ["NotRestored"]


class NotRestored:
    """A loss whose settings are lost, or which can't be made again, when its model is loaded.

    Made again by `from_config(get_config())`, it must give the same number on the batch (to 1e-3). A lambda, which a
    saved model can't find by name, is a note.
    """

    name = "not_restored"
    needs: tuple[str, ...] = ("values", "repeatable")
    after: tuple[str, ...] = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        loss = evidence.subject.loss
        if evidence.subject.function is not None:
            if getattr(evidence.subject.function, "__name__", "") == "<lambda>":
                yield self._finding("It is a lambda.", "A saved model finds its loss by name, and a lambda has none.")
            return
        function = formula(loss)  # its name needn't be registered: custom_objects will do when a model is loaded
        with keras.saving.custom_object_scope({getattr(function, "__name__", "loss"): function}):
            restored = attempt(lambda: type(loss).from_config(loss.get_config()))
        if restored.error is not None:
            seen = f"from_config(get_config()) raises {type(restored.error).__name__}: {restored.error}"
            yield self._finding(seen, "A saved model can't be loaded with it.", Severity.WARNING)
            return
        here = evidence.total(evidence.y_true, evidence.y_pred).value
        there = evidence.of(restored.value).total(evidence.y_true, evidence.y_pred).value
        if here is not None and there is not None and not same(here, there):
            seen = f"The loss is {shown(here)}; made again from its get_config() it is {shown(there)}."
            yield self._finding(seen, "A loaded model goes on training with other settings.", Severity.WARNING)

    def _finding(self, seen: str, why: str, severity: Severity = Severity.NOTE) -> Finding:
        do = "Write def." if severity is Severity.NOTE else "Return every argument of __init__ from get_config()."
        return Finding(self.name, severity, seen, why, do)
