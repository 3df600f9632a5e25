"""The everyday losses trained end to end, recorded, saved, reloaded: each number is NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.models import BACKEND, collect
from tests.backends.recorded import rows, step

Array = npt.NDArray[Any]

RNG = np.random.default_rng(12)
N, B, T, C = 22, 8, 5, 3  # batches of 8, 8 and 6
X = RNG.normal(size=(N, 4)).astype("float32")
TARGET = RNG.normal(size=(N, 2)).astype("float32")
CLASSES = RNG.integers(0, C, N)
KEEP = RNG.random((N, 2)) < 0.6
KEEP[B : 2 * B] = False  # a batch in which nothing counts
TABLE = np.asarray([1.0, 20.0, 0.5])
WORDS = np.where(np.arange(T) < RNG.integers(1, T + 1, (N, 1)), RNG.integers(1, 9, (N, T)), 0).astype("int32")
TAGS = np.where(RNG.random((N, T)) < 0.8, RNG.integers(0, C, (N, T)), -1)
WEIGHT = RNG.uniform(0.2, 3, N).astype("float32")
CLOSE: dict[str, Any] = {"rtol": 5e-5, "atol": 1e-6}


@keras.saving.register_keras_serializable("truetap-tests")  # type: ignore[untyped-decorator]
def squared(y_true: Any, y_pred: Any, *, x: Any) -> Any:
    """Errors count by how far the input is out."""
    return ops.mean(ops.square(y_true - y_pred), axis=-1) * (1 + ops.square(x[:, 0]))


@keras.saving.register_keras_serializable("truetap-tests")  # type: ignore[untyped-decorator]
def counts(y_true: Any, y_pred: Any) -> Any:
    return ops.isfinite(y_true)


class Case(NamedTuple):
    """A loss, what it is trained on, and values, class weights and masks of a batch by NumPy."""

    loss: Callable[[], Any]
    by_hand: Callable[[Array, Array, slice], tuple[Array, Array]]
    y: Array = TARGET
    x: Array = X
    head: Callable[[], Any] = lambda: layers.Dense(2)


def everywhere(values: Array) -> tuple[Array, Array]:
    return values, np.ones(values.shape, bool)


def entropy(y: Array, p: Array) -> Array:
    chosen: Array = np.take_along_axis(p, np.maximum(y, 0)[..., None].astype(int), -1)[..., 0]
    return -np.log(chosen)


def classes() -> Any:
    return layers.Dense(C, activation="softmax")


CASES: dict[str, Case] = {
    "mean squared error": Case(lambda: tt.losses.Masked("mse"), lambda y, p, at: everywhere(np.square(y - p))),
    "class-weighted cross-entropy": Case(
        lambda: tt.losses.ClassWeighted("sparse_categorical_crossentropy", TABLE),
        lambda y, p, at: everywhere(entropy(y, p) * TABLE[y.astype(int)]),
        CLASSES,
        head=classes,
    ),
    "masked absolute error": Case(
        lambda: tt.losses.Masked("mae", mask_value=float("nan")),
        lambda y, p, at: (np.where(KEEP[at], np.abs(y - p), 0), KEEP[at]),
        np.where(KEEP, TARGET, np.nan),
    ),
    "masked by a function, each sample's own mean": Case(
        lambda: tt.losses.Masked("mae", mask=counts, normalize="sample"),
        lambda y, p, at: (
            np.where(KEEP[at], np.abs(y - p), 0).sum(1) / np.maximum(KEEP[at].sum(1), 1),
            np.asarray(KEEP[at].any(1)),
        ),
        np.where(KEEP, TARGET, np.nan),
    ),
    "one that needs x": Case(
        lambda: tt.losses.Contextual(squared),
        lambda y, p, at: everywhere(np.square(y - p).mean(-1) * (1 + X[at, 0] ** 2)),
    ),
    "tags, weighted and masked by a value and by Keras": Case(
        lambda: tt.losses.Masked(
            tt.losses.ClassWeighted(keras.losses.SparseCategoricalCrossentropy(), TABLE), mask_value=-1
        ),
        lambda y, p, at: (entropy(y, p) * TABLE[np.maximum(y, 0).astype(int)], (y != -1) & (WORDS[at] != 0)),
        TAGS,
        WORDS,
        classes,
    ),
}


def model_of(case: Case, jit: bool) -> Any:
    keras.utils.set_random_seed(3)
    inputs = keras.Input(case.x.shape[1:], dtype=case.x.dtype)
    hidden = layers.Embedding(9, 4, mask_zero=True)(inputs) if case.x is WORDS else layers.Dense(4)(inputs)
    model = keras.Model(inputs, case.head()(hidden))
    model.compile(keras.optimizers.SGD(0.02), case.loss(), jit_compile=jit)
    return model


def mean(values: Array, keep: Array, weight: Array) -> float:
    weight = weight.reshape(-1, *(1,) * (values.ndim - 1))
    return float((values * weight * keep).sum() / max(keep.sum(), 1))


JIT = BACKEND == "jax"  # what is fast to compile; the other way once
RUNS = [(name, name != "masked absolute error", JIT) for name in CASES]
if BACKEND != "torch":
    RUNS += [("masked absolute error", False, not JIT)]


@pytest.mark.parametrize(("name", "weighted", "jit"), RUNS)
def test_trained_recorded_saved(tmp_path: Path, name: str, weighted: bool, jit: bool) -> None:
    case = CASES[name]
    model = model_of(case, jit)
    options: dict[str, Any] = {"sample_weight": WEIGHT} if weighted else {}
    recorder = tt.Recorder(tmp_path / "run")
    history = model.fit(case.x, case.y, batch_size=B, shuffle=False, verbose=0, callbacks=[recorder], **options)
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    means = []
    for number in range(3):
        at = slice(number * B, (number + 1) * B)
        y_true, y_pred = step(samples, number, "y_true"), step(samples, number, "y_pred")
        np.testing.assert_array_equal(y_true, case.y[at].astype(y_true.dtype).reshape(y_true.shape))
        values, keep = case.by_hand(case.y[at].astype(float), y_pred.astype(float), at)
        means.append(mean(values, keep, WEIGHT[at] if weighted else np.ones(len(values))))
        axes = tuple(range(1, values.ndim))
        each = np.where(keep, values, 0).sum(axes) / np.maximum(keep.sum(axes), 1)
        np.testing.assert_allclose(step(samples, number, "loss"), each, **CLOSE)
        shares = step(samples, number, "weighted_loss" if "weighted_loss" in samples else "loss")
        np.testing.assert_allclose(shares.mean(), means[-1], **CLOSE)
    np.testing.assert_allclose(scalars["loss"], means, **CLOSE)
    np.testing.assert_allclose(history.history["loss"], np.average(means, weights=[8, 8, 6]), **CLOSE)

    after = model.evaluate(case.x, case.y, batch_size=B, verbose=0, **options)
    collected = collect(model, (case.x, case.y))
    values, keep = case.by_hand(case.y.astype(float), np.asarray(collected.y_pred, float), slice(None))
    batches = [slice(start, start + B) for start in range(0, N, B)]
    weights = WEIGHT if weighted else np.ones(N)
    by_batch = [mean(values[at], keep[at], weights[at]) for at in batches]
    np.testing.assert_allclose(after, np.average(by_batch, weights=[8, 8, 6]), **CLOSE)
    axes = tuple(range(1, values.ndim))
    each = np.where(keep, values, 0).sum(axes) / np.maximum(keep.sum(axes), 1)
    np.testing.assert_allclose(collected.loss, each, **CLOSE)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.evaluate(case.x, case.y, batch_size=B, verbose=0, **options) == pytest.approx(after, rel=1e-6)
    assert repr(again.loss.get_config()) == repr(model.loss.get_config())  # NaN is not NaN
    assert all(np.isfinite(weight).all() for weight in again.get_weights())


def test_in_mixed_precision() -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        case = CASES["tags, weighted and masked by a value and by Keras"]
        model = model_of(case, JIT)
        probs = np.asarray(collect(model, (case.x, case.y)).y_pred, float)
        found = float(model.train_on_batch(case.x, case.y))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.compute_dtype == "float16"
    values, keep = case.by_hand(case.y.astype(float), probs, slice(None))
    assert found == pytest.approx(mean(values, keep, np.ones(N)), rel=5e-3)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_function_that_is_not_registered_is_named_when_loaded(tmp_path: Path) -> None:
    def unknown(y_true: Any, y_pred: Any) -> Any:
        return ops.abs(y_true - y_pred)[:, 0]

    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", tt.losses.Masked(unknown, mask_value=-1))
    model.train_on_batch(X, TARGET[:, :1])
    model.save(tmp_path / "model.keras")
    with pytest.raises(TypeError, match=r"(?s)unknown.*register_keras_serializable"):
        keras.models.load_model(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"unknown": unknown})
    y = np.where(np.arange(N) % 2, TARGET[:, 0], -1)
    assert again.evaluate(X, y, verbose=0) == pytest.approx(model.evaluate(X, y, verbose=0))
