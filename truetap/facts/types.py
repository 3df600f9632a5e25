"""What is static of a model and of a call of `fit`: plain data that goes into a run's manifest.

Rules join it with what the steps showed: a gradient that vanishes is a symptom, ten sigmoids one upon
another are the cause.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from truetap.json_values import metadata_read

__all__ = [
    "ArrayFacts",
    "CallbackFacts",
    "Facts",
    "FitFacts",
    "LayerFacts",
    "LossFacts",
    "MetricFacts",
    "ModelFacts",
    "OptimizerFacts",
    "OutputFacts",
    "PhaseFacts",
    "WeightFacts",
]

Setting = float | int | str | bool | None


class _Plain:
    """Dataclasses that can be read back from plain data; keys that are unknown, of newer versions, are passed over."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        fields = {each.name for each in dataclasses.fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: _frozen(value) for key, value in plain.items() if key in fields})


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


@dataclass(frozen=True)
class WeightFacts(_Plain):
    """A variable of a layer.

    Attributes:
        path: As `run.weights` has it.
        shape: Its shape.
        trainable: Whether an optimizer changes it.
    """

    path: str
    shape: tuple[int, ...]
    trainable: bool

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        count = 1
        for each in self.shape:
            count *= each
        return count


@dataclass(frozen=True)
class LayerFacts(_Plain):
    """A layer.

    Attributes:
        path: As `run.activations` has it.
        kind: Its class, such as "Dense".
        own: Whether the class is a user's.
        activation: The name of its activation; "linear" for none; None for layers that have no such thing.
        units: The size of its last axis of outputs, if it says it (units, filters).
        trainable: Its flag.
        rate: Of dropout and noise; of recurrent layers, that of their inputs or states, whichever is higher.
        penalty: The strengths of its l1 and l2 regularizers, summed.
        after: Paths of the layers that feed it, where the model is a graph.
        initializer: Of its kernel, such as "GlorotUniform", with a constant's value: "Constant(0.0)".
        weights: Its own variables.
        settings: Plain values of its own: momentum, epsilon, mask_zero, input_dim, …; of batch normalisation also
            "ndim", how many axes its inputs have; of a user's "drops_always", where it drops whatever `training` is.
    """

    path: str
    kind: str
    own: bool = False
    activation: str | None = None
    units: int | None = None
    trainable: bool = True
    rate: float | None = None
    penalty: float = 0.0
    after: tuple[str, ...] = ()
    initializer: str | None = None
    weights: tuple[WeightFacts, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> LayerFacts:
        weights = tuple(WeightFacts.of(each) for each in plain.get("weights", ()))
        found: LayerFacts = super().of({**plain, "weights": weights})
        return found


@dataclass(frozen=True)
class OutputFacts(_Plain):
    """An output.

    Attributes:
        name: As `run.samples()` has it: "" for a single one.
        layer: The path of the layer that makes it; None where that can't be told.
        activation: The name of what is applied last; None where that can't be told.
        units: The size of its last axis.
    """

    name: str
    layer: str | None = None
    activation: str | None = None
    units: int | None = None


@dataclass(frozen=True)
class LossFacts(_Plain):
    """The loss of an output.

    Attributes:
        output: The output's name.
        name: Keras' registered name ("mean_squared_error"), or that of a user's function.
        own: Whether it is a user's.
        from_logits: Its flag; None when it has none.
        reduction: "sum_over_batch_size", "sum", ….
        weight: Its loss weight, or None.
        label_smoothing: Its setting, or None.
        ignore_class: The label that it leaves out, or None.
    """

    output: str
    name: str
    own: bool = False
    from_logits: bool | None = None
    reduction: str | None = None
    weight: float | None = None
    label_smoothing: float | None = None
    ignore_class: int | None = None


@dataclass(frozen=True)
class MetricFacts(_Plain):
    """A metric as `compile` was given it.

    Attributes:
        output: The output's name; None where it wasn't said.
        name: What it was given as ("accuracy"), or its own name.
        kind: Its class, or "function", or "name".
        settings: Plain values of its own: threshold, from_logits, ….
    """

    output: str | None
    name: str
    kind: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimizerFacts(_Plain):
    """The optimizer.

    Attributes:
        kind: Its class.
        schedule: The class of its learning rate schedule, or None.
        settings: clipnorm, clipvalue, global_clipnorm, weight_decay, momentum, beta_1, …, and those of the
            schedule as "schedule/decay_steps".
    """

    kind: str
    schedule: str | None = None
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class ArrayFacts(_Plain):
    """What the step got: a leaf of x or y, with a batch's shape.

    Attributes:
        path: Its path in the structure, "" for a single one.
        shape: With the batch's axis, None for unknown lengths.
        dtype: Such as "int32".
    """

    path: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class PhaseFacts(_Plain):
    """What the trace of a phase's step showed.

    Attributes:
        calls: The layers in the order in which they were called: "conv", "shared", "shared#1"; only watched ones.
        training: What each was called with as `training=`; None where it wasn't said.
        masked: Those that were given a mask; None in records that don't say it.
        without_gradient: Trainable weights for which no gradient was given (never on JAX, which gives zeros).
        x: The inputs of the step.
        y: The labels, as the losses got them, by output.
        y_pred: The outputs.
    """

    calls: tuple[str, ...] = ()
    training: Mapping[str, bool | None] = field(default_factory=dict)
    masked: tuple[str, ...] | None = None
    without_gradient: tuple[str, ...] = ()
    x: tuple[ArrayFacts, ...] = ()
    y: tuple[ArrayFacts, ...] = ()
    y_pred: tuple[ArrayFacts, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> PhaseFacts:
        arrays = {key: tuple(ArrayFacts.of(each) for each in plain.get(key, ())) for key in ("x", "y", "y_pred")}
        found: PhaseFacts = super().of({**plain, **arrays})
        return found


@dataclass(frozen=True)
class CallbackFacts(_Plain):
    """A callback of `fit`: its class, and its plain values such as monitor, mode, patience, stopped_epoch."""

    kind: str
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class FitFacts(_Plain):
    """A call of `fit`.

    Attributes:
        epochs: How many were asked for.
        steps: Steps an epoch, if known.
        batch_size: As given, or None.
        shuffle: As given; it counts for arrays alone.
        arrays: Whether x is arrays, which Keras itself shuffles.
        validation: Whether there is validation.
        validation_split: As given.
        class_weight: As given, keys as strings; or None.
        sample_weight: Whether weights were given.
        callbacks: The user's callbacks.
    """

    epochs: int | None = None
    steps: int | None = None
    batch_size: int | None = None
    shuffle: bool | None = None
    arrays: bool | None = None
    validation: bool | None = None
    validation_split: float | None = None
    class_weight: Mapping[str, float] | None = None
    sample_weight: bool | None = None
    callbacks: tuple[CallbackFacts, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> FitFacts:
        callbacks = tuple(CallbackFacts.of(each) for each in plain.get("callbacks", ()))
        found: FitFacts = super().of({**plain, "callbacks": callbacks})
        return found


@dataclass(frozen=True)
class ModelFacts(_Plain):
    """A compiled model.

    Attributes:
        name: Its name.
        kind: "sequential", "functional" or "subclassed".
        layers: Every layer, as `tt.select` knows them, inputs left out.
        outputs: Its outputs.
        losses: Its losses.
        metrics: Its metrics, as given.
        optimizer: Its optimizer, or None.
        own_train_step: Whether its class has a train_step of its own.
        untracked: Names of attributes that hold layers or weights of which the model doesn't know.
    """

    name: str
    kind: str
    layers: tuple[LayerFacts, ...] = ()
    outputs: tuple[OutputFacts, ...] = ()
    losses: tuple[LossFacts, ...] = ()
    metrics: tuple[MetricFacts, ...] = ()
    optimizer: OptimizerFacts | None = None
    own_train_step: bool = False
    untracked: tuple[str, ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> ModelFacts:
        optimizer = plain.get("optimizer")
        parts = {
            "layers": tuple(LayerFacts.of(each) for each in plain.get("layers", ())),
            "outputs": tuple(OutputFacts.of(each) for each in plain.get("outputs", ())),
            "losses": tuple(LossFacts.of(each) for each in plain.get("losses", ())),
            "metrics": tuple(MetricFacts.of(each) for each in plain.get("metrics", ())),
            "optimizer": None if optimizer is None else OptimizerFacts.of(optimizer),
        }
        found: ModelFacts = super().of({**plain, **parts})
        return found

    @cached_property
    def by_path(self) -> dict[str, LayerFacts]:
        """The layers by path."""
        return {layer.path: layer for layer in self.layers}

    @cached_property
    def weights(self) -> dict[str, WeightFacts]:
        """Every weight by path."""
        return {weight.path: weight for layer in self.layers for weight in layer.weights}


@dataclass(frozen=True)
class Facts:
    """All of it: the model, the latest call of fit, and what the trace of each phase showed."""

    model: ModelFacts
    fit: FitFacts | None = None
    phases: Mapping[str, PhaseFacts] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Facts:
        """The inverse of `to_json`.

        Raises:
            DamagedRunError: The values aren't of the kinds that `to_json` gives.
        """
        with metadata_read("facts", plain):
            fit = plain.get("fit")
            return cls(
                ModelFacts.of(plain["model"]),
                None if fit is None else FitFacts.of(fit),
                {phase: PhaseFacts.of(each) for phase, each in plain.get("phases", {}).items()},
            )
