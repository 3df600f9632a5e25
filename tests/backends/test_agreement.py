"""`tt.compare_with_fit`: a right loop agrees, of a wrong one it is said what is wrong, and the model is left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.loops_by_hand import BACKEND, Hand, right, squared, weighted

Array = npt.NDArray[Any]

N = 8
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=N).astype("float32")
W = RNG.uniform(0.2, 3.0, N).astype("float32")


def plain(**compiled: Any) -> Any:
    """A regression with a regulariser, dropout and batch normalisation."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(6, activation="tanh", kernel_regularizer=keras.regularizers.L2(0.05), name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.4, name="drop"),
            layers.Dense(1, name="head"),
        ]
    )
    model.compile(**({"optimizer": keras.optimizers.SGD(0.1, momentum=0.9), "loss": "mse"} | compiled))
    return model


def simple(**compiled: Any) -> Any:
    """A regression without anything that a mode or a regulariser changes."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, "tanh", name="hidden"), layers.Dense(1, name="head")])
    model.compile(**({"optimizer": keras.optimizers.SGD(0.1), "loss": "mse"} | compiled))
    return model


def rules(model: Any, step: Any, batch: Any = (X, Y, W)) -> list[str]:
    return [finding.rule for finding in tt.compare_with_fit(model, step, batch).findings]


def without_losses(model: Any, x: Any, y: Any, w: Any) -> Any:
    return ops.mean(squared(y, model(x, training=True)) * weighted(w))


def broadcast(model: Any, x: Any, y: Any, w: Any) -> Any:
    by_row = 1.0 if w is None else ops.reshape(w, (-1, 1))
    return ops.mean(by_row * ops.square(model(x, training=True) - y)) + sum(model.losses)


def broadcast_by_label(model: Any, x: Any, y: Any, w: Any) -> Any:
    return ops.mean(weighted(w) * ops.square(model(x, training=True) - y)) + sum(model.losses)


def without_weights(model: Any, x: Any, y: Any, w: Any) -> Any:
    return right(model, x, y, None)


def by_weight_sum(model: Any, x: Any, y: Any, w: Any) -> Any:
    return ops.sum(squared(y, model(x, training=True)) * w) / ops.sum(w) + sum(model.losses)


def inference(model: Any, x: Any, y: Any, w: Any) -> Any:
    return ops.mean(squared(y, model(x)) * weighted(w)) + sum(model.losses)


def summed(model: Any, x: Any, y: Any, w: Any) -> Any:
    return ops.sum(squared(y, model(x, training=True)) * weighted(w)) + sum(model.losses)


def by_global_batch(model: Any, x: Any, y: Any, w: Any) -> Any:
    return ops.sum(squared(y, model(x, training=True)) * weighted(w)) / 27.0 + sum(model.losses)


def all_halved(model: Any, x: Any, y: Any, w: Any) -> Any:
    return 0.5 * right(model, x, y, w)


MISTAKES: list[tuple[Callable[..., Any], list[str]]] = [
    (without_losses, ["regularisation"]),
    (broadcast, ["broadcast"]),
    (broadcast_by_label, ["broadcast"]),
    (without_weights, ["sample_weight"]),
    (by_weight_sum, ["weight_sum"]),
    (inference, ["training"]),
    (summed, ["scale"]),
    (by_global_batch, ["scale"]),
    (all_halved, ["scale"]),
    # pairs, and three together
    (lambda m, x, y, w: without_losses(m, x, y, None), ["regularisation", "sample_weight"]),
    (lambda m, x, y, w: broadcast(m, x, y, None), ["broadcast", "sample_weight"]),
    (lambda m, x, y, w: broadcast(m, x, y, None) - sum(m.losses), ["broadcast", "regularisation", "sample_weight"]),
    (lambda m, x, y, w: inference(m, x, y, w) - sum(m.losses), ["regularisation", "training"]),
    (lambda m, x, y, w: inference(m, x, y, None), ["sample_weight", "training"]),
    (lambda m, x, y, w: summed(m, x, y, None), ["sample_weight", "scale"]),
    (lambda m, x, y, w: summed(m, x, y, w) - sum(m.losses), ["regularisation", "scale"]),
    (
        lambda m, x, y, w: ops.sum(ops.square(m(x, training=True) - y)) + sum(m.losses),
        ["broadcast", "sample_weight", "scale"],
    ),
]


@pytest.mark.parametrize(("compiled", "optimizer", "weights"), [("", "sgd", True), ("graph", "adam", False)])
def test_a_right_loop_agrees(compiled: str, optimizer: str, weights: bool) -> None:
    model = plain(optimizer=optimizer)
    agreement = tt.compare_with_fit(model, Hand(model, right, compiled=compiled).step(), (X, Y, W)[: 2 + weights])
    assert agreement, str(agreement)
    assert agreement.findings == ()
    assert agreement.notes == ()
    assert str(agreement).startswith("The loop does what fit does on this batch.")
    agreement.raise_if_different()


# JAX compiles anew for each model and step; which mistakes were made together is found outside the backends.
ONE_OF_EACH = {each[1][0]: each for each in reversed(MISTAKES) if len(each[1]) == 1}
TRIED = [*ONE_OF_EACH.values(), MISTAKES[9], MISTAKES[13], MISTAKES[-1]] if BACKEND == "jax" else MISTAKES


@pytest.mark.parametrize(("loss_of", "expected"), TRIED)
def test_each_mistake_is_named(loss_of: Any, expected: list[str]) -> None:
    model = plain()
    assert rules(model, Hand(model, loss_of).step()) == expected


@pytest.mark.parametrize(("loss_of", "expected"), [MISTAKES[1], MISTAKES[5], MISTAKES[-1]])
def test_mistakes_are_named_where_gradients_cannot_be_seen(loss_of: Any, expected: list[str]) -> None:
    model = plain(optimizer="adam")
    assert rules(model, Hand(model, loss_of, compiled="graph").step()) == expected


def test_the_numbers_are_those_of_numpy() -> None:
    model = simple()
    y_pred = np.asarray(ops.convert_to_numpy(model(X)))
    agreement = tt.compare_with_fit(model, Hand(model, broadcast_by_label).step(), (X, Y))
    assert agreement.loss_fit == pytest.approx(np.mean((y_pred[:, 0] - Y) ** 2), rel=1e-5)
    table = np.mean((y_pred - Y[None, :]) ** 2)
    (finding,) = agreement.findings
    assert agreement.loss_loop == pytest.approx(table, rel=1e-5)
    assert finding.numbers["alone"] == pytest.approx(table, rel=1e-5)
    assert "labels of shape (8,) with outputs of shape (8, 1)" in finding.text
    assert "keras.ops.reshape(y, (-1, 1))" in finding.text
    bias = next(each for each in agreement.updates if each.path.endswith("head/bias"))
    by_fit, by_loop = 0.1 * 2 * np.mean(y_pred[:, 0] - Y), 0.1 * 2 * np.mean(y_pred - Y[None, :])
    assert bias.fit == pytest.approx(abs(by_fit), rel=1e-4)
    assert bias.loop == pytest.approx(abs(by_loop), rel=1e-4)  # the same: only the kernel learns something else
    kernel = next(each for each in agreement.updates if each.path.endswith("head/kernel"))
    assert bias.agrees
    assert not kernel.agrees


def test_the_factor_of_a_loss_is_told_and_named() -> None:
    model = simple()
    (finding,) = tt.compare_with_fit(model, Hand(model, summed).step(), (X, Y)).findings
    assert finding.numbers["factor"] == pytest.approx(N, rel=1e-5)
    assert "8 times that of fit, the number of loss values of 'mse'" in finding.text
    (finding,) = tt.compare_with_fit(model, Hand(model, by_global_batch).step(), (X, Y)).findings
    assert finding.numbers["factor"] == pytest.approx(N / 27, rel=1e-5)


def test_a_loss_that_is_only_reported_otherwise_is_said_so() -> None:
    model = plain(optimizer="adam")
    step = Hand(model, right, reports=lambda loss, model, x, y, w: loss - sum(model.losses)).step()
    agreement = tt.compare_with_fit(model, step, (X, Y, W))
    (finding,) = agreement.findings
    assert finding.rule == "regularisation"
    assert finding.text.startswith("Only in the loss that it reports: ")
    assert all(each.agrees for each in agreement.updates)


def test_a_loss_that_is_only_used_otherwise_is_said_so() -> None:
    model = plain()
    step = Hand(model, without_losses, reports=lambda loss, model, x, y, w: loss + sum(model.losses)).step()
    agreement = tt.compare_with_fit(model, step, (X, Y, W))
    (finding,) = agreement.findings
    assert finding.rule == "regularisation"
    assert finding.text.startswith("Only in its update")


@pytest.mark.parametrize("compiled", ["", "graph"])
def test_gradients_that_are_scaled_are_said(compiled: str) -> None:
    model = plain(optimizer="adam")
    step = Hand(model, right, gradients=lambda all_: [0.25 * each for each in all_], compiled=compiled).step()
    (finding,) = tt.compare_with_fit(model, step, (X, Y, W)).findings
    assert finding.rule == "gradient_scale"
    assert finding.numbers["factor"] == pytest.approx(0.25, rel=1e-3)


def test_variables_that_stand_still_are_named() -> None:
    model = simple()
    step = Hand(model, right, only=lambda variable: "hidden" not in variable.path).step()
    (finding,) = tt.compare_with_fit(model, step, (X, Y)).findings
    assert finding.rule == "not_trained"
    assert "hidden/kernel" in finding.text
    assert "hidden/bias" in finding.text
    assert "head" not in finding.text


def test_a_loop_that_updates_nothing_is_told_so() -> None:
    model = simple()
    assert rules(model, Hand(model, right, times=0).step(), (X, Y)) == ["no_update"]
    assert rules(model, Hand(model, summed, times=0).step(), (X, Y)) == ["scale", "no_update"]


def test_gradients_applied_twice_are_counted() -> None:
    model = simple(optimizer="adam")
    (*_, finding) = tt.compare_with_fit(model, Hand(model, right, times=2).step(), (X, Y)).findings
    assert finding.rule == "iterations"
    assert "updates 2 times" in finding.text


def test_another_optimizer_or_rate_is_told() -> None:
    model = simple(optimizer=keras.optimizers.Adam(0.01))
    own = keras.optimizers.Adam(0.03)
    agreement = tt.compare_with_fit(model, Hand(model, right, optimizer=own).step(), (X, Y))
    (finding,) = agreement.findings
    assert finding.rule == "learning_rate"
    assert finding.numbers["factor"] == pytest.approx(3.0, rel=1e-3)
    assert "optimizer of its own" in agreement.notes[0]
    (finding,) = tt.compare_with_fit(
        model, Hand(model, right, optimizer=keras.optimizers.SGD(0.2)).step(), (X, Y)
    ).findings
    assert finding.rule == "optimizer"
    assert finding.numbers["factor"] == pytest.approx(-0.2, rel=1e-3)
    assert "fit updates by Adam" in finding.text


def test_an_optimizer_without_the_clipping_or_the_decay_of_the_compiled_one_is_told() -> None:
    for named, rule in (({"clipnorm": 0.01}, "clipping"), ({"weight_decay": 0.3}, "weight_decay")):
        model = simple(optimizer=keras.optimizers.SGD(0.1, momentum=0.5, **named))
        assert rules(model, Hand(model, right).step(), (X, Y)) == []
        own = keras.optimizers.SGD(0.1, momentum=0.5)
        assert rules(model, Hand(model, right, optimizer=own).step(), (X, Y)) == [rule]


def test_a_second_forward_pass_in_training_mode_is_told() -> None:
    def twice(model: Any, x: Any, y: Any, w: Any) -> Any:
        loss = right(model, x, y, w)
        model(x, training=True)
        return loss

    model = plain()
    (finding,) = tt.compare_with_fit(model, Hand(model, twice).step(), (X, Y, W)).findings
    assert finding.rule == "state"
    assert 1 < finding.numbers["factor"] < 2


@pytest.mark.skipif(BACKEND != "jax", reason="state is carried by the loop on JAX alone")
def test_state_that_is_not_carried_on_is_named() -> None:
    model = plain()
    (finding,) = tt.compare_with_fit(model, Hand(model, right, keeps_state=False).step(), (X, Y, W)).findings
    assert finding.rule == "state_not_kept"
    assert "norm/moving_mean" in finding.text


def test_frozen_weights_that_the_loop_changes_are_named() -> None:
    if BACKEND == "jax":
        pytest.skip("the state says what is trained")
    model = simple()
    model.get_layer("hidden").trainable = False
    model.compile(optimizer="sgd", loss="mse")
    inner = Hand(model, right).step()

    def step(x: Any, y: Any) -> Any:
        model.get_layer("hidden").bias.assign_add(ops.ones((3,)))
        return inner(x, y)

    before = ops.convert_to_numpy(model.get_layer("hidden").bias)
    assert "frozen" in rules(model, step, (X, Y))
    np.testing.assert_array_equal(ops.convert_to_numpy(model.get_layer("hidden").bias), before)


class Unaligned(keras.losses.Loss):  # type: ignore[misc]
    """A loss of a class, whose ranks Keras does not align."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)


