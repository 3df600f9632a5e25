"""tt.losses.Contextual: what a loss asks for by name is that of the very batch (problems D09, D10)."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.losses import close, compiled, gradient, slope, value
from tests.backends.models import BACKEND, X, Y, collect, host
from tests.backends.recorded import rows
from truetap.fingerprint import pair

Array = npt.NDArray[Any]

B = 8  # 22 samples: 8, 8 and 6
WEIGHT = np.random.default_rng(3).uniform(0.2, 3, len(X)).astype("float32")
JITS = [False] if BACKEND == "torch" else [False, True]


def batches(n: int = len(X)) -> list[slice]:
    return [slice(start, start + B) for start in range(0, n, B)]


def by_x(y_true: Any, y_pred: Any, *, x: Any) -> Any:
    return ops.mean(ops.abs(y_true - y_pred), axis=-1) * ops.square(x[:, 0])


def model_of(loss: Any, cls: Any = keras.Model, **compiled: Any) -> Any:
    inputs = keras.Input((4,))
    model = cls(inputs, layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs))
    model.compile(**({"optimizer": keras.optimizers.SGD(0.05), "loss": loss} | compiled))
    return model


def values(x: Array = X, y: Array = Y) -> Any:
    return np.abs(x.sum(1) - y) * x[:, 0] ** 2


@pytest.mark.parametrize("jit", JITS)
def test_x_of_the_batch(jit: bool) -> None:
    model = model_of(tt.losses.Contextual(by_x), jit_compile=jit)
    assert model.evaluate(X, Y, batch_size=B, verbose=0) == close(values().mean())
    model.reset_metrics()  # Keras 3.14 and older go on counting
    assert model.test_on_batch(X[:5], Y[:5]) == close(values()[:5].mean())
    weighted = model.evaluate(X, Y, batch_size=B, sample_weight=WEIGHT, verbose=0)
    assert weighted == close((values() * WEIGHT).mean())
    model.train_on_batch(X[:B], Y[:B])
    x, y = X[:B], Y[:B]
    rate = 0.05 * (np.sign(x.sum(1) - y) * x[:, 0] ** 2)[:, None] * x
    np.testing.assert_allclose(host(model.get_weights()[0])[:, 0], 1 - rate.mean(0), rtol=1e-5)


def test_shuffled_and_several_steps_at_once() -> None:
    """Rows stay together when `fit` shuffles, and each of the steps of one execution has its own x."""
    several = {} if BACKEND == "torch" else {"steps_per_execution": 2}
    model = model_of(tt.losses.Contextual(by_x), optimizer=keras.optimizers.SGD(0.0), **several)
    history = model.fit(X, Y, batch_size=B, epochs=2, verbose=0)
    np.testing.assert_allclose(history.history["loss"], values().mean(), rtol=1e-5)


def test_parts_of_x() -> None:
    def relative(y_true: Any, y_pred: Any, *, x: Any) -> Any:
        return ops.abs(y_true - y_pred)[:, 0] / x["scale"][:, 0]

    inputs = {"a": keras.Input((4,), name="a"), "scale": keras.Input((1,), name="scale")}
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs["a"]))
    model.compile(loss=tt.losses.Contextual(relative))
    expected = np.mean(np.abs(X.sum(1) - Y) / WEIGHT)
    assert model.evaluate({"a": X, "scale": WEIGHT[:, None]}, Y, verbose=0) == close(expected)


@pytest.mark.parametrize("jit", JITS)
def test_ids_are_those_of_the_record(tmp_path: Path, jit: bool) -> None:
    def of_ids(y_true: Any, y_pred: Any, *, ids: Any) -> Any:
        small = ops.cast(ops.mod(ids, 1013), "float32")
        return small[:, 0] + 2 * small[:, 1]

    model = model_of(tt.losses.Contextual(of_ids), jit_compile=jit)
    recorder = tt.Recorder(tmp_path / "run")
    model.evaluate(X, Y, batch_size=B, verbose=0, callbacks=[recorder])
    expected = np.mod(pair(X), 1013) @ [1, 2]
    np.testing.assert_array_equal(rows(tmp_path / "run", "samples")["loss"], expected)
    np.testing.assert_array_equal(collect(model, (X, Y)).loss, expected)
    with tt.losses.given(x=X[:3]):
        assert value(model.loss, Y[:3], Y[:3, None]) == close(expected[:3].mean())
    own = np.arange(6, dtype="int32").reshape(3, 2)
    with tt.losses.given(ids=own):
        assert value(model.loss, Y[:3], Y[:3, None]) == close((own @ [1, 2]).mean())


def share(y_true: Any, y_pred: Any, *, sample_weight: Any) -> Any:
    """A ratio of weighted sums, which weights applied from outside can't give."""
    squared = ops.square(y_true - y_pred)[:, 0]
    if sample_weight is None:
        return squared
    return squared * sample_weight / ops.sum(sample_weight) * ops.cast(ops.size(sample_weight), "float32")


