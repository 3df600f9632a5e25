"""`tt.compare_with_fit` with masks, several outputs, mixed precision, XLA, and a step of the model's own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.loops_by_hand import BACKEND, Hand, right, squared, weighted
from tests.backends.test_agreement import RNG, N, W, X, Y, plain, rules, without_losses

ONLY_TENSORFLOW = pytest.mark.skipif(BACKEND != "tensorflow", reason="XLA draws other random numbers there")
TOKENS = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0], [1, 3, 5, 2, 4]] * 2, "int32")
STEPS = RNG.normal(size=(6, 5, 1)).astype("float32")


def masked_model(**compiled: Any) -> Any:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(6, 4, mask_zero=True), layers.Dense(1, name="head")]
    )
    model.compile(**({"optimizer": keras.optimizers.SGD(0.1), "loss": "mse"} | compiled))
    return model


def errors(model: Any, x: Any, y: Any) -> tuple[Any, Any]:
    values = ops.square(model(x, training=True) - y)[..., 0]
    return values, ops.cast(ops.not_equal(x, 0), values.dtype)


def masked(model: Any, x: Any, y: Any, w: Any) -> Any:
    values, mask = errors(model, x, y)
    return ops.sum(values * mask * weighted(w)) / ops.sum(mask)


@pytest.mark.parametrize("weighted_too", [True] if BACKEND == "jax" else [False, True])
def test_masks(weighted_too: bool) -> None:
    model = masked_model()
    w = RNG.uniform(0.5, 2.0, (6, 5)).astype("float32")
    batch = (TOKENS, STEPS, w) if weighted_too else (TOKENS, STEPS)

    def over_all(model: Any, x: Any, y: Any, w: Any) -> Any:
        return masked(model, x, y, w) * ops.sum(errors(model, x, y)[1]) / 30.0

    def ignored(model: Any, x: Any, y: Any, w: Any) -> Any:
        return ops.mean(errors(model, x, y)[0] * weighted(w))

    assert rules(model, Hand(model, masked).step(), batch) == []
    assert rules(model, Hand(model, over_all).step(), batch) == ["mask_mean"]
    assert rules(model, Hand(model, ignored).step(), batch) == ["mask"]
    if weighted_too:
        assert rules(model, Hand(model, lambda m, x, y, w: ignored(m, x, y, None)).step(), batch) == [
            "sample_weight",
            "mask",
        ]


def two_headed(**compiled: Any) -> Any:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation="relu")(inputs)
    outputs = {"z": layers.Dense(1, name="z")(hidden), "a": layers.Dense(3, activation="softmax", name="a")(hidden)}
    model = keras.Model(inputs, outputs)
    losses = {"z": "mse", "a": "sparse_categorical_crossentropy"}
    model.compile(optimizer="adam", loss=losses, loss_weights={"z": 0.3, "a": 2.0}, **compiled)
    return model


def test_several_outputs() -> None:
    model = two_headed()
    classes = RNG.integers(0, 3, N).astype("int32")

    def loop(z: float, a: float, table: bool = False) -> Any:
        def loss_of(model: Any, x: Any, y: Any, w: Any) -> Any:
            out = model(x, training=True)
            mse = ops.mean(ops.square(out["z"] - y["z"])) if table else ops.mean(squared(y["z"], out["z"]))
            entropy = ops.mean(keras.losses.sparse_categorical_crossentropy(y["a"], out["a"]))
            return z * mse + a * entropy

        return Hand(model, loss_of).step()

    batch = (X, {"z": Y, "a": classes})
    assert rules(model, loop(0.3, 2.0), batch) == []
    assert rules(model, loop(1.0, 1.0), batch) == ["loss_weights"]
    assert rules(model, loop(0.0, 2.0), batch) == ["output"]
    assert rules(model, loop(0.0, 1.0), batch) == ["loss_weights", "output"]
    assert rules(model, loop(0.3, 2.0, table=True), batch) == ["broadcast"]
    assert rules(model, loop(1.0, 1.0, table=True), batch) == ["broadcast", "loss_weights"]


# ---- precision and compilers


def half(model: Any) -> Any:
    return lambda m, x, y, w: ops.mean(ops.square(ops.cast(m(x, training=True), "float32")[:, 0] - y))


def test_mixed_precision_with_and_without_the_loss_scale() -> None:
    keras.utils.set_random_seed(7)
    policy = keras.DTypePolicy("mixed_float16")
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "tanh", dtype=policy), layers.Dense(1, dtype=policy)])
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1024.0)
    model.compile(optimizer=optimizer, loss="mse")
    assert rules(model, Hand(model, half(model)).step(), (X, Y)) == []
    step = Hand(model, half(model), gradients=lambda all_: [each / 1024.0 for each in all_]).step()
    (finding,) = tt.compare_with_fit(model, step, (X, Y)).findings
    assert finding.rule == "gradient_scale"
    assert "1 / the loss scale" in finding.text


@ONLY_TENSORFLOW
def test_dropout_under_xla() -> None:
    model = plain()
    assert rules(model, Hand(model, without_losses, compiled="xla").step(), (X, Y[:, None])) == ["regularisation"]


class Twice(keras.Model):  # type: ignore[misc]
    """A model whose step trains two times on its batch."""

    def train_step(self, first: Any, *rest: Any) -> Any:
        if BACKEND == "jax":
            return super().train_step(super().train_step(first, *rest)[1], *rest)
        super().train_step(first)
        return super().train_step(first)


def test_a_loop_for_a_model_with_a_step_of_its_own_is_compared_but_not_explained() -> None:
    inputs = keras.Input((4,))
    model = Twice(inputs, layers.Dense(1)(inputs))
    model.compile(optimizer="sgd", loss="mse")
    (finding,) = tt.compare_with_fit(model, Hand(model, right).step(), (X, Y)).findings
    assert finding.rule == "unexplained"
    assert "in a way of its own, so the known reasons could not be tried" in finding.text
    (*_, finding) = tt.compare_with_fit(model, model.train_step, (X, Y)).findings
    assert finding.rule == "iterations"
    assert "updates 2 times" in finding.text


class Tracked(keras.Model):  # type: ignore[misc]
    """A model with a step by hand, which reports a running mean and hides the metrics of Keras."""

    def __init__(self, loss_of: Any, *args: Any) -> None:
        super().__init__(*args)
        self.loss_of = loss_of
        self.own = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.own]

    def train_step(self, first: Any, second: Any = None) -> Any:
        step = Hand(self, self.loss_of).step()
        if BACKEND != "jax":
            self.own.update_state(step(*first))
            return {"loss": self.own.result()}
        trainable, others, slots, metrics = first
        loss, state = step((trainable, others, slots), second)
        metrics = self.own.stateless_update_state(metrics, loss)
        return {"loss": self.own.stateless_result(metrics)}, (*state, metrics)


def tracked(loss_of: Any, regularizer: Any = "l2", **compiled: Any) -> Any:
    keras.utils.set_random_seed(7)
    inputs = keras.Input((4,))
    outputs = layers.Dense(1, kernel_regularizer=regularizer)(layers.BatchNormalization()(inputs))
    model = Tracked(loss_of, inputs, outputs)
    model.compile(**({"optimizer": keras.optimizers.SGD(0.1), "loss": "mse"} | compiled))
    return model


def test_the_models_own_step_is_compared_with_that_of_keras() -> None:
    y_pred = ops.convert_to_numpy(tracked(right)(X, training=True))[:, 0]
    for loss_of, weight, expected in [
        (right, W, []),
        (without_losses, W, ["regularisation"]),
        (lambda model, x, y, w: right(model, x, y, None), 1.0, ["sample_weight"]),
    ]:
        model = tracked(loss_of)
        model.own.update_state(1000.0)  # from batches before this one
        (hidden,) = (each for each in keras.Model.metrics.fget(model) if each.name == "loss" and each is not model.own)
        hidden.update_state(3.0)
        agreement = tt.compare_with_fit(model, model.train_step, (X, Y, W))
        assert [finding.rule for finding in agreement.findings] == expected
        assert agreement.notes[0].startswith("The loop is the model's own train_step: fit means here")
        assert (float(model.own.result()), float(hidden.result())) == (1000.0, 3.0)
        l2 = 0.01 * np.sum(np.square(ops.convert_to_numpy(model.layers[-1].kernel)))
        errors = np.square(y_pred - Y)
        assert agreement.loss_fit == pytest.approx(np.mean(W * errors) + l2, rel=1e-5)
        kept = 0.0 if expected == ["regularisation"] else l2
        assert agreement.loss_loop == pytest.approx(np.mean(weight * errors) + kept, rel=1e-5)


def test_a_compiled_step_of_the_models_own_is_known_again() -> None:
    model = tracked(without_losses)
    if BACKEND == "torch":
        pytest.skip("a step there is not compiled")
    if BACKEND == "jax":
        import jax

        step = jax.jit(model.train_step)
    else:
        import tensorflow as tf

        step = tf.function(model.train_step)
    assert rules(model, step, (X, Y)) == ["regularisation"]

    def any_loop(*args: Any) -> Any:
        return model.train_step(*args) if BACKEND == "jax" else model.train_step(args)

    assert rules(model, any_loop, (X, Y)) == []  # compared with what fit does


def test_a_model_that_only_its_own_step_can_train_is_refused() -> None:
    model = tracked(right, regularizer=None, loss=None)
    said = (
        r"that of keras\.Model, which doesn't run on this model: ValueError: No loss to compute.*compiled with its loss"
    )
    with pytest.raises(tt.LossError, match=said):
        tt.compare_with_fit(model, model.train_step, (X, Y))
