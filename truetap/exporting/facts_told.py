"""The facts of a run as flat names and plain values: what others call params, or a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from truetap.exporting.chosen import Chosen
from truetap.facts.types import Facts, FitFacts, ModelFacts

__all__ = ["facts_told"]

Plain = str | float | int | bool


def facts_told(chosen: Chosen) -> dict[str, Plain]:
    """Facts of the model, the optimizer and the latest `fit`: "optimizer/clipnorm"; unknown ones are left out."""
    metadata = chosen.moment.metadata
    found: dict[str, Plain | None] = {}
    recorder = metadata.get("recorder")
    if isinstance(recorder, Mapping):
        found["backend"] = recorder.get("backend")
    plain = metadata.get("facts")
    if isinstance(plain, Mapping):
        facts = Facts.from_json(plain)
        found |= dict(_model(facts.model))
        found |= {} if facts.fit is None else dict(_fit(facts.fit))
    return {name: value for name, value in found.items() if isinstance(value, str | float | int | bool)}


def _model(model: ModelFacts) -> Iterator[tuple[str, Any]]:
    yield "model/name", model.name
    yield "model/kind", model.kind
    yield "model/layers", len(model.layers)
    yield "model/trainable_weights", sum(each.size for each in model.weights.values() if each.trainable)
    yield "model/other_weights", sum(each.size for each in model.weights.values() if not each.trainable)
    for loss in model.losses:
        yield f"loss/{loss.output}" if loss.output else "loss", loss.name
    if model.optimizer is not None:
        yield "optimizer", model.optimizer.kind
        yield "optimizer/schedule", model.optimizer.schedule
        for name, value in model.optimizer.settings.items():
            yield f"optimizer/{name}", value


def _fit(fit: FitFacts) -> Iterator[tuple[str, Any]]:
    for name in ("epochs", "steps", "batch_size", "shuffle", "validation_split", "sample_weight"):
        yield f"fit/{name}", getattr(fit, name)
    for label, weight in (fit.class_weight or {}).items():
        yield f"fit/class_weight/{label}", weight