@pytest.mark.parametrize("masked", [False, True])
def test_weights_are_applied_once(tmp_path: Path, masked: bool) -> None:
    loss: Any = tt.losses.Contextual(share)
    loss = tt.losses.Masked(loss, mask_value=-99) if masked else loss
    model = model_of(loss)
    recorder = tt.Recorder(tmp_path / "run")
    found = model.evaluate(X, Y, sample_weight=WEIGHT, batch_size=B, verbose=0, callbacks=[recorder])
    squared = (X.sum(1) - Y) ** 2
    each = np.concatenate([squared[at] * WEIGHT[at] / WEIGHT[at].mean() for at in batches()])
    assert found == close(each.mean())
    recorded = rows(tmp_path / "run", "samples")
    np.testing.assert_allclose(recorded["loss"], each, rtol=1e-5)
    np.testing.assert_allclose(recorded["sample_weight"], WEIGHT)
    collected = collect(model, (X, Y, WEIGHT), batch_size=B)
    np.testing.assert_allclose(collected.loss, each, rtol=1e-5)
    np.testing.assert_allclose(collected.weighted_loss, each, rtol=1e-5)
    assert model.evaluate(X, Y, batch_size=B, verbose=0) == close(squared.mean())


def sequences(loss: Any) -> Any:
    inputs = keras.Input((3, 1))
    model = keras.Model(inputs, layers.Masking()(inputs))
    model.compile(loss=loss)
    return model


STEPS = np.asarray([[1, 2, 0], [3, 0, 0], [1, 1, 4]], "float32")[..., None]
TARGET = np.asarray([[2, 2, 9], [1, 9, 9], [1, 3, 4]], "float32")[..., None]


def test_the_mask() -> None:
    """A function that asks for Keras' mask may average over it; for one that doesn't it is applied."""

    def per_sample(y_true: Any, y_pred: Any, *, mask: Any) -> Any:
        counts = ops.cast(mask, "float32")
        return ops.sum(ops.abs(y_true - y_pred)[..., 0] * counts, axis=1) / ops.sum(counts, axis=1)

    def per_step(y_true: Any, y_pred: Any) -> Any:
        return ops.abs(y_true - y_pred)[..., 0]

    keep = STEPS[..., 0] != 0
    errors = np.abs(STEPS - TARGET)[..., 0]
    each = (errors * keep).sum(1) / keep.sum(1)
    assert sequences(tt.losses.Contextual(per_sample)).evaluate(STEPS, TARGET, verbose=0) == close(each.mean())
    total = errors[keep].mean()
    assert sequences(tt.losses.Contextual(per_step)).evaluate(STEPS, TARGET, verbose=0) == close(total)
    averaged = tt.losses.Contextual(lambda y_true, y_pred: ops.mean(ops.abs(y_true - y_pred), axis=(1, 2)))
    with pytest.raises(tt.LossError, match=r"The mask of shape .* can't be laid over"):
        sequences(averaged).test_on_batch(STEPS, TARGET)


def test_a_mask_that_travels_with_the_batch() -> None:
    """D09: masks and other tensors beside the inputs, in x."""
    inputs = {"a": keras.Input((4,), name="a"), "counts": keras.Input((1,), name="counts")}
    model = keras.Model(inputs, layers.Dense(1, use_bias=False, kernel_initializer="ones")(inputs["a"]))
    model.compile(loss=tt.losses.Masked("mae", mask=tt.losses.from_x("counts")))
    keep = np.arange(len(X)) % 3 > 0
    x = {"a": X, "counts": keep[:, None].astype("float32")}
    expected = np.mean([np.abs(X[at].sum(1) - Y[at])[keep[at]].mean() * len(X[at]) for at in batches()]) * 3 / len(X)
    assert model.evaluate(x, Y, batch_size=B, verbose=0) == close(expected)
    model.compile(loss=tt.losses.Masked("mae", mask=tt.losses.from_x("count")))
    with pytest.raises(tt.LossError, match=r"x has no 'count' to take the mask from. Near names: 'counts'"):
        model.test_on_batch(x, Y)


