"""Labels, weights and layers of every kind: values against NumPy, losses against `evaluate`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt

from .models import RNG, N, X, Y, collect, loss_of, outputs_of, sequential, subclassed

# --- kinds of labels ----------------------------------------------------------------------------------


def test_segmentation() -> None:
    x = RNG.random((6, 5, 5, 3)).astype("float32")
    labels = RNG.integers(0, 4, (6, 5, 5))
    head = keras.layers.Conv2D(4, 1, activation="softmax")
    model = sequential(head, shape=(5, 5, 3), loss="sparse_categorical_crossentropy")
    samples = collect(model, (x, labels), batch_size=4)
    scores = outputs_of(model, x)
    right = np.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(samples.loss, -np.log(right).mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_array_equal(samples.true_labels, labels)
    np.testing.assert_array_equal(samples.pred_labels, scores.argmax(axis=-1))
    guessed = scores.argmax(axis=-1)
    ious = [((labels == c) & (guessed == c)).sum() / ((labels == c) | (guessed == c)).sum() for c in range(4)]
    evaluation = samples.evaluate()
    assert evaluation["accuracy"] == pytest.approx((labels == guessed).mean())
    np.testing.assert_allclose([row.iou for row in evaluation.per_class], ious)


def test_multi_label() -> None:
    labels = RNG.integers(0, 2, (N, 3)).astype("float32")
    labels[:2] = [[1, 1, 0], [1, 0, 1]]
    model = sequential(keras.layers.Dense(3, activation="sigmoid"), loss="binary_crossentropy")
    samples = collect(model, (X, labels), batch_size=8)
    scores = outputs_of(model, X).astype("float64")
    expected = -(labels * np.log(scores) + (1 - labels) * np.log(1 - scores)).mean(axis=1)
    np.testing.assert_allclose(samples.loss, expected, rtol=1e-4)
    np.testing.assert_array_equal(samples.true_labels, labels)
    np.testing.assert_array_equal(samples.pred_labels, scores >= 0.5)


@pytest.mark.parametrize("rank", [1, 2])
def test_binary_with_logits_and_few_positives(rank: int) -> None:
    labels = np.zeros(N, "int64")
    labels[[3, 11]] = 1
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model = sequential(keras.layers.Dense(1), loss=loss)
    samples = collect(model, (X, labels if rank == 1 else labels[:, None]), batch_size=8)
    logits = outputs_of(model, X)[:, 0].astype("float64")
    np.testing.assert_allclose(samples.loss, np.logaddexp(0, logits) - labels * logits, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(samples.true_labels, labels)
    np.testing.assert_array_equal(samples.pred_labels, logits >= 0)
    evaluation = samples.evaluate()
    assert evaluation["accuracy"] == pytest.approx(((logits >= 0) == labels).mean())
    pairs = logits[labels == 1][:, None] > logits[labels == 0][None]
    assert evaluation["roc_auc"] == pytest.approx(pairs.mean())


def test_ordinal() -> None:
    ranks = RNG.integers(0, 4, N)
    ranks[:4] = [0, 1, 2, 3]
    cumulative = (ranks[:, None] > np.arange(3)).astype("float32")
    model = sequential(keras.layers.Dense(3, activation="sigmoid"), loss="binary_crossentropy")
    samples = collect(model, (X, cumulative), batch_size=8)
    passed = np.logical_and.accumulate(outputs_of(model, X) >= 0.5, axis=1).sum(axis=1)
    np.testing.assert_array_equal(samples.true_labels, ranks)
    np.testing.assert_array_equal(samples.pred_labels, passed)
    assert samples.evaluate().task == "ordinal"


# --- weights ------------------------------------------------------------------------------------------


def test_sample_weights_of_rank_one() -> None:
    model, weight = sequential(keras.layers.Dense(1)), RNG.random(N).astype("float32")
    samples = collect(model, (X, Y, weight), batch_size=8)
    errors = (outputs_of(model, X)[:, 0] - Y) ** 2
    np.testing.assert_allclose(samples.loss, errors, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(samples.weighted_loss, errors * weight, rtol=1e-4, atol=1e-6)
    assert float(samples.weighted_loss.mean()) == pytest.approx(loss_of(model, X, Y, sample_weight=weight), rel=1e-4)


def test_sample_weights_of_time_steps() -> None:
    x, y = RNG.normal(size=(N, 5, 4)).astype("float32"), RNG.normal(size=(N, 5, 1)).astype("float32")
    weight = RNG.random((N, 5)).astype("float32")
    model = sequential(keras.layers.Dense(1), shape=(5, 4))
    samples = collect(model, (x, y, weight), batch_size=8)
    errors = ((outputs_of(model, x) - y) ** 2)[..., 0]
    np.testing.assert_allclose(samples.loss, errors.mean(axis=1), rtol=1e-4)
    np.testing.assert_allclose(samples.weighted_loss, (errors * weight).mean(axis=1), rtol=1e-4)
    assert float(samples.weighted_loss.mean()) == pytest.approx(loss_of(model, x, y, sample_weight=weight), rel=1e-4)


def test_weights_and_loss_weights_of_several_outputs() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(1, name="p")(inputs), keras.layers.Dense(2, name="q")(inputs)])
    model.compile(loss=["mse", "mae"], loss_weights=[0.25, 3.0])
    q = RNG.normal(size=(N, 2)).astype("float32")
    weights = [RNG.random(N).astype("float32"), RNG.random(N).astype("float32")]
    samples = collect(model, (X, [Y, q], weights), batch_size=8)
    of_p, of_q = outputs_of(model, X)
    p_loss, q_loss = (of_p[:, 0] - Y) ** 2, np.abs(of_q - q).mean(axis=1)
    np.testing.assert_allclose(samples.loss, 0.25 * p_loss + 3 * q_loss, rtol=1e-4)
    weighted = 0.25 * p_loss * weights[0] + 3 * q_loss * weights[1]
    np.testing.assert_allclose(samples.weighted_loss, weighted, rtol=1e-4)
    np.testing.assert_array_equal(samples.sample_weight[1], weights[1])
    np.testing.assert_array_equal(samples["q"].sample_weight, weights[1])
    # torch's trainer takes no list of weights that isn't a list; a list here is Keras' own form
    assert float(weighted.mean()) == pytest.approx(loss_of(model, X, [Y, q], sample_weight=weights), rel=1e-4)


# --- layers -------------------------------------------------------------------------------------------


def test_layers_of_functional_and_nested_models() -> None:
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep"), keras.layers.ReLU()], name="inner")
    inputs = keras.Input((4,))
    hidden = inner(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(hidden))
    model.compile(loss="mse")
    samples = collect(model, (X, Y), batch_size=8, layers=["inner/deep", "inner", tt.select("head")])
    assert list(samples.layers) == ["inner/deep", "inner", "head"]
    deep = X @ inner.get_layer("deep").get_weights()[0]
    np.testing.assert_allclose(samples.layers["inner/deep"], deep, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(samples.layers["inner"], np.maximum(deep, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(samples.layers["head"], samples.y_pred, rtol=1e-6)


def test_a_shared_layer_has_an_entry_for_each_call() -> None:
    model = subclassed()
    samples = collect(model, (X, Y), batch_size=8, layers="shared")
    assert list(samples.layers) == ["shared", "shared#1"]
    kernel, bias = (np.asarray(each) for each in model.shared.get_weights())
    first = np.tanh(X @ kernel + bias)
    np.testing.assert_allclose(samples.layers["shared"], first, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(samples.layers["shared#1"], np.tanh(first @ kernel + bias), rtol=1e-4, atol=1e-5)


def test_a_layer_that_did_not_run_is_said() -> None:
    with pytest.warns(tt.DataWarning, match="selected and did not run in this forward pass: idle"):
        samples = collect(subclassed(), (X, Y), layers=["shared", "idle"])
    with pytest.raises(KeyError, match="no layer 'idle'"):
        samples.layers["idle"]


def test_an_unknown_layer_lists_near_names_before_anything_is_drawn() -> None:
    drawn: list[int] = []

    def batches() -> Iterator[Any]:
        drawn.append(1)
        yield X, Y

    with pytest.raises(tt.LayerError, match=r"No layer of the model .* matches select\('shard'\).* 'shared'"):
        collect(subclassed(), batches(), layers="shard")
    assert not drawn


def test_a_layer_inside_a_loop_is_refused_with_the_layer_around_it() -> None:
    inner = keras.layers.Dense(2, name="inner")
    model = sequential(keras.layers.TimeDistributed(inner, name="steps"), shape=(3, 4))
    x, y = RNG.normal(size=(4, 3, 4)), RNG.normal(size=(4, 3, 2))
    with pytest.raises(tt.LayerError, match=re.escape("'steps/inner' runs inside a loop over time steps of 'steps'")):
        collect(model, (x, y), layers="inner")
    samples = collect(model, (x, y), layers="steps")
    np.testing.assert_allclose(samples.layers["steps"], samples.y_pred)


def test_an_output_without_a_loss_and_losses_by_name_in_any_order() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [keras.layers.Dense(1, name=name)(inputs) for name in "qp"])
    of_q, of_p = (each[:, 0] for each in outputs_of(model, X))
    model.compile(loss=[None, "mse"])
    samples = collect(model, (X, [Y, -Y]), batch_size=8)
    assert list(samples.losses) == ["p"]
    np.testing.assert_allclose(samples.loss, (of_p + Y) ** 2, rtol=1e-4, atol=1e-6)
    model.compile(loss={"p": "mae", "q": "mse"}, loss_weights={"p": 2.0, "q": 0.5})
    samples = collect(model, (X, {"p": -Y, "q": Y}), batch_size=8)
    np.testing.assert_allclose(samples.loss, 2 * np.abs(of_p + Y) + 0.5 * (of_q - Y) ** 2, rtol=1e-4, atol=1e-6)
