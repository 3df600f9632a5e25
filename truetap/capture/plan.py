"""What a recorder's taps mean for one model and one phase: layers, variables, conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from truetap.errors import LayerError, TapError
from truetap.reducers import Reducer
from truetap.reducers.registry import listed, resolve
from truetap.selection import select, select_variables
from truetap.taps import (
    ActivationGradients,
    Activations,
    Gradients,
    Inputs,
    OptimizerState,
    Outputs,
    Tap,
    Tapped,
    Updates,
    Weights,
)

__all__ = ["Chosen", "Plan"]


@dataclass(frozen=True)
class Chosen:
    """A tap with what it selects of a model.

    Attributes:
        place: Its place among the recorder's taps.
        tap: The tap.
        members: Layers or variables by path; empty for taps of samples.
        reducers: What reduces it inside the step; empty for raw values.
    """

    place: int
    tap: Any
    members: Mapping[str, Any] = field(default_factory=dict)
    reducers: tuple[Reducer, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The taps of one phase.

    Attributes:
        phase: "train", "val", "test" or "predict".
        taps: Those that take something out of the step or from around it in this phase.
        layers: All layers whose outputs are watched, by path.
        with_gradient: Paths of the layers whose outputs' gradients are watched.
    """

    phase: str
    taps: tuple[Chosen, ...]
    layers: Mapping[str, Any]
    with_gradient: frozenset[str]

    @classmethod
    def of(cls, model: Any, taps: Sequence[Tap], phase: str, *, lenient: bool = False) -> Plan:
        """Resolves the selectors of the taps against a model.

        Args:
            model: The model.
            taps: The taps.
            phase: The phase.
            lenient: Whether taps whose selectors match nothing are passed over.

        Raises:
            LayerError: A selector matches nothing, or what can't be seen.
            TapError: A reducer that doesn't exist.
        """
        taps = (*taps,) if any(isinstance(tap, Tapped) for tap in taps) else (*taps, Tapped())
        chosen = []
        for place, tap in enumerate(taps):
            if phase not in tap.phases:
                continue
            try:
                chosen.append(_choose(place, tap, model))
            except LayerError:
                if not lenient:
                    raise
        layers: dict[str, Any] = {}
        reached: set[str] = set()
        for each in chosen:
            if isinstance(each.tap, Activations | ActivationGradients):
                layers.update(each.members)
            if isinstance(each.tap, ActivationGradients):
                reached.update(each.members)
        return cls(phase, tuple(chosen), layers, frozenset(reached))

    def of_kind(self, *kinds: type[Tap]) -> list[Chosen]:
        """The taps of some classes."""
        return [each for each in self.taps if isinstance(each.tap, kinds)]

    @property
    def in_step(self) -> list[Chosen]:
        """The taps of layers, gradients and `tt.tap`, whose values exist inside the step alone."""
        return self.of_kind(Activations, ActivationGradients, Gradients, Tapped)

    def only(self, due: Sequence[bool]) -> Plan:
        """The same without the taps of `in_step` that aren't due: for a backend that runs op by op."""
        inside = self.in_step
        idle = {each.place for each, now in zip(inside, due, strict=True) if not now}
        left = [each for each in inside if each.place not in idle]
        layers: dict[str, Any] = {}
        for each in left:
            if each.tap.kind in ("activations", "activation_gradients"):
                layers.update(each.members)
        reached = {path for each in left if each.tap.kind == "activation_gradients" for path in each.members}
        taps = tuple(each for each in self.taps if each.place not in idle)
        return Plan(self.phase, taps, layers, frozenset(reached))

    @property
    def around(self) -> list[Chosen]:
        """The taps of variables, read before and after a step."""
        return self.of_kind(Weights, Updates)

    @property
    def inputs(self) -> bool:
        """Whether x itself is taken out."""
        return bool(self.of_kind(Inputs))

    @property
    def identity(self) -> bool:
        """Whether any tap has rows that belong to samples."""
        raw = [each for each in self.of_kind(Activations, ActivationGradients) if not each.reducers]
        return bool(raw or self.of_kind(Outputs, Inputs))


def _choose(place: int, tap: Any, model: Any) -> Chosen:
    reduce = getattr(tap, "reduce", None)
    if isinstance(tap, Outputs | Inputs):
        return Chosen(place, tap)
    if isinstance(tap, Activations | ActivationGradients):
        return Chosen(place, tap, select(tap.select).resolve(model), resolve(reduce) if reduce is not None else ())
    if isinstance(tap, Tapped):  # which names there are shows when the step is traced
        return Chosen(place, tap, {}, resolve(reduce) if reduce is not None else ())
    if isinstance(tap, Gradients):
        members = select_variables(tap.select, model, trainable=True)
        return Chosen(place, tap, members, resolve(reduce) if reduce is not None else ())
    if isinstance(tap, OptimizerState):
        members = _optimizer_variables(tap, model)
    else:
        members = select_variables(tap.select, model, trainable=isinstance(tap, Updates))
    return Chosen(place, tap, members, () if reduce is None else _reducers(reduce, isinstance(tap, Updates)))


def _reducers(reduce: Any, updates: bool) -> tuple[Reducer, ...]:
    """Those of a tap of variables; of updates without "ratio", which needs the weight too and is made on the host."""
    names = listed(reduce)
    others = [name for name in names if not (updates and isinstance(name, str) and name == "ratio")]
    return () if names and not others else resolve(others)


def _optimizer_variables(tap: Any, model: Any) -> dict[str, Any]:
    if getattr(model, "optimizer", None) is None:
        raise TapError("OptimizerState needs a model compiled with an optimizer. Received: a model without one.")
    known = {each.path: each for each in model.optimizer.variables}
    chosen = select(tap.select)
    found = {path: each for path, each in known.items() if chosen.matches(path, each)}
    if not found:
        raise TapError(
            f"No variable of the optimizer {model.optimizer.name!r} matches {chosen!r}. Known names: "
            + ", ".join(map(repr, known))
        )
    return found
