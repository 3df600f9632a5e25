"""What is taken out of the step: `Outputs`, `Inputs`, `Activations`, `Gradients`, `Weights`, …

A tap is a value: what, of which layers or variables, when, and how it is made smaller on the way.
It holds nothing and does nothing; a `Recorder` reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal

from truetap.errors import TapError
from truetap.schedule import PHASES, Schedule

__all__ = [
    "BY_KIND",
    "ActivationGradients",
    "Activations",
    "Gradients",
    "Inputs",
    "OptimizerState",
    "Outputs",
    "Tap",
    "Tapped",
    "Updates",
    "Weights",
]


@dataclass(frozen=True, kw_only=True)
class Tap(Schedule):
    """Base of the taps; see `Schedule` for `every`, `steps`, `start`, `stop`, `epochs` and `phases`.

    Args:
        samples: At most so many samples an epoch are recorded; None for all.
    """

    kind: ClassVar[str] = ""
    samples: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples is not None and (isinstance(self.samples, bool) or self.samples < 1):
            raise TapError(f"samples= is a number of samples from 1. Received: samples={self.samples!r}.")
        self._check()

    def _check(self) -> None:
        """What a kind of tap has to say of its own arguments."""

    def describe(self) -> dict[str, Any]:
        """Plain data for the run's manifest."""
        plain: dict[str, Any] = {"tap": type(self).__name__}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value is None or name == "kind":
                continue
            plain[name] = value if isinstance(value, int | float) else str(value)
        return plain


@dataclass(frozen=True, kw_only=True)
class Outputs(Tap):
    """Of every sample: identity, y_true, y_pred, its loss and weight, as the step computed them.

    The values are those of the forward pass that was trained on: dropout on, weights before the update.
    """

    kind: ClassVar[str] = "samples"
    phases: Any = PHASES


@dataclass(frozen=True, kw_only=True)
class Inputs(Tap):
    """The inputs x of samples, as the step received them."""

    kind: ClassVar[str] = "inputs"


@dataclass(frozen=True, kw_only=True)
class _Reduced(Tap):
    """Taps whose values can be made smaller inside the step.

    Args:
        reduce: None for the values themselves; or statistics computed inside the compiled step: names
            ("mean", "std", "min", "max", "l1", "l2", "norm", "zeros", "nonfinite", "near_one", "near_zero", "dead",
            "twins", "histogram", "quantiles"), a `truetap.reducers.Reducer`, or a list of these.
        axis: None: one statistic over all elements; 0: one per feature, over the first axis (of activations
            the batch).
        over: "batch": a row for every recorded step; "epoch" or "run": one row for all recorded batches of
            an epoch or of the run, in memory of fixed size.
    """

    reduce: Any = None
    axis: Literal[0] | None = None
    over: Literal["batch", "epoch", "run"] = "batch"

    def _check(self) -> None:
        name = type(self).__name__
        if self.over not in ("batch", "epoch", "run"):
            raise TapError(f"over= is 'batch', 'epoch' or 'run'. Received: over={self.over!r}.")
        if self.axis not in (None, 0):
            raise TapError(
                f"axis= is None (over all elements) or 0 (per feature, over the batch). Received: axis={self.axis!r}."
            )
        if self.reduce is None and (self.over != "batch" or self.axis is not None):
            raise TapError(
                f"{name}(over={self.over!r}, axis={self.axis!r}) says how to reduce, and reduce= is missing. Expected: "
                f"such as {name}(reduce='mean', over={self.over!r})."
            )
        if self.reduce is not None and self.samples is not None:
            raise TapError(
                f"{name}(samples=…) caps raw values, and reduce= keeps none. Received: both. Expected: one of them."
            )


@dataclass(frozen=True)
class Activations(_Reduced):
    """What comes out of layers in the real forward pass.

    A layer is known by its path; one that is called several times has an entry for each call: `shared`,
    `shared#1`. One with several outputs has `path/0`, `path/1`, ….

    Args:
        select: Which layers: all that `tt.select` takes.
    """

    kind: ClassVar[str] = "activations"
    select: Any = "*"


