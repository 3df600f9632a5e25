"""Dropout or batch norm in the wrong mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truetap.diagnosis.wiring import Wiring
from truetap.facts import LayerFacts
from truetap.rules.finding import Finding, Severity

if TYPE_CHECKING:
    from truetap.diagnosis.evidence import Evidence

__all__ = ["TrainingFlagIgnored"]

_DROPS = (
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "AlphaDropout",
    "GaussianDropout",
    "GaussianNoise",
)


class TrainingFlagIgnored:
    """What each layer was called with as `training=`, seen in the traces of training and validation.

    False or nothing in training: of dropout a warning, unless all that has weights beside it is frozen; of batch norm
    one if its moving statistics are still 0 and 1, so that it never normalised anything (a pretrained one is rightly
    held in inference mode). So it is where a model's `call` has no argument `training`: Keras then tells the layers
    inside nothing, and JAX not even where it has one that isn't handed on. True in validation: a warning of both, a
    note where the model has a train_step of its own. A user's layer that calls keras.random.dropout and never looks
    at `training` is a warning; so is a model with layers of a user's own that, asked twice in inference mode, predicts
    the same inputs differently: a note where it rebuilds its inputs, as a variational autoencoder does.
    """

    name = "training_flag_ignored"
    needs = ("facts",)
    after = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """One finding for layers that are never on, one for those that are never off."""
        assert evidence.facts is not None
        facts = evidence.facts
        train = facts.phases.get("train")
        never = [
            layer
            for path, flag in (train.training.items() if train is not None else ())
            if not flag and (layer := facts.model.by_path.get(path.partition("#")[0])) is not None
        ]
        off = [layer.path for layer in never if _drops(layer) and not _frozen_around(evidence, layer)]
        unused = [layer.path for layer in never if layer.kind == "BatchNormalization" and _never_used(evidence, layer)]
        if off or unused:
            yield self._finding(off + unused, _OFF if off else _UNUSED, 0.9, "called with training=False in training")
        own = [layer.path for layer in facts.model.layers if layer.settings.get("drops_always")]
        if own:
            yield self._finding(
                own, _ON, 0.8, "drop in validation and in use too, since `call` never looks at training"
            )
        elif evidence.model is not None and any(layer.own for layer in facts.model.layers):
            yield from self._at_random(evidence)
        for phase in ("val", "test"):
            validation = facts.phases.get(phase)
            always = [
                layer.path
                for path, flag in (validation.training.items() if validation is not None else ())
                if flag is True
                and (layer := facts.model.by_path.get(path.partition("#")[0])) is not None
                and (_drops(layer) or (layer.kind == "BatchNormalization" and layer.trainable))
            ]
            if always:
                severity = Severity.NOTE if facts.model.own_train_step else Severity.WARNING
                yield self._finding(always, _ON, 0.85, "called with training=True in validation", severity)
                return

    def _at_random(self, evidence: Evidence) -> Iterator[Finding]:
        from truetap.diagnosis.probing import chance  # Keras, which reading a run doesn't need

        assert evidence.facts is not None
        by = chance(evidence)
        if by is None or by <= _BY_CHANCE:
            return
        meant = evidence.facts.model.own_train_step or Wiring(evidence.facts).rebuilds
        yield Finding(
            rule=self.name,
            severity=Severity.NOTE if meant else Severity.WARNING,
            seen=f"Asked twice in inference mode, the model predicts the same inputs differently, by {by:.2g} times "
            "what predictions differ between samples.",
            why=_ON,
            do="In layers of your own, drop and add noise only if `training` is true; Keras hands it to any `call` "
            "that has the argument.",
            reference="https://keras.io/guides/making_new_layers_and_models_via_subclassing/",
            numbers={"chance": by},
            certainty=0.75,
        )

    def _finding(
        self, paths: list[str], why: str, certainty: float, what: str, severity: Severity = Severity.WARNING
    ) -> Finding:
        names = ", ".join(repr(path) for path in paths[:4]) + (", …" if len(paths) > 4 else "")
        return Finding(
            rule=self.name,
            severity=severity,
            seen=f"{names}: {what}.",
            why=why,
            do="Give `call` an argument training=None, and hand on what it gets: `self.layer(x, training=training)`.",
            where=paths[0],
            reference="https://keras.io/getting_started/faq/#whats-the-difference-between-the-training-argument-in-call-and-the-trainable-attribute",
            numbers={"layers": len(paths)},
            layers=tuple(paths),
            certainty=certainty,
        )


_BY_CHANCE = 0.01  # of the deviation over samples; two passes of the same sums agree to 1e-5
_OFF = "Nothing is dropped, and nothing holds back overfitting."
_UNUSED = "Its moving statistics are still 0 and 1: it has never normalised anything, nor seen what to normalise by."
_ON = "Predictions depend on the batch or on chance, and are worse than the model could give."


def _drops(layer: LayerFacts) -> bool:
    return layer.kind in _DROPS and (layer.rate is None or layer.rate > 0)


def _frozen_around(evidence: Evidence, layer: LayerFacts) -> bool:
    """Whether the layers in the same model as a layer have weights, and none that are trained."""
    assert evidence.facts is not None
    room = layer.path.rpartition("/")[0]
    if not room:
        return False
    inside = [each for each in evidence.facts.model.layers if each.path.startswith(f"{room}/")]
    weights = [weight for each in inside for weight in each.weights]
    return bool(weights) and not any(weight.trainable for weight in weights)


def _never_used(evidence: Evidence, layer: LayerFacts) -> bool:
    """Whether a batch norm that could learn still has the statistics it began with."""
    if not layer.trainable or evidence.weights is None:
        return False
    for weight in layer.weights:
        name = weight.path.rpartition("/")[2]
        if name not in ("moving_mean", "moving_variance"):
            continue
        mean, spread = evidence.weights.of_path(weight.path, "mean"), evidence.weights.of_path(weight.path, "std")
        expected = 0.0 if name == "moving_mean" else 1.0
        if not len(mean) or not np.isclose(mean[-1], expected, atol=1e-7) or spread[-1] > 1e-7:
            return False
    return True
