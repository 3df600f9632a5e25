"""`tt.compare_with_fit`: what it takes, what it refuses, and that it leaves everything as it was."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.loops_by_hand import BACKEND, Hand, right, squared
from tests.backends.test_agreement import W, X, Y, plain, rules, simple, summed

Array = npt.NDArray[Any]

STATEFUL = pytest.mark.skipif(BACKEND == "jax", reason="a step there is a function of its state")
ONLY_JAX = pytest.mark.skipif(BACKEND != "jax", reason="a step is a function of its state on JAX alone")


def everything(model: Any) -> list[bytes]:
    """The bits of all that a step may change."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    bits = [np.asarray(ops.convert_to_numpy(each)).tobytes() for each in variables]
    return [*bits, repr(random.getstate()).encode(), repr(np.random.get_state()).encode()]


def attributes(model: Any) -> list[Any]:
    owners = [model, model.optimizer, model._compile_loss, *model.layers]
    return [sorted(vars(owner)) for owner in owners] + [model.train_function, model._compile_loss._flat_losses]


@pytest.mark.parametrize("loss_of", [right, summed])
def test_everything_is_put_back_bit_for_bit(loss_of: Any) -> None:
    model = plain(optimizer="adam", metrics=["mae"])
    model.fit(X, Y, epochs=2, verbose=0)  # so that moments, metrics and seeds are no longer those of the start
    before, own = everything(model), attributes(model)
    first = tt.compare_with_fit(model, Hand(model, loss_of).step(), (X, Y, W))
    assert everything(model) == before
    assert attributes(model) == own
    again = tt.compare_with_fit(model, Hand(model, loss_of).step(), (X, Y, W))
    assert again.loss_loop == first.loss_loop
    assert bool(again) is (loss_of is right)


def test_training_goes_on_as_if_nothing_had_been_compared() -> None:
    weights = []
    for compared in (False, True):
        model = plain(optimizer="adam")
        model.fit(X, Y, verbose=0, shuffle=False)
        if compared:
            tt.compare_with_fit(model, Hand(model, summed).step(), (X, Y))
        model.fit(X, Y, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loop_that_raises_leaves_the_model_as_it_was() -> None:
    model = plain(optimizer="adam")
    inner = Hand(model, right).step()

    def step(*args: Any) -> Any:
        inner(*args)
        np.random.random(), random.random()
        raise KeyboardInterrupt("stopped by hand")

    model.fit(X, Y, verbose=0)
    before, own = everything(model), attributes(model)
    with pytest.raises(KeyboardInterrupt, match="stopped by hand"):
        tt.compare_with_fit(model, step if BACKEND == "jax" else lambda x, y: step(x, y), (X, Y))
    assert everything(model) == before
    assert attributes(model) == own


@pytest.mark.skipif(BACKEND != "torch", reason="torch keeps gradients, a mode and generators")
def test_what_torch_keeps_is_put_back() -> None:
    import torch

    model = plain()
    model.fit(X, Y, verbose=0)
    model(X).sum().backward()
    model.eval()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    state = torch.get_rng_state()

    def step(x: Any, y: Any) -> Any:
        model.train()
        loss = Hand(model, right).step()(x, y)
        torch.rand(3)
        return loss

    assert tt.compare_with_fit(model, step, (X, Y))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())
    after = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(gradients) == len(after) > 0
    assert all(torch.equal(one, other) for one, other in zip(gradients, after, strict=True))


@pytest.mark.skipif(BACKEND != "torch", reason="an optimizer of torch")
def test_an_optimizer_of_torch_is_understood() -> None:
    import torch

    model = simple(optimizer=keras.optimizers.SGD(0.1))

    def step_by(optimizer: Any, total: bool) -> Any:
        def step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = squared(y, model(x, training=True))
            loss = loss.sum() if total else loss.mean()
            loss.backward()
            optimizer.step()
            return loss.item()

        return step

    agreement = tt.compare_with_fit(model, step_by(torch.optim.SGD(model.parameters(), 0.1), False), (X, Y))
    assert agreement
    assert agreement.notes[0].startswith("The loop doesn't update by model.optimizer")
    assert rules(model, step_by(torch.optim.SGD(model.parameters(), 0.1), True), (X, Y)) == ["scale"]
    assert rules(model, step_by(torch.optim.SGD(model.parameters(), 0.3), False), (X, Y)) == ["learning_rate"]
    assert rules(model, step_by(torch.optim.Adam(model.parameters(), 0.1), False), (X, Y)) == ["optimizer"]


