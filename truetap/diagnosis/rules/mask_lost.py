"""A mask that is made and doesn't arrive."""

from __future__ import annotations

from collections.abc import Iterator

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.rows import Rows
from truetap.rules.finding import Finding, Severity

__all__ = ["MaskLost"]

_DROP = ("Flatten", "Reshape", "Conv1D", "Conv2D", "Permute", "Lambda", "MaxPooling1D", "AveragePooling1D")
_TAKE = ("LSTM", "GRU", "SimpleRNN", "GlobalAveragePooling1D", "MultiHeadAttention", "Attention", "Bidirectional")


class MaskLost:
    """A mask of `Embedding(mask_zero=True)` or `Masking` that reaches neither the loss nor a layer that would use it.

    A note: the model may do without. Where padding is seen to count, padding_counted says so.
    """

    name = "mask_lost"
    needs = ("facts", "outputs")
    after = ("padding_counted",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding."""
        assert evidence.facts is not None
        layers, trace = evidence.facts.model.by_path, evidence.trace
        makers = [
            each
            for each in trace.calls
            if (layer := layers.get(each.partition("#")[0])) is not None
            and (layer.kind == "Masking" or layer.settings.get("mask_zero") is True)
        ]
        if not makers or trace.masked is None:
            return
        masked = trace.masked
        behind = trace.calls[trace.calls.index(makers[0]) + 1 :]
        kinds = {call: layers[call.partition("#")[0]].kind for call in behind if call.partition("#")[0] in layers}
        without = [call for call, kind in kinds.items() if kind in _TAKE and call not in masked and "/" not in call]
        ends = any(kind in _TAKE[:4] for call, kind in kinds.items() if not _sequences(evidence, call))
        steps = [each for each in evidence.labelled or () if _a_value_a_step(each.first)]
        at_loss = [each.words for each in steps if each.first.mask is None]
        if not without and (not at_loss or ends):
            return
        dropped = next((call for call, kind in kinds.items() if kind in _DROP), None)
        by = f" {dropped!r} doesn't pass masks on." if dropped is not None else ""
        place = ", ".join(map(repr, without)) if without else f"the loss of {at_loss[0]}"
        yield Finding(
            rule=self.name,
            severity=Severity.NOTE,
            seen=f"{makers[0]!r} makes a mask, and {place} got none.{by}",
            why="Steps that were to be left out count.",
            do=(
                "Use layers that pass masks on between the two (supports_masking=True in a layer of your own), or "
                "give the "
                "mask by hand: layer(x, mask=embedding.compute_mask(tokens))."
            ),
            where=dropped,
            reference="https://keras.io/guides/understanding_masking_and_padding/",
            layers=tuple(without),
            certainty=0.6,
        )


def _sequences(evidence: Evidence, call: str) -> bool:
    assert evidence.facts is not None
    return bool(evidence.facts.model.by_path[call.partition("#")[0]].settings.get("return_sequences"))


def _a_value_a_step(rows: Rows) -> bool:
    return rows.y_pred.ndim == 3 and rows.y_true is not None and rows.y_true.ndim >= 2
