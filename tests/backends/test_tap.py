"""`tt.tap` is an identity; what it is given is recorded, held against NumPy, wherever it stands in a compiled step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.loops import WAYS, HandWritten, squared
from tests.backends.models import BACKEND
from tests.backends.recorded import rows, statistic
from truetap.fingerprint import fingerprint

Array = npt.NDArray[Any]

RNG = np.random.default_rng(4)
N, BATCH = 22, 8
X = RNG.normal(size=(N, 3)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
W = RNG.uniform(0.5, 2, N).astype("float32")
KERNEL = RNG.normal(size=(3, 1)).astype("float32")
MODES: dict[str, list[dict[str, Any]]] = {
    "tensorflow": [{}, {"jit_compile": False}, {"run_eagerly": True}, {"steps_per_execution": 2}],
    "jax": [{}, {"run_eagerly": True}, {"steps_per_execution": 2}],
    "torch": [{}],
}
STANDING: dict[str, Any] = {"batch_size": BATCH, "shuffle": False, "verbose": 0}


def linear(loss: Any, **compiled: Any) -> Any:
    """y_pred = x @ KERNEL, and it stays so."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign(KERNEL)
    model.compile(keras.optimizers.SGD(0.0), loss, **compiled)
    return model


def recorded(model: Any, path: Path, *taps: Any, **options: Any) -> Any:
    model.fit(X, Y, callbacks=[tt.Recorder(path, list(taps) or None)], **STANDING | options)
    return tt.open(path)


@pytest.mark.parametrize("compiled", MODES[BACKEND], ids=str)
def test_values_inside_a_loss(tmp_path: Path, compiled: dict[str, Any]) -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        error = tt.tap(y_true - y_pred, "error")
        tt.tap(ops.mean(error), "mean")
        tt.tap({"abs": ops.abs(error), "pair": [error * 2, ops.cast(error > 0, "int32")]}, "several")
        return ops.mean(tt.tap(error * error, "error"), axis=-1)

    run = recorded(linear(loss, **compiled), tmp_path / "run", epochs=2)
    error = np.tile(Y - X @ KERNEL, (2, 1))
    assert sorted(run.tapped.paths) == ["error", "error#1", "mean", "several/abs", "several/pair/0", "several/pair/1"]
    for name, expected in {
        "error": error,
        "error#1": error**2,
        "several/abs": np.abs(error),
        "several/pair/0": 2 * error,
        "several/pair/1": error > 0,
    }.items():
        found = run.tapped(name)
        np.testing.assert_allclose(found.values, expected, rtol=1e-5, atol=1e-6)
        assert found.fingerprints.tolist() == fingerprint(X).tolist() * 2
    means = [np.mean(error[start : min(start + BATCH, N)]) for start in (0, 8, 16)] * 2
    np.testing.assert_allclose(run.tapped("mean").values, means, rtol=1e-5, atol=1e-7)
    assert run.tapped("mean").steps.tolist() == list(range(6))
    with pytest.raises(tt.StoreError, match="tapped values of 'mean' belong to steps, not to samples"):
        _ = run.tapped("mean").ids


