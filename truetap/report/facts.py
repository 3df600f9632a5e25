"""What was trained, when and how: the pairs at the top of a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from truetap.facts.types import Facts as RunFacts
from truetap.facts.types import FitFacts, ModelFacts, OptimizerFacts
from truetap.reading.choice import spans

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["facts_of", "kind_of"]

_TELLING = ("clipnorm", "clipvalue", "global_clipnorm", "weight_decay", "momentum")


def kind_of(run: Run) -> str:
    """What the run is, in words."""
    source = (run.metadata.get("collect") or {}).get("source", "")
    return "A collection by tt.collect" if run.phases == {} and source != "fit" else "A recorded training run"


def facts_of(run: Run) -> tuple[tuple[str, str], ...]:
    """Pairs of what and how; what was not recorded is left out."""
    plain = run.metadata.get("facts")
    found: list[tuple[str, str]] = [("begun", run.reader.created)]
    if not run.complete:
        found.append(("state", "still being written, or its writer was interrupted"))
    if isinstance(plain, Mapping):
        facts = RunFacts.from_json(plain)
        found += _model(facts.model)
        found += [] if facts.fit is None else _fit(facts.fit)
    recorder = run.metadata.get("recorder", {})
    if isinstance(recorder, Mapping) and recorder.get("backend"):
        found.append(("backend", str(recorder["backend"])))
    recorded = "; ".join(f"{phase}: epochs {spans(epochs)}" for phase, epochs in run.phases.items() if epochs)
    found.append(("recorded", recorded or "nothing yet"))
    if "samples" in run.tables:
        found.append(("sample rows", f"{run.reader.num_rows('samples'):,}"))
    return tuple(found)


def _model(model: ModelFacts) -> list[tuple[str, str]]:
    weights = model.weights.values()
    trained = sum(each.size for each in weights if each.trainable)
    fixed = sum(each.size for each in weights if not each.trainable)
    size = f"{trained:,} trainable weights" + (f", {fixed:,} others" if fixed else "")
    losses = ", ".join(f"{each.output}: {each.name}" if each.output else each.name for each in model.losses)
    found = [("model", f"{model.name} ({model.kind}), {len(model.layers):,} layers, {size}"), ("loss", losses)]
    if model.optimizer is not None:
        found.append(("optimizer", _optimizer(model.optimizer)))
    return [(name, value) for name, value in found if value]


def _optimizer(optimizer: OptimizerFacts) -> str:
    telling = {name: optimizer.settings.get(name) for name in _TELLING}
    parts = [f"{name}={value}" for name, value in telling.items() if value not in (None, 0, 0.0, False)]
    parts += [f"schedule {optimizer.schedule}"] if optimizer.schedule else []
    return f"{optimizer.kind}({', '.join(parts)})" if parts else optimizer.kind


def _fit(fit: FitFacts) -> list[tuple[str, str]]:
    parts = [
        f"{fit.epochs:,} epochs" if fit.epochs is not None else "",
        f"{fit.steps:,} steps each" if fit.steps is not None else "",
        f"batches of {fit.batch_size:,}" if fit.batch_size is not None else "",
        "class weights" if fit.class_weight else "",
        "sample weights" if fit.sample_weight else "",
        "with validation" if fit.validation else "",
    ]
    said = ", ".join(part for part in parts if part)
    return [("fit", said)] if said else []