@STATEFUL
def test_forms_of_a_step() -> None:
    model = simple()
    inner = Hand(model, right).step()
    reports: list[Any] = [
        lambda loss: loss,
        lambda loss: {"loss": loss, "more": 1.0},
        lambda loss: float(ops.convert_to_numpy(loss)),
        lambda loss: ops.reshape(loss, (1,)),
    ]
    for report in reports:
        assert tt.compare_with_fit(model, lambda batch, r=report: r(inner(*batch)), (X, Y))
        assert tt.compare_with_fit(model, lambda x, y, w=None, r=report: r(inner(x, y, w)), [X, Y])
    silent = tt.compare_with_fit(model, Hand(model, right, reports=lambda *_: None).step(), (X, Y, None))
    assert silent
    assert silent.loss_loop is None
    assert silent.notes == ("The loop returned no loss: only what it changes was compared.",)
    assert rules(model, lambda x, y: inner(x, y), (X, Y, W)) == ["sample_weight"]
    silently = Hand(model, summed, reports=lambda *_: None).step()
    assert rules(model, silently, (X, Y)) == ["scale"]


@ONLY_JAX
def test_forms_of_a_step_on_jax() -> None:
    import jax

    model = plain()
    inner = Hand(model, right).step()

    def with_metrics(state: Any, batch: Any) -> Any:
        trainable, others, slots, metrics = state
        loss, state = inner((trainable, others, slots), batch)
        return {"loss": loss}, (*state, metrics)

    def spread(state: Any, x: Any, y: Any) -> Any:
        return inner(state, (x, y))

    for step in (with_metrics, spread, jax.jit(inner, donate_argnums=0)):
        for _ in range(2):
            assert tt.compare_with_fit(model, step, (X, Y))

    def own_slots(state: Any, batch: Any) -> Any:
        loss, (trainable, others, _) = inner(state, batch)
        return loss, (trainable, others, {"count": 1})

    assert tt.compare_with_fit(model, own_slots, (X, Y)).notes[0].startswith("The loop doesn't update by model.opt")
    for wrong, said in [
        (lambda state, batch: 1.0, r"returned a float. Expected: \(loss, state\)"),
        (lambda state, batch: (1.0, state[:1]), "Expected: .loss, state., state being .trainable_variables"),
        (lambda state, batch: (1.0, ([], *state[1:])), "a list of 0, in the place of trainable_variables. Expected: 6"),
        (
            lambda state, batch: (1.0, (state[0], [None] * 3, state[2])),
            "number 0, for '.*norm/moving_mean', is a NoneType",
        ),
    ]:
        with pytest.raises(tt.LossError, match=said):
            tt.compare_with_fit(model, wrong, (X, Y))


def test_a_train_step_of_the_model_is_a_loop() -> None:
    for batch in ((X, Y), (X, Y, W), (X.astype("float64"), Y.astype("float64"))):
        model = plain(optimizer="adam", metrics=["mae"])
        assert tt.compare_with_fit(model, model.train_step, batch)


