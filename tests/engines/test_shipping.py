"""A model sent elsewhere computes the same; what can't be sent is refused with the remedy."""

from __future__ import annotations

import pickle
from typing import Any

import keras
import numpy as np
import pytest

from tests.engines.models import classifier, rows
from truetap.engines.shipping import Shipped, model_stamp, pack, unpack
from truetap.errors import ModelError


class Doubled(keras.layers.Layer):  # type: ignore[misc]
    """Not registered with Keras."""

    def call(self, x: Any) -> Any:
        return 2 * x


class Forgetful(keras.layers.Layer):  # type: ignore[misc]
    """Its config can't give the argument that it needs."""

    def __init__(self, function: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = function

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().get_config()
        return config

    def call(self, x: Any) -> Any:
        return self.function(x)


class Slow(keras.optimizers.SGD):  # type: ignore[misc]
    """Not registered with Keras."""


class Largest(keras.metrics.Mean):  # type: ignore[misc]
    """Not registered with Keras."""


def absolute(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


def with_layer(layer: Any, loss: Any = "mse") -> Any:
    model = keras.Sequential([keras.Input((16,)), layer, keras.layers.Dense(1)])
    model.compile("adam", loss)
    return model


def test_it_arrives_as_it_was() -> None:
    model = classifier()
    arrived = unpack(pack(model))
    x, _ = rows(20)
    np.testing.assert_array_equal(arrived.predict(x, verbose=0), model.predict(x, verbose=0))
    assert arrived.compiled
    assert model_stamp(arrived) == model_stamp(model)


def test_classes_and_functions_of_the_users_own_go_with_it() -> None:
    for model in (with_layer(Doubled(), loss=absolute), with_layer(keras.layers.Lambda(lambda x: 2 * x))):
        arrived = unpack(pack(model))
        x, _ = rows(20)
        np.testing.assert_array_equal(arrived.predict(x, verbose=0), model.predict(x, verbose=0))
        assert model_stamp(arrived) == model_stamp(unpack(pack(model)))


def test_metrics_and_an_optimizer_of_the_users_own_do_not_stop_it() -> None:
    model = with_layer(keras.layers.Dense(2))
    model.compile(Slow(0.1), "mse", metrics=[absolute, Largest()], weighted_metrics=[absolute])
    arrived = unpack(pack(model))
    assert model_stamp(arrived) == model_stamp(model)
    x, _ = rows(20)
    np.testing.assert_array_equal(arrived.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_function_makes_it_over_there() -> None:
    shipped = pack(classifier)
    assert shipped == Shipped(make=classifier)
    assert model_stamp(unpack(pickle.loads(pickle.dumps(shipped)))) == model_stamp(classifier())


def test_a_stamp_knows_weights_loss_and_activation_apart() -> None:
    model = classifier()
    known = {model_stamp(model), model_stamp(classifier(seed=1)), model_stamp(classifier(loss="mse"))}
    model.get_layer("hidden").activation = keras.activations.tanh
    known.add(model_stamp(model))
    uncompiled = classifier()
    uncompiled.compiled = False
    known.add(model_stamp(uncompiled))
    assert len(known) == 5
    assert model_stamp(classifier()) == model_stamp(classifier())


def test_a_model_that_cannot_be_read_again_is_refused_with_the_remedy() -> None:
    with pytest.raises(ModelError, match=r"register_keras_serializable.*get_config.*a function without arguments"):
        unpack(pack(with_layer(Forgetful(abs))))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"a function that makes one, is expected first. Received: int"):
        pack(3)
    with pytest.raises(ModelError, match="is not built"):
        pack(keras.Sequential([keras.layers.Dense(1)]))
    with pytest.raises(ModelError, match=r"made none that can be run. Received: list"):
        unpack(Shipped(make=list))
