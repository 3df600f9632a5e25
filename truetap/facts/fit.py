"""The facts of a call of `fit`, read when it begins: what its callbacks are told, and its own arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truetap.backends.keras_private import fit_arguments
from truetap.backends.tensors import is_array
from truetap.facts.model import settings_of
from truetap.facts.types import CallbackFacts, FitFacts
from truetap.structure import leaves

__all__ = ["fit_facts"]

_OF_KERAS = ("History", "ProgbarLogger", "Recorder")


def fit_facts(params: Mapping[str, Any] | None, callbacks: Any) -> FitFacts:
    """What is known of the call of `fit` that runs now.

    Args:
        params: What Keras told its callbacks.
        callbacks: Keras' list of callbacks, or None.
    """
    given = fit_arguments()
    params = params or {}
    weights = given.get("class_weight")
    return FitFacts(
        epochs=_whole(params.get("epochs")),
        steps=_whole(params.get("steps")),
        batch_size=_whole(given.get("batch_size")),
        shuffle=given["shuffle"] if isinstance(given.get("shuffle"), bool) else None,
        arrays=_arrays(given["x"]) if "x" in given else None,
        validation=given.get("validation_data") is not None or bool(given.get("validation_split")) if given else None,
        validation_split=float(given["validation_split"]) if given.get("validation_split") else None,
        class_weight=None if not weights else {str(key): float(value) for key, value in dict(weights).items()},
        sample_weight=given.get("sample_weight") is not None if given else None,
        callbacks=tuple(
            CallbackFacts(type(each).__name__, settings_of(each))
            for each in getattr(callbacks, "callbacks", ())
            if type(each).__name__ not in _OF_KERAS
        ),
    )


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _arrays(x: Any) -> bool:
    return all(is_array(leaf) for leaf in leaves(x) if leaf is not None)