def test_a_model_that_is_not_built_is_built() -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([layers.Dense(3), layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    assert tt.compare_with_fit(model, model.train_step, (X, Y))
    assert model.built
    assert int(ops.convert_to_numpy(model.optimizer.iterations)) == 0


class OwnLoss(keras.Model):  # type: ignore[misc]
    """A model with a loss of its own, dict inputs and no mode."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.head = layers.Dense(1, kernel_regularizer="l2")
        self.factor = factor

    def call(self, x: Any) -> Any:
        return self.head(x["a"]) + x["b"]

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None) -> Any:
        return ops.mean(ops.abs(y_pred - y)) * self.factor + sum(self.losses)


def test_a_model_with_a_loss_of_its_own() -> None:
    keras.utils.set_random_seed(1)
    model = OwnLoss(2.0)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    batch = ({"a": X, "b": X[:, :1]}, Y[:, None])

    def by(factor: float, extra: float) -> Any:
        return lambda m, x, y, w: factor * ops.mean(ops.abs(m(x) - y)) + extra * sum(m.losses)

    assert rules(model, Hand(model, by(2.0, 1.0)).step(), batch) == []
    assert rules(model, Hand(model, by(2.0, 0.0)).step(), batch) == ["regularisation"]
    assert rules(model, Hand(model, by(0.3, 1.0)).step(), batch) == ["scale"]


def test_what_no_known_reason_explains_is_said() -> None:
    def other(model: Any, x: Any, y: Any, w: Any) -> Any:
        return ops.mean(ops.abs(ops.reshape(model(x, training=True), (-1,)) - y) ** 1.3) + sum(model.losses)

    model = plain()
    agreement = tt.compare_with_fit(model, Hand(model, other).step(), (X, Y, W))
    (finding,) = agreement.findings
    assert finding.rule == "unexplained"
    assert f"The loss is {agreement.loss_loop:.6g} where fit has {agreement.loss_fit:.6g}" in finding.text
    assert "None of the known reasons, alone or three together, explains it." in finding.text
    assert "If the model draws random numbers" in finding.text
    with pytest.raises(tt.LossError, match=r"The loop does not do what fit does on this batch[\s\S]*unexplained"):
        agreement.raise_if_different()


def test_one_sample_shows_less_and_that_is_said() -> None:
    model = simple()
    notes = tt.compare_with_fit(model, Hand(model, right).step(), (X[:1], Y[:1])).notes
    assert notes == ("The batch has one sample: means, sums and broadcasting give the same. Use several.",)


def test_what_is_not_a_model_batch_or_step_is_refused() -> None:
    model = simple()
    step = model.train_step
    with pytest.raises(tt.ModelError, match=r"Expected: a Keras model. Received: Dense."):
        tt.compare_with_fit(layers.Dense(1), step, (X, Y))
    with pytest.raises(tt.ModelError, match=r"isn't compiled with an optimizer[\s\S]*model.compile\(optimizer="):
        tt.compare_with_fit(keras.Sequential([keras.Input((4,)), layers.Dense(1)]), step, (X, Y))
    with pytest.raises(tt.ModelError, match=r"Expected: loop_step, a function that makes one step. Received: int."):
        tt.compare_with_fit(model, 3, (X, Y))  # type: ignore[arg-type]
    with pytest.raises(tt.DataError, match=r"Received: ndarray\. Of a dataset take one element"):
        tt.compare_with_fit(model, step, X)
    with pytest.raises(tt.DataError, match=r"Received: tuple of 4 parts"):
        tt.compare_with_fit(model, step, (X, Y, W, W))
    with pytest.raises(tt.LengthError, match=r"Received: \{'x': 8, 'y': 7\}"):
        tt.compare_with_fit(model, step, (X, Y[:7]))
    with pytest.raises(tt.DataError, match=r"y holds a float. Expected: an array"):
        tt.compare_with_fit(model, step, (X, [1.0, 2.0]))
    with pytest.raises(tt.LossError, match=r"parameters \(a, b, c, d, e, f\)\. Expected: loop_step\("):
        tt.compare_with_fit(model, lambda a, b, c, d, e, f: 0.0, (X, Y))


@STATEFUL
def test_what_a_step_may_not_return_is_refused() -> None:
    model = simple()
    for returned, said in [
        ((1.0, 2.0), "a tuple of 2"),
        ({"accuracy": 1.0}, r"a dict with the keys \['accuracy'\]"),
        (np.ones(8), r"values of shape \(8,\)"),
        ("done", "a str"),
    ]:
        with pytest.raises(tt.LossError, match=said):
            tt.compare_with_fit(model, lambda batch, value=returned: value, (X, Y))


def test_a_loss_that_is_not_finite_is_refused() -> None:
    model = simple()
    with pytest.raises(tt.LossError, match=r"fit's own step reports the loss nan on this batch"):
        tt.compare_with_fit(model, model.train_step, (X, np.full(8, np.nan, "float32")))