@keras.saving.register_keras_serializable("truetap-tests")
class Doubling(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        return tt.tap(2 * x, "doubled")


def test_values_inside_layers_and_between_them(tmp_path: Path) -> None:
    """Also of a model that was saved and read."""
    inputs = keras.Input((3,))
    hidden = Doubling()(tt.tap(inputs, "raw"))
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    for number, each in enumerate([model, keras.models.load_model(tmp_path / "model.keras")]):
        path = tmp_path / f"run{number}"
        run = recorded(each, path, tt.Outputs(), validation_data=(X[:5], Y[:5]))
        np.testing.assert_array_equal(run.tapped("raw", phase="train").values, X)
        np.testing.assert_array_equal(run.tapped("doubled", phase="train").values, 2 * X)
        np.testing.assert_array_equal(run.tapped("doubled", phase="val").values, 2 * X[:5])
    np.testing.assert_array_equal(model.predict(X, verbose=0).shape, (N, 1))


def test_what_a_loss_receives(tmp_path: Path) -> None:
    """Labels of the user's dtype and rank, weights and masks, from the compiled step."""
    inputs = keras.Input((4, 1))
    masked = layers.Masking(0.0)(inputs)
    model = keras.Model(inputs, layers.Dense(1)(masked))
    model.compile("sgd", tt.tap(keras.losses.MeanAbsoluteError(), "mae"))
    x = RNG.normal(size=(N, 4, 1)).astype("float32")
    x[:, 3] = 0.0
    y = RNG.integers(0, 9, (N, 4, 1))
    path = tmp_path / "run"
    weights = np.tile(W[:, None], (1, 4))
    model.fit(x, y, sample_weight=weights, callbacks=[tt.Recorder(path)], **STANDING)
    run = tt.open(path)
    assert sorted(run.tapped.paths) == [
        f"mae/{each}" for each in ("mask", "sample_weight", "values", "y_pred", "y_true")
    ]
    assert run.tapped("mae/y_true").values.dtype.kind == "i"
    np.testing.assert_array_equal(run.tapped("mae/y_true").values, y)
    np.testing.assert_array_equal(run.tapped("mae/sample_weight").values, weights)
    np.testing.assert_array_equal(run.tapped("mae/mask").values, np.tile([True, True, True, False], (N, 1)))
    values = np.mean(np.abs(y - run.tapped("mae/y_pred").values), axis=-1)
    np.testing.assert_allclose(run.tapped("mae/values").values, values, rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(run.samples().loss), values[:, :3].mean(axis=1), rtol=1e-5
    )  # as without the tap


@keras.saving.register_keras_serializable("truetap-tests")  # type: ignore[untyped-decorator, unused-ignore]
def squared_error(y_true: Any, y_pred: Any) -> Any:
    return squared(y_true, y_pred)


@pytest.mark.parametrize(
    "loss", ["mse", squared_error, keras.losses.MeanAbsoluteError()], ids=["name", "function", "object"]
)
def test_a_tapped_loss_is_the_same_loss(tmp_path: Path, loss: Any) -> None:
    plain, tapped = linear(loss), linear(tt.tap(loss, "it"))
    tapped.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    values = [model.evaluate(X, Y[:, 0], sample_weight=W, verbose=0) for model in (plain, tapped, again)]
    assert values[0] == values[1] == values[2]


def test_schedules_reductions_and_choice(tmp_path: Path) -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        tt.tap(y_pred, "part/one")
        tt.tap(2 * y_pred, "part/two")
        tt.tap(3 * y_pred, "other")
        return squared(y_true, y_pred)

    taps = [
        tt.Tapped("part/*", every=2, reduce=["mean", "max"]),
        tt.Tapped("other", samples=3),
        tt.Tapped(["part/one"], steps=[4]),
    ]
    run = recorded(linear(loss), tmp_path / "run", *taps, epochs=2)
    y_pred = X @ KERNEL
    found = rows(tmp_path / "run", "tapped")
    assert set(found["path"]) == {"part/one", "part/two"}
    assert set(found["step"]) == {0, 2, 4}
    np.testing.assert_allclose(statistic(found, "part/two", "mean", 2), 2 * np.mean(y_pred[16:]), rtol=1e-5)
    np.testing.assert_allclose(statistic(found, "part/one", "max", 4), np.max(y_pred[8:16]), rtol=1e-5)
    np.testing.assert_allclose(run.tapped("other").values, 3 * np.tile(y_pred[:3], (2, 1)), rtol=1e-5)
    np.testing.assert_allclose(run.tapped("part/one").values, y_pred[8:16], rtol=1e-5)
    assert not (set(run.tapped("other").steps) - {0, 3})


def test_rows_of_samples_as_said(tmp_path: Path) -> None:
    """A kernel of eight rows in a batch of eight is no batch."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        tt.tap(ops.ones((BATCH, 2)), "matrix", per_sample=False)
        tt.tap(ops.ones((BATCH, 2)), "unsaid")
        return squared(y_true, y_pred)

    run = recorded(linear(loss), tmp_path / "run", batch_size=N)
    assert run.tapped("matrix").values.shape == run.tapped("unsaid").values.shape == (1, BATCH, 2)


@pytest.mark.parametrize("way", WAYS)
def test_values_inside_a_loop_and_its_gradient(tmp_path: Path, way: str) -> None:
    """In the function that is differentiated, on JAX inside two of them."""
    model = linear("mse")
    model.optimizer.build(model.trainable_variables)

    def loss(y: Any, y_pred: Any) -> Any:
        tt.tap(y_pred, "inside")
        if BACKEND == "jax":
            import jax

            jax.grad(lambda a: ops.sum(tt.tap(a * a, "twice")))(y_pred)
        return squared(y, y_pred)

    with tt.Recorder(tmp_path / "run") as recorder:
        parts = [(X[start : start + BATCH], Y[start : start + BATCH], W[start : start + BATCH]) for start in (0, 8, 16)]
        HandWritten(model, recorder, way, loss).train(lambda: parts, 1)
    run = tt.open(tmp_path / "run")
    np.testing.assert_allclose(run.tapped("inside").values, X @ KERNEL, rtol=1e-5)
    if BACKEND == "jax":
        np.testing.assert_allclose(run.tapped("twice").values, (X @ KERNEL) ** 2, rtol=1e-4)


def in_a_loop(value: Any) -> Any:
    return ops.fori_loop(0, 2, lambda _, total: total + tt.tap(value, "v"), ops.zeros_like(value))


def in_a_while(value: Any) -> Any:
    value = ops.stop_gradient(value) if BACKEND == "jax" else value  # JAX differentiates no such loop
    body = ops.while_loop(lambda i, _: i < 2, lambda i, total: (i + 1, tt.tap(total, "v") + value), (0, value))
    return body[1]


def in_a_branch(value: Any) -> Any:
    return ops.cond(ops.sum(value) > 0, lambda: tt.tap(value, "v"), lambda: value)


def in_a_scan(value: Any) -> Any:
    return ops.scan(lambda total, each: (total, tt.tap(each, "v")), value[0], value)[1]


def in_a_map(value: Any) -> Any:
    return ops.vectorized_map(lambda each: tt.tap(each, "v"), value)


@pytest.mark.parametrize("inside", [in_a_loop, in_a_while, in_a_branch, in_a_scan, in_a_map])
def test_inside_control_flow_it_works_or_is_refused(tmp_path: Path, inside: Any) -> None:
    def loss(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(inside(ops.square(y_true - y_pred)), axis=-1)

    model = linear(loss)
    model.fit(X, Y, **STANDING)  # nobody listens
    if BACKEND == "torch" and inside is not in_a_map:  # loops and branches are Python's
        run = recorded(model, tmp_path / "run", batch_size=N)
        assert run.tapped.paths[0] == "v"
        return
    with pytest.raises(
        tt.TapError, match=r"tt\.tap\(…, 'v'\) can't be recorded. It exists only inside .*tap it outside"
    ):
        recorded(model, tmp_path / "run")
    linear(loss).fit(X, Y, **STANDING)  # and nobody listens any more


def test_nobody_listens() -> None:
    """The same object comes back; a compiled step has nothing of it."""
    value = ops.ones((3, 2))
    structure = {"a": value, "b": [value]}
    assert tt.tap(value, "value") is value
    assert tt.tap(structure, "structure") is structure
    with pytest.raises(tt.TapError, match=r"under a name\. Received: name=3"):
        tt.tap(value, 3)  # type: ignore[call-overload]
    if BACKEND == "jax":
        import jax

        texts = [
            str(jax.make_jaxpr(jax.grad(lambda a, function=function: ops.sum(function(a * a) * 3)))(value))
            for function in (lambda a: a, lambda a: tt.tap(a, "name"))
        ]
        assert texts[0] == texts[1]
    if BACKEND == "tensorflow":
        import tensorflow as tf

        counts = []
        for function in (lambda a: a, lambda a: tt.tap(a, "name")):
            made = tf.function(lambda a, function=function: function(a * a) * 3, autograph=False)
            counts.append([op.type for op in made.get_concrete_function(value).graph.get_operations()])
        assert counts[0] == counts[1]


def test_selectors_are_names() -> None:
    with pytest.raises(tt.TapError, match=r"Tapped\(select=…\) takes names.*Received: select=3"):
        tt.Tapped(3)
    assert tt.Tapped("a*").takes("a#1/x")
    assert tt.Tapped(["a/x"]).takes("a#1/x")
    assert not tt.Tapped("a").takes("ab")