def test_a_loop_of_ones_own() -> None:
    loss = tt.losses.Contextual(by_x)
    weights = np.ones((4, 1), "float32")

    def total(kernel: Any, x: Any, y: Any) -> Any:
        with tt.losses.given(x=x):
            return loss(y, ops.matmul(x, kernel))

    def by_hand(kernel: Array) -> float:
        return float(np.mean(np.abs((X @ kernel)[:, 0] - Y) * X[:, 0] ** 2))

    found = compiled(total)(*map(ops.convert_to_tensor, (weights, X, Y)))
    assert float(host(found)) == close(values().mean())
    slopes = gradient(lambda kernel: total(kernel, ops.convert_to_tensor(X), Y), weights)
    np.testing.assert_allclose(slopes, slope(by_hand, weights.astype(float)), rtol=1e-3)
    with pytest.raises(tt.LossError, match=r"needs x, which is not known where it was called.*given\(x=x\)"):
        loss(Y, Y[:, None])


class Doubled(keras.Model):  # type: ignore[misc]
    """A compute_loss of the user's, whose x is another."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        x = 2 * x
        return super().compute_loss(x, y, y_pred, *args, **kwargs)


class Squeezed(keras.Model):  # type: ignore[misc]
    """A compute_loss that computes the loss of something else: whose x that is, nobody says."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        return super().compute_loss(x[:2], y[:2], y_pred[:2], *args, **kwargs)


class Given(keras.Model):  # type: ignore[misc]
    """The same, and it is said."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        with tt.losses.given(x=x[:2]):
            return super().compute_loss(x[:2], y[:2], y_pred[:2], *args, **kwargs)


class Outer(keras.Model):  # type: ignore[misc]
    """The loss of another model, whose x nobody says."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Any:
        return self.inner.compute_loss(y=y, y_pred=y_pred)


def test_a_compute_loss_of_ones_own() -> None:
    loss = tt.losses.Contextual(by_x)
    doubled = model_of(loss, Doubled).test_on_batch(X, Y)
    assert doubled == close(4 * values().mean())
    model = model_of(loss, Doubled)
    step = compiled(lambda x, y: model.compute_loss(x=x, y=y, y_pred=model(x)))  # AutoGraph rewrites it
    assert float(host(step(ops.convert_to_tensor(X), ops.convert_to_tensor(Y)))) == close(4 * values().mean())
    assert model_of(loss, Given).test_on_batch(X, Y) == close(values()[:2].mean())
    with pytest.raises(tt.LossError, match="needs x, which is not known"):
        model_of(loss, Squeezed).test_on_batch(X, Y)
    outer = model_of("mse", Outer)
    outer.inner = model_of(loss)
    with pytest.raises(tt.LossError, match="needs x, which is not known"):
        outer.test_on_batch(X, Y)


def test_nothing_is_kept() -> None:
    model = model_of(tt.losses.Contextual(by_x), Doubled)
    x, y = ops.convert_to_tensor(X), ops.convert_to_tensor(Y)
    kept = weakref.ref(x)
    gc.collect()
    gc.disable()
    try:
        model.compute_loss(x=x, y=y, y_pred=ops.convert_to_tensor(X[:, :1]))
        del x
        assert kept() is None
    finally:
        gc.enable()


def test_an_unbuilt_model_is_built_through_it() -> None:
    model = keras.Sequential([layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.0), tt.losses.Contextual(by_x))
    history = model.fit(X, Y, batch_size=B, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [values().mean()], rtol=1e-5)


REFUSED: dict[str, Any] = {
    "unknown": (lambda: lambda y_true, y_pred, *, inputs: 0, r"asks for 'inputs'. Known names: 'x', 'mask'"),
    "near": (lambda: lambda y_true, y_pred, *, masks: 0, r"asks for 'masks'. Near names: 'mask'"),
    "anything": (lambda: lambda y_true, y_pred, **kwargs: 0, r"takes \*\*kwargs, which doesn't say what it needs"),
    "one": (lambda: lambda y_true: 0, r"takes \['y_true'\] by position. Expected: \(y_true, y_pred\)"),
    "swapped": (lambda: lambda y_pred, y_true: 0, r"takes \(y_pred, y_true\). Expected: \(y_true, y_pred\)"),
    "a loss": (lambda: keras.losses.Huber(), r"Received: the loss 'huber_loss'.* Use it as it is"),
    "no function": (lambda: "mse", r"is a function. Received: 'mse'"),
    "a class": (lambda: keras.losses.Huber, r"is a function. Received: <class"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(tt.LossError, match=message):
        tt.losses.Contextual(make())


def test_a_scalar_is_refused() -> None:
    """D03: with a scalar, weights and masks would mean nothing."""
    loss = tt.losses.Contextual(lambda y_true, y_pred: ops.mean(y_true - y_pred))
    with pytest.raises(tt.LossError, match=r"reduces the batch itself \(it returned shape \(\)"):
        model_of(loss).test_on_batch(X, Y, sample_weight=WEIGHT)
