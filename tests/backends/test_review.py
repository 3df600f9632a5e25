"""Wrong numbers that a reader of the code found before a user did."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import truetap as tt

X = np.random.default_rng(3).normal(size=(40, 4)).astype("float32")


def dense(units: int = 4, **kwargs: Any) -> Any:
    return keras.layers.Dense(units, **kwargs)


def test_trainable_toggled_between_two_batches_of_a_stream() -> None:
    model = keras.Sequential([keras.Input((4,)), dense(activation="tanh"), dense()])
    expected = keras.ops.convert_to_numpy(model(X, training=False))
    stream = tt.stream(model, (X, X))
    np.testing.assert_allclose(next(stream).y_pred, expected[:32], rtol=1e-4, atol=1e-5)
    model.layers[0].trainable = False
    np.testing.assert_allclose(next(stream).y_pred, expected[32:], rtol=1e-4, atol=1e-5)


def test_labels_of_a_wrong_width_spoil_no_later_call() -> None:
    model = keras.Sequential([keras.Input((4,)), dense(3, activation="softmax")])
    model.compile(loss="categorical_crossentropy")
    right, wrong = np.eye(3, dtype="float32")[np.arange(40) % 3], np.eye(5, dtype="float32")[np.arange(40) % 5]
    first: Any = tt.collect(model, (X, right)).loss
    with pytest.warns(tt.DataWarning, match="There is no loss per sample"):
        assert tt.collect(model, (X, wrong)).loss is None
    np.testing.assert_array_equal(first, tt.collect(model, (X, right)).loss)


def test_order_that_a_function_makes_is_not_taken_for_the_datas() -> None:
    model = keras.Sequential([keras.Input((4,)), dense()])

    def rows() -> Iterator[Any]:
        for row in np.random.default_rng().permutation(40):
            yield X[row], X[row]

    spec = (tf.TensorSpec((4,), tf.float32), tf.TensorSpec((4,), tf.float32))
    data = tf.data.Dataset.from_generator(rows, output_signature=spec)
    with pytest.warns(tt.DataWarning, match="by position"):
        tt.collect(model, data.batch(8), ids=range(40))
    with pytest.raises(tt.DataError, match="its order can't be told"):
        tt.with_ids(data)


def two_heads() -> Any:
    x = keras.Input((4,))
    model = keras.Model(x, {"a": dense(5, name="a")(x), "b": dense(1, name="b")(x)})
    model.compile(loss={"a": "mse", "b": "mse"})
    return model


def test_weights_of_one_output_are_not_those_of_another() -> None:
    y = {"a": np.zeros((40, 5), "float32"), "b": np.zeros((40, 1), "float32")}
    samples = tt.collect(two_heads(), (X, y, {"a": np.full(40, 2.5, "float32")}))
    assert (samples["a"].sample_weight == 2.5).all()
    assert samples["b"].sample_weight is None


def test_a_weighted_loss_is_never_that_of_some_outputs_only() -> None:
    y = {"a": np.zeros((40, 5), "float32"), "b": np.zeros((40, 1), "float32")}
    weights = {"a": np.full((40, 5), 0.5, "float32"), "b": np.full(40, 0.5, "float32")}
    with pytest.warns(tt.DataWarning, match="no weighted loss can be computed"):
        samples: Any = tt.collect(two_heads(), (X, y, weights))
    np.testing.assert_array_equal(samples.weighted_loss, samples.loss)  # there is none: the unweighted is given


def test_a_tensor_of_torch_may_be_filled_again() -> None:
    model = keras.Sequential([keras.Input((2, 2)), keras.layers.Flatten(name="flat")])

    def batches() -> Iterator[Any]:
        buffer = torch.zeros(8, 2, 2)
        for step in (1, 2, 3):
            buffer.fill_(step)
            yield buffer, np.full((8, 4), step, "float32")

    samples = tt.collect(model, batches(), layers="flat")
    np.testing.assert_array_equal(samples.y_pred, samples.y_true)
    np.testing.assert_array_equal(samples.layers["flat"], samples.y_true)


def test_a_list_of_batches_is_a_list_of_batches() -> None:
    np.testing.assert_array_equal(tt.ground_truth([(X[:20], X[:20]), (X[20:], X[20:])]), X)


def test_a_model_is_freed_whose_loss_is_its_own_method() -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = dense()

        def call(self, x: Any) -> Any:
            return self.head(x)

        def my_loss(self, y_true: Any, y_pred: Any) -> Any:
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    def use() -> weakref.ref[Any]:
        model = Own()
        model(X)
        model.compile(loss=model.my_loss)
        assert tt.collect(model, (X, X), layers="*").loss is not None
        return weakref.ref(model)

    gone = use()
    gc.collect()
    assert gone() is None


def test_training_between_two_batches_of_a_stream() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.9), dense()])
    expected = keras.ops.convert_to_numpy(model(X, training=False))
    stream = tt.stream(model, (X, X))
    next(stream)
    if keras.backend.backend() == "torch":
        model.train()
    np.testing.assert_allclose(next(stream).y_pred, expected[32:], rtol=1e-4, atol=1e-5)


def test_every_named_layer_counts() -> None:
    model = keras.Sequential([keras.Input((4,)), dense(name="head")])
    with pytest.raises(tt.LayerError, match=r"'haed'.*'head'"):
        tt.collect(model, (X, X), layers=["head", "haed"])


def test_sizes_of_batches_are_checked() -> None:
    model = keras.Sequential([keras.Input((4,)), dense()])
    with pytest.raises(tt.DataError, match=r"batch_size is a number of rows\. Received: -5"):
        tt.collect(model, (X, X), batch_size=-5)