@dataclass(frozen=True)
class ActivationGradients(_Reduced):
    """The gradient of the loss that reaches the output of layers, with the loss scale divided out.

    Args:
        select: Which layers: all that `tt.select` takes.
    """

    kind: ClassVar[str] = "activation_gradients"
    select: Any = "*"

    def _check(self) -> None:
        super()._check()
        _only_train(self)


@dataclass(frozen=True)
class Tapped(_Reduced):
    """What `tt.tap(value, name)` was given. Without such a tap a recorder takes all of it, at every step.

    Args:
        select: Which names: a name, a pattern ("loss/*") or a list of them; taken of those that a step taps.
    """

    kind: ClassVar[str] = "tapped"
    select: Any = "*"
    phases: Any = field(default=PHASES, kw_only=True)

    def takes(self, key: str) -> bool:
        """Whether it selects what was tapped under a key; a second call's (`name#1`) has the name too."""
        name = re.sub(r"#\d+(?=/|$)", "", key)
        patterns = [self.select] if isinstance(self.select, str) else list(self.select)
        return any(fnmatchcase(each, pattern) for each in (key, name) for pattern in patterns)

    def _check(self) -> None:
        super()._check()
        patterns = [self.select] if isinstance(self.select, str) else self.select
        if not isinstance(patterns, Iterable) or not all(isinstance(each, str) for each in patterns):
            raise TapError(
                f"Tapped(select=…) takes names, or patterns such as 'loss/*'. Received: select={self.select!r}."
            )


@dataclass(frozen=True)
class Gradients(_Reduced):
    """The gradients of the weights as the optimizer got them: before clipping, the loss scale divided out.

    Args:
        select: Which weights, by path ("conv1/kernel") or pattern ("*kernel"); a list of them joins.
    """

    kind: ClassVar[str] = "gradients"
    select: Any = "*"

    def _check(self) -> None:
        super()._check()
        _no_samples(self)
        _only_train(self)


@dataclass(frozen=True)
class Weights(_Reduced):
    """The weights after a step; with `every="epoch"`, the default, after an epoch's last step.

    Args:
        select: Which weights, trainable or not, by path ("conv1/kernel") or pattern.
    """

    kind: ClassVar[str] = "weights"
    select: Any = "*"
    every: Any = field(default="epoch", kw_only=True)

    def _check(self) -> None:
        super()._check()
        _no_samples(self)
        _only_train(self)


@dataclass(frozen=True)
class Updates(_Reduced):
    """How a step changed the weights: their values after it minus those before.

    Args:
        select: Which trainable weights, by path or pattern.
        reduce: By default "norm" and "ratio", the norm of the update over the norm of the weight before
            it (near 1e-3 in a healthy training); None for the updates themselves.
    """

    kind: ClassVar[str] = "updates"
    select: Any = "*"
    reduce: Any = field(default=("norm", "ratio"), kw_only=True)

    def _check(self) -> None:
        super()._check()
        _no_samples(self)
        _only_train(self)


@dataclass(frozen=True)
class OptimizerState(Weights):
    """The optimizer's variables after a step, such as momenta; by default at an epoch's end.

    Args:
        select: Which variables, by path or pattern ("*momentum*").
    """

    kind: ClassVar[str] = "optimizer_state"


BY_KIND: dict[str, type[Tap]] = {  # those whose values a run gives by path
    tap.kind: tap
    for tap in (Activations, ActivationGradients, Gradients, Weights, Updates, OptimizerState, Inputs, Tapped)
}


def _only_train(tap: Tap) -> None:
    others = [phase for phase in tap.phases if phase != "train"]
    if others:
        raise TapError(
            f"tt.{type(tap).__name__} takes what only training has. Received: phases={tuple(tap.phases)}. Leave "
            "phases= out."
        )


def _no_samples(tap: Tap) -> None:
    if tap.samples is not None:
        raise TapError(f"{type(tap).__name__} belong to no sample. Received: samples={tap.samples}. Leave it out.")
