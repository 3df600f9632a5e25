"""What is recorded of a CNN with dropout and batch normalisation, against a training step written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.by_hand import ByHand
from tests.backends.models import BACKEND, host
from tests.backends.recorded import rows, step

Array = npt.NDArray[Any]

RNG = np.random.default_rng(3)
N, BATCH, EPOCHS, RATE, CLASSES = 22, 8, 2, 0.2, 3
X = RNG.normal(size=(N, 6, 6, 2)).astype("float32")
Y = RNG.integers(0, CLASSES, N)
CLOSE: dict[str, Any] = {"rtol": 2e-4, "atol": 3e-6}
WATCHED = ["conv", "norm", "dense", "dropout"]


def cnn() -> Any:
    keras.utils.set_random_seed(11)
    x = inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Flatten()(layers.Activation("relu")(x))
    x = layers.Dense(8, activation="relu", name="dense")(x)
    x = layers.Dropout(0.4, seed=5, name="dropout")(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax", name="head")(x))


def cross_entropy(y: Array, y_pred: Any) -> Any:
    return ops.sum(-ops.log(y_pred) * ops.one_hot(y, CLASSES), axis=1)


def state(model: Any) -> list[Array]:
    return [host(variable.value) for variable in model.variables if "seed" not in variable.path]


MODES: dict[str, list[dict[str, Any]]] = {
    "tensorflow": [{}, {"jit_compile": False}, {"run_eagerly": True}],
    "jax": [{}],
    "torch": [{}],
}


@pytest.mark.parametrize("compiled", MODES[BACKEND], ids=str)
def test_cnn(tmp_path: Path, compiled: dict[str, Any]) -> None:
    model, twin = cnn(), cnn()
    by_hand = ByHand(twin, cross_entropy, WATCHED, RATE)
    model.compile(keras.optimizers.SGD(RATE, clipvalue=1e9), "sparse_categorical_crossentropy", **compiled)
    taps = [
        tt.Outputs(),
        tt.Activations(WATCHED),
        tt.Gradients(),
        tt.ActivationGradients("dropout"),
        tt.Weights("norm/*", every=1),
    ]
    recorder = tt.Recorder(tmp_path / "run", taps)
    model.fit(X, Y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=[recorder])
    run = tmp_path / "run"
    samples, upstream, means = (
        rows(run, name) for name in ("samples", "activation_gradients.dropout", "weights.norm.moving_mean")
    )
    values = {name: rows(run, f"activations.{name}") for name in WATCHED}
    paths = [f"{v.path.split('/')[-2]}.{v.path.split('/')[-1]}" for v in twin.trainable_variables]
    gradients = [rows(run, f"gradients.{path}") for path in paths]
    assert sorted(set(samples["step"])) == list(range(6))
    dropped = 0.0
    for number in range(6):
        at = slice(number % 3 * BATCH, (number % 3 + 1) * BATCH)
        x, y = X[at], Y[at]
        head = host(twin.get_layer("head").kernel.value)
        expected = by_hand.step(x, y)
        np.testing.assert_array_equal(step(samples, number, "y_true"), y)
        np.testing.assert_allclose(step(samples, number, "y_pred"), expected.y_pred, **CLOSE)
        np.testing.assert_allclose(step(samples, number, "loss"), expected.loss, **CLOSE)
        for name in WATCHED:
            np.testing.assert_allclose(step(values[name], number, "values"), expected.layers[name], **CLOSE)
        for path, found, gradient in zip(paths, gradients, expected.gradients, strict=True):
            np.testing.assert_allclose(step(found, number, "values")[0], gradient, err_msg=path, **CLOSE)
        at_logits = (expected.y_pred - np.eye(CLASSES)[y]) / len(y)
        np.testing.assert_allclose(step(upstream, number, "values"), at_logits @ head.T, **CLOSE)
        moving = host(twin.get_layer("norm").moving_mean.value)
        np.testing.assert_allclose(step(means, number, "values")[0], moving, **CLOSE)
        dropped += float((expected.layers["dropout"] == 0).mean() - (expected.layers["dense"] == 0).mean())
    assert dropped > 0.5  # the masks were at work, so the same ones must have been drawn
    for ours, other in zip(state(model), state(twin), strict=True):
        np.testing.assert_allclose(ours, other, **CLOSE)