def test_where_fit_is_wrong_and_the_loop_right_that_is_said() -> None:
    model = simple(loss=Unaligned())
    (finding,) = tt.compare_with_fit(model, Hand(model, right).step(), (X, Y)).findings
    assert finding.rule == "broadcast_in_fit"
    assert rules(model, Hand(model, broadcast).step(), (X, Y)) == []


def test_arguments_of_a_loss_that_are_left_out_or_swapped_are_told() -> None:
    y = (Y > 0).astype("float32")[:, None]
    model = simple(loss=keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2))

    def by(loss: Any) -> Any:
        return lambda model, x, y, w: ops.mean(loss(y, model(x, training=True)))

    cross = keras.losses.binary_crossentropy
    assert rules(model, Hand(model, by(lambda t, p: cross(t, p, True, 0.2))).step(), (X, y)) == []
    (finding,) = tt.compare_with_fit(model, Hand(model, by(cross)).step(), (X, y)).findings
    assert finding.rule == "loss_arguments"
    assert "from_logits=True, label_smoothing=0.2" in finding.text
    model = simple(loss="mean_absolute_percentage_error", optimizer=keras.optimizers.SGD(1e-4))
    swapped = by(lambda t, p: keras.losses.mean_absolute_percentage_error(p, t))
    assert rules(model, Hand(model, swapped).step(), (X, Y[:, None])) == ["swapped"]
