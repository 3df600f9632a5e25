"""The static facts that a run keeps of its model and of the call of fit, against what the model was made of."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt
from truetap.facts import Facts

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")


def facts_of(path: Path, model: Any, y: Any, **arguments: Any) -> Facts:
    recorder = tt.Recorder(path / "r", taps="diagnose")
    callbacks = [recorder, *arguments.pop("callbacks", [])]
    model.fit(X, y, batch_size=8, verbose=0, callbacks=callbacks, **arguments)
    recorder.finish()
    plain = tt.open(path / "r").metadata["facts"]
    found = Facts.from_json(plain)
    assert Facts.from_json(json.loads(json.dumps(found.to_json()))) == found
    return found


@pytest.fixture(scope="module")
def functional(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    layers = keras.layers
    inputs = keras.Input((4,))
    a = layers.Dense(3, activation="relu", name="a", kernel_regularizer="l2", kernel_initializer="zeros")(inputs)
    b = layers.Dropout(0.4, name="b")(a)
    encoder = keras.Sequential([keras.Input((3,)), layers.Dense(5, name="inner", activation="tanh")], name="encoder")
    c = layers.Dense(2, name="c", trainable=False)(encoder(b))
    model = keras.Model(inputs, layers.Softmax(name="d")(c))
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.5)
    model.compile(
        keras.optimizers.Adam(schedule, clipnorm=1.0),
        keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        metrics=["accuracy", keras.metrics.BinaryAccuracy(threshold=0.3)],
    )
    y = np.eye(2)[np.arange(32) % 2]
    stop = keras.callbacks.EarlyStopping("val_loss", mode="max", patience=7)
    path = tmp_path_factory.mktemp("facts")
    options = {"validation_split": 0.25, "class_weight": {0: 1.0, 1: 2.0}, "epochs": 2, "callbacks": [stop]}
    return facts_of(path, model, y, **options)


def test_layers(functional: Facts) -> None:
    layers = functional.model.by_path
    assert list(layers) == ["a", "b", "encoder", "encoder/inner", "c", "d"]
    a = layers["a"]
    assert (a.kind, a.activation, a.units, a.trainable, a.own) == ("Dense", "relu", 3, True, False)
    assert a.penalty == pytest.approx(0.01)
    assert a.initializer == "Zeros"
    assert [(each.path, each.shape, each.size) for each in a.weights] == [("a/kernel", (4, 3), 12), ("a/bias", (3,), 3)]
    assert layers["b"].rate == pytest.approx(0.4)
    assert layers["b"].activation is None
    assert not layers["c"].trainable
    assert not any(weight.trainable for weight in layers["c"].weights)
    assert (layers["encoder"].after, layers["encoder/inner"].after, layers["c"].after) == (
        ("b",),
        ("b",),
        ("encoder/inner",),
    )


def test_outputs_losses_metrics_and_the_optimizer(functional: Facts) -> None:
    model = functional.model
    assert [(each.name, each.layer, each.activation) for each in model.outputs] == [("", "d", "softmax")]
    (loss,) = model.losses
    assert (loss.name, loss.own, loss.from_logits, loss.label_smoothing) == (
        "categorical_crossentropy",
        False,
        False,
        0.1,
    )
    assert [(each.name, each.kind) for each in model.metrics] == [
        ("accuracy", "name"),
        ("binary_accuracy", "BinaryAccuracy"),
    ]
    assert model.metrics[1].settings["threshold"] == pytest.approx(0.3)
    assert model.optimizer is not None
    assert (model.optimizer.kind, model.optimizer.schedule) == ("Adam", "ExponentialDecay")
    assert model.optimizer.settings["clipnorm"] == 1.0
    assert model.optimizer.settings["schedule/decay_steps"] == 10
    assert not model.own_train_step


def test_the_call_of_fit(functional: Facts) -> None:
    fit = functional.fit
    assert fit is not None
    assert (fit.epochs, fit.steps, fit.batch_size, fit.shuffle, fit.arrays) == (2, 3, 8, True, True)
    assert (fit.validation, fit.validation_split, fit.sample_weight) == (True, 0.25, False)
    assert fit.class_weight == {"0": 1.0, "1": 2.0}
    (stop,) = fit.callbacks
    assert stop.kind == "EarlyStopping"
    assert (stop.settings["monitor"], stop.settings["mode"], stop.settings["patience"]) == ("val_loss", "max", 7)


def test_the_trace(functional: Facts) -> None:
    train, val = functional.phases["train"], functional.phases["val"]
    assert [each for each in train.calls if each in ("a", "b", "c", "d")] == ["a", "b", "c", "d"]
    assert not any(val.training.values())
    assert train.training["b"] in (True, None)
    assert [(each.path, each.shape[1:], each.dtype) for each in train.x] == [("", (4,), "float32")]
    assert [(each.path, each.shape[1:]) for each in train.y] == [("", (2,))]


class Own(keras.Model):  # type: ignore[misc]
    """Holds one layer where Keras looks, one in an object, one in a closure."""

    def __init__(self, hidden: Any) -> None:
        super().__init__()
        self.first = keras.layers.Dense(3, name="first")
        self.tracked = {"list": [keras.layers.Dense(3, name="second")]}
        self.holder = Holder(hidden)
        self.last = keras.layers.Dense(1, activation="sigmoid", name="last")

    def call(self, x: Any) -> Any:
        return self.last(self.holder.layer(self.tracked["list"][0](self.first(x))))


class Holder:
    def __init__(self, layer: Any) -> None:
        self.layer = layer


def test_a_subclassed_model(tmp_path: Path) -> None:
    hidden = keras.layers.Dense(3, name="hidden")
    hidden.build((None, 3))
    model = Own(hidden)
    model.compile("sgd", lambda y_true, y_pred: keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1))
    facts = facts_of(tmp_path, model, np.zeros((32, 1)))
    assert facts.model.kind == "subclassed"
    assert facts.model.untracked == ("Own.holder.layer",)
    assert [(each.layer, each.activation) for each in facts.model.outputs] == [("last", "sigmoid")]
    assert facts.phases["train"].calls == ("first", "second", "last")
    assert facts.model.losses[0].own
    assert facts.model.losses[0].name == "<lambda>"


def test_weights_without_gradient(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    kept = keras.layers.Dense(3, name="kept")(inputs)
    cut = keras.layers.Dense(3, name="cut")(inputs)
    cut = keras.layers.Lambda(keras.ops.stop_gradient, name="stop", output_shape=(3,))(cut)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Add()([kept, cut])))
    model.compile("sgd", "mse")
    jax = keras.backend.backend() == "jax"  # which gives zeros
    with nullcontext() if jax else pytest.warns(UserWarning, match="(?i)gradient"):
        facts = facts_of(tmp_path, model, np.zeros((32, 1)))
    missing = facts.phases["train"].without_gradient
    assert missing == (() if jax else ("cut/bias", "cut/kernel"))
